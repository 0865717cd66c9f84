//! Issues verdicts: completes a draft from the database, signs it and stores it.

use pawl_proto::Nonce;
use pawl_proto::codec::EncodeError;
use pawl_proto::message::Verdict;
use pawl_verifier::lease::{LeaseError, LeaseIssuer};
use pawl_verifier::pairing::Pairing;
use pawl_verifier::verdict::{self, IssuedVerdict, VerdictContext, VerdictDraft};

use crate::control_plane::ControlPlane;
use crate::entitlement::entitlement;
use crate::store::{Device, StoreError, Tx, VerdictRow};

/// Returns the draft of a verdict without attestation result that asks a device for a report at once. To a suspended device
/// it repeats the reason.
pub(crate) fn ask_for_report(device: &Device, whole: bool) -> VerdictDraft {
    VerdictDraft::ask(device.standing, device.standing_reason.as_deref(), whole)
}

/// Signs, stores and records a verdict, and returns it with its signed message. The outbox publishes it after the commit,
/// unless the caller delivers it.
pub(crate) fn issue(
    plane: &ControlPlane,
    tx: &Tx<'_>,
    pairing: &Pairing,
    draft: VerdictDraft,
) -> Result<(Verdict, Vec<u8>), IssueError> {
    let now = plane.clock.now();
    let accepted = tx.boot_states(pairing.device)?;
    let held = tx.appraised_verdict(pairing.id)?.map(|row| row.verdict.ahead).unwrap_or_default();
    let entitlement = entitlement(plane, tx, pairing, draft.standing)?;
    let issued = draft.issue(VerdictContext {
        pairing,
        entitlement,
        sequence: tx.next_verdict_sequence(pairing.device)?,
        records: tx.device_chain(pairing.device)?.map_or(0, |chain| chain.sequence),
        nvpcrs: plane.policies.of(pairing.device).map(|policy| policy.nvpcrs()).unwrap_or_default(),
        nonce: Nonce(plane.random.bytes()),
        now,
        leases: LeaseIssuer {
            key: &plane.keys.signing.lease,
            policy: &plane.config.lease,
            accepted: &accepted,
            held: &held,
        },
        order_key: &plane.keys.signing.order,
    })?;
    let IssuedVerdict { verdict, message, lease_until, facts } = issued;
    for fact in facts {
        tx.record(pairing.device, now, fact)?;
    }
    tx.set_nonce(pairing.id, verdict.nonce)?;
    let row = VerdictRow { verdict, lease_until };
    tx.add_verdict(&row, &message)?;
    Ok((row.verdict, message))
}

/// Why a verdict cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The terms of a lease cannot be made.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

impl From<verdict::IssueError> for IssueError {
    fn from(error: verdict::IssueError) -> Self {
        match error {
            verdict::IssueError::Encode(error) => Self::Encode(error),
            verdict::IssueError::Lease(error) => Self::Lease(error),
        }
    }
}
