//! Checks whether an approval counts.

use pawl_approval::{AllowedSigners, Approver, NAMESPACE, Signature, Touch};
use pawl_proto::Digest;
use pawl_proto::message::{GivenApproval, Statement, StatementBytes};

use super::binding::{Binding, Refused};
use super::state::SessionApproval;

/// The values against which an approval is checked.
#[derive(Clone, Copy)]
pub(crate) struct ApprovalCheck<'a> {
    /// The statement of the session, encoded.
    pub(crate) bytes: &'a StatementBytes,
    /// The same statement, decoded.
    pub(crate) statement: &'a Statement,
    /// The earlier approvals of the session.
    pub(crate) earlier: &'a [SessionApproval],
    /// The persons who may approve.
    pub(crate) signers: &'a AllowedSigners,
    /// The digest of the boot state that the device last reported.
    pub(crate) reported: Option<Digest>,
    /// Unix time, seconds.
    pub(crate) now: u64,
}

impl ApprovalCheck<'_> {
    /// Returns the approver, if the approval counts.
    ///
    /// The signature and the approver are checked before the statement is compared with the session's, so that the refusal of a
    /// stranger's signature reveals nothing about the session.
    pub(crate) fn check(&self, given: &GivenApproval) -> Result<Approver, Refused> {
        let approver = self.signer(given)?;
        let refuse = |binding, detail| self.refused(binding, detail, Some(&approver));
        if given.statement != *self.bytes {
            let approved = given.statement.decode().map_err(|error| {
                refuse(Binding::Session, format!("the signed bytes are not a statement: {error}"))
            })?;
            // The encoding is deterministic, so different bytes mean a different field.
            let binding = Binding::differing(self.statement, &approved).unwrap_or(Binding::Session);
            let detail = format!("the approval is for another {binding} than this session's");
            return Err(refuse(binding, detail));
        }
        // An approver who has lost the confirmation may approve again with the same key.
        let again =
            |other: &&SessionApproval| other.confirmation.is_some() && other.approver.key == approver.key;
        let mut others = self.earlier.iter().filter(|other| !again(other));
        if let Some(other) = others.find(|other| other.approver.may_be(&approver)) {
            let detail =
                format!("{} has already approved; another person must approve", other.approver.principal);
            return Err(refuse(Binding::Person, detail));
        }
        match self.newer_posture() {
            Some(detail) => Err(refuse(Binding::Boot, detail)),
            None => Ok(approver),
        }
    }

    /// Returns the approver, if the signature over the given statement is valid.
    fn signer(&self, given: &GivenApproval) -> Result<Approver, Refused> {
        let armored = std::str::from_utf8(given.signature.as_bytes())
            .map_err(|_| self.refused(Binding::Signature, "the signature is not text".to_owned(), None))?;
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

    /// Returns the failure, for people, if the device has since reported another boot state than the statement's.
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
