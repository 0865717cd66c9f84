//! Whether an approval counts.

use pawl_approval::{AllowedSigners, Approver, NAMESPACE, Signature, Touch};
use pawl_proto::Digest;
use pawl_proto::message::{GivenApproval, Statement, StatementBytes};

use super::binding::{Binding, Refused};
use super::state::SessionApproval;

/// What an approval is checked against.
#[derive(Clone, Copy)]
pub(crate) struct ApprovalCheck<'a> {
    /// The statement of the session, encoded.
    pub(crate) bytes: &'a StatementBytes,
    /// The same, decoded.
    pub(crate) statement: &'a Statement,
    /// The approvals of others.
    pub(crate) earlier: &'a [SessionApproval],
    /// The persons who may approve.
    pub(crate) signers: &'a AllowedSigners,
    /// The digest of the boot state that the device last reported.
    pub(crate) reported: Option<Digest>,
    /// Unix time, seconds.
    pub(crate) now: u64,
}

impl ApprovalCheck<'_> {
    /// Returns who approved the session with this signature.
    ///
    /// The signature is verified before the statement that it covers is compared, and the approver before the session: a
    /// stranger's signature says nothing about which sessions there are.
    pub(crate) fn check(&self, given: &GivenApproval) -> Result<Approver, Refused> {
        let approver = self.signer(given)?;
        let refuse = |binding, detail| self.refused(binding, detail, Some(&approver));
        if given.statement != *self.bytes {
            let approved = given.statement.decode().map_err(|error| {
                refuse(Binding::Session, format!("what was signed is no statement: {error}"))
            })?;
            // Bytes that differ have fields that differ: the encoding has one form.
            let binding = Binding::differing(self.statement, &approved).unwrap_or(Binding::Session);
            let detail = format!("the approval was given for another {binding} than this session's");
            return Err(refuse(binding, detail));
        }
        // An approver who has lost the confirmation gives the same approval again.
        let again =
            |other: &&SessionApproval| other.confirmation.is_some() && other.approver.key == approver.key;
        let mut others = self.earlier.iter().filter(|other| !again(other));
        if let Some(other) = others.find(|other| other.approver.may_be(&approver)) {
            let detail =
                format!("{} has approved already; another person is needed", other.approver.principal);
            return Err(refuse(Binding::Person, detail));
        }
        match self.newer_posture() {
            Some(detail) => Err(refuse(Binding::Boot, detail)),
            None => Ok(approver),
        }
    }

    /// Returns the approver, if the signature over the statement that came with it holds.
    fn signer(&self, given: &GivenApproval) -> Result<Approver, Refused> {
        let armored = std::str::from_utf8(given.signature.as_bytes())
            .map_err(|_| self.refused(Binding::Signature, "the signature is no text".to_owned(), None))?;
        let message = given.statement.to_be_signed();
        let key = Signature::parse(armored)
            .and_then(|signature| signature.verify(NAMESPACE, message.as_bytes(), Touch::Require))
            .map_err(|error| self.refused(Binding::of_signature(&error), error.to_string(), None))?;
        self.signers.approver(&key, NAMESPACE, self.now).map_err(|refusal| Refused {
            time: self.now,
            binding: Binding::of_signer(&refusal),
            detail: refusal.to_string(),
            key: Some(key.fingerprint().to_string()),
        })
    }

    /// Returns what the device runs now, where it has reported it since the session was opened and it is not what the
    /// statement shows.
    fn newer_posture(&self) -> Option<String> {
        let own = self.statement.boot;
        let reported = self.reported.filter(|reported| *reported != own)?;
        Some(format!(
            "the device has since reported another boot state, {reported}, than the session's, {own}"
        ))
    }

    pub(crate) fn refused(&self, binding: Binding, detail: String, approver: Option<&Approver>) -> Refused {
        Refused { time: self.now, binding, detail, key: approver.map(|approver| approver.key.to_string()) }
    }
}
