//! Satisfies the policies of a pairing's keys: leases and the epoch.

use pawl_evidence::lease;
use tss_esapi::constants::SessionType;
use tss_esapi::interface_types::ArithmeticComparison;
use tss_esapi::interface_types::reserved_handles::NvAuth;
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::structures::{Digest, Name, Nonce, PcrSelectionList, VerifiedTicket};
use tss_esapi::tss2_esys::TPMT_TK_VERIFIED;

use super::wire::unreadable;
use super::{Device, wire};
use crate::bus::{EMPTY_AUTH, NO_SESSION, Session};
use crate::{Error, LeaseGrant, LeaseStep, ResponseCode};

/// A lease whose signature the TPM has verified. `ticket` proves that to the TPM in TPM2_PolicyAuthorize.
pub(super) struct VerifiedLease<'a> {
    grant: &'a LeaseGrant,
    approved: [u8; 32],
    key_name: Name,
    selection: PcrSelectionList,
    ticket: TPMT_TK_VERIFIED,
}

/// The key to which a session is salted. Parameters can be encrypted only in a salted session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Salt {
    None,
    StorageParent,
}

/// IMA extends PCR 10 whenever a new file is used, and an extend of any PCR invalidates every PolicyPCR that has
/// run. Even a busy device does not extend PCRs this many times in a row within milliseconds.
const ATTEMPTS: u32 = 16;
const PCR_CHANGED: ResponseCode = ResponseCode::new(0x128);

impl Device {
    /// Implements [`crate::Tpm::check_lease`].
    pub(crate) fn check_lease(&mut self, grant: &LeaseGrant) -> Result<(), Error> {
        let lease = self.verify_lease(grant)?;
        self.under_lease(&lease, Salt::None, |_, _| Ok(()))
    }

    /// Verifies the lease's signature in the TPM. Needs a slot for the lease key and frees it before it returns.
    pub(super) fn verify_lease<'a>(&self, grant: &'a LeaseGrant) -> Result<VerifiedLease<'a>, Error> {
        let refused = |code| Error::Lease { step: LeaseStep::Signature, code: Some(code) };
        let signature = wire::signature(&grant.signature)?;
        let approved = grant.terms.approved_policy();
        let digest = Digest::from(lease::to_be_signed(&approved, &grant.policy_ref));

        let loaded = self
            .load_external("lease key", &grant.lease_public)
            .map_err(|error| error.if_refused(refused))?;
        let ticket = self
            .bus
            .run("TPM2_VerifySignature", NO_SESSION, |context| {
                context.verify_signature(loaded.key(), digest.clone(), signature.clone())?.try_into()
            })
            .map_err(|error| error.if_refused(refused))?;
        let key_name =
            self.bus.run("Esys_TR_GetName", NO_SESSION, |context| context.tr_get_name(loaded.object()))?;
        let selection = wire::selection(&grant.terms.selection)?;
        Ok(VerifiedLease { grant, approved, key_name, selection, ticket })
    }

    /// Runs `action` in a session that the lease authorizes. Runs it again in a new session if PCRs changed
    /// meanwhile.
    pub(super) fn under_lease<T>(
        &mut self,
        lease: &VerifiedLease<'_>,
        salt: Salt,
        mut action: impl FnMut(&Self, &Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 1..ATTEMPTS {
            match self.attempt(lease, salt, &mut action) {
                Err(error) if error.response_code() == Some(PCR_CHANGED) => {}
                result => return result,
            }
        }
        self.attempt(lease, salt, &mut action)
    }

    fn attempt<T>(
        &mut self,
        lease: &VerifiedLease<'_>,
        salt: Salt,
        action: &mut impl FnMut(&Self, &Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.policy_session(salt)?;
        self.satisfy(lease, session.policy()?)?;
        action(self, &session).map_err(|error| {
            error.if_refused(|code| {
                let step = if code == PCR_CHANGED { LeaseStep::Pcrs } else { LeaseStep::Use };
                Error::Lease { step, code: Some(code) }
            })
        })
    }

    /// Runs `action` in a session that works while the counter equals `epoch`; the link key needs no more.
    pub(super) fn in_epoch<T>(
        &mut self,
        epoch: u64,
        action: impl FnOnce(&Self, &Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.policy_session(Salt::None)?;
        self.policy_epoch(session.policy()?, epoch)
            .and_then(|()| action(self, &session))
            .map_err(|error| error.if_refused(|code| Error::Epoch { expected: epoch, code: Some(code) }))
    }

    fn policy_session(&mut self, salt: Salt) -> Result<Session, Error> {
        match salt {
            Salt::None => self.bus.session(SessionType::Policy, None),
            Salt::StorageParent => {
                let parent = self.storage_parent()?;
                self.bus.session(SessionType::Policy, Some(parent.key()))
            }
        }
    }

    /// Runs the lease's four conditions in the order in which its digest has them, then TPM2_PolicyAuthorize.
    fn satisfy(&mut self, lease: &VerifiedLease<'_>, session: PolicySession) -> Result<(), Error> {
        let terms = &lease.grant.terms;
        let at = |step| move |error: Error| error.if_refused(|code| Error::Lease { step, code: Some(code) });

        self.bus
            .run("TPM2_PolicyPCR", NO_SESSION, |context| {
                context.policy_pcr(session, Digest::from(terms.pcr_digest), lease.selection.clone())
            })
            .map_err(at(LeaseStep::Pcrs))?;
        self.policy_epoch(session, terms.epoch).map_err(at(LeaseStep::Epoch))?;
        self.policy_clock_info(
            session,
            &terms.reset_count_max.to_be_bytes(),
            RESET_COUNT,
            ArithmeticComparison::UnsignedLe,
        )
        .map_err(at(LeaseStep::Reboots))?;
        self.policy_clock_info(
            session,
            &terms.clock_before.to_be_bytes(),
            CLOCK,
            ArithmeticComparison::UnsignedLt,
        )
        .map_err(at(LeaseStep::Deadline))?;

        let doing = "TPM2_PolicyAuthorize";
        let policy_ref =
            Nonce::from_bytes(&lease.grant.policy_ref).map_err(|error| unreadable(doing, &error))?;
        self.bus
            .run(doing, NO_SESSION, |context| {
                context.policy_authorize(
                    session,
                    Digest::from(lease.approved),
                    policy_ref.clone(),
                    &lease.key_name,
                    VerifiedTicket::try_from(lease.ticket)?,
                )
            })
            .map_err(at(LeaseStep::Authorize))
    }

    pub(super) fn policy_epoch(&mut self, session: PolicySession, epoch: u64) -> Result<(), Error> {
        let doing = "TPM2_PolicyNV";
        let index = self.counter_index()?;
        let operand = operand(doing, &epoch.to_be_bytes())?;
        self.bus.run(doing, EMPTY_AUTH, |context| {
            let equal = ArithmeticComparison::Eq;
            context.policy_nv(session, NvAuth::NvIndex(index), index, operand.clone(), 0, equal)
        })
    }

    fn policy_clock_info(
        &self,
        session: PolicySession,
        number: &[u8],
        offset: u16,
        comparison: ArithmeticComparison,
    ) -> Result<(), Error> {
        let doing = "TPM2_PolicyCounterTimer";
        let operand = operand(doing, number)?;
        self.bus.run(doing, NO_SESSION, |context| {
            context.policy_counter_timer(session, operand.clone(), offset, comparison)
        })
    }
}

/// Offsets in TPMS_TIME_INFO.
const CLOCK: u16 = 8;
const RESET_COUNT: u16 = 16;

fn operand(doing: &'static str, bytes: &[u8]) -> Result<Digest, Error> {
    Digest::from_bytes(bytes).map_err(|error| unreadable(doing, &error))
}
