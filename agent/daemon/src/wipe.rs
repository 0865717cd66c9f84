//! Wiping, in the one order that survives a power cut between any two instructions:
//!
//! 1. the gate closes, and memory is zeroized; that it closed is noted for the next process;
//! 2. `TPM2_NV_Increment`: the point of no return, after which every copy of the keys is dead;
//! 3. vault, keys and leases are unlinked, and that is made to last;
//! 4. holders are told that the device is no longer entitled;
//! 5. `TPM2_NV_Certify` over the counter makes the receipt, which is kept until it is taken.
//!
//! The counter decides: a pairing whose epoch is not its value has been revoked, and whoever finds
//! that at start does steps 3 to 5 again. The note of step 1 is for a process that is killed before
//! step 2; lost with the power, it leaves the order where it was, unacknowledged at the broker.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_proto::bounded::TooLong;
use pawl_proto::codec::{EncodeError, Version};
use pawl_proto::message::{Cause, Receipt, ShortText, SignedReceipt};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Digest, Epoch, EventId, encode};

use crate::audit::Moment;
use crate::fail_point;
use crate::problem;
use crate::shared::Shared;
use crate::store::{PairingRecord, Revocation, StoreError};
use crate::telemetry::event::SecurityEvent;

/// Why an epoch ends.
pub(crate) struct Order {
    pub(crate) cause: Cause,
    pub(crate) event: Option<EventId>,
    pub(crate) reason: ShortText,
    /// When the order arrived.
    pub(crate) arrived: Instant,
}

/// What a wipe amounted to.
pub(crate) struct Wiped {
    /// The counter's value now; none while the TPM refuses to move it on.
    pub(crate) epoch: Option<Epoch>,
    /// The receipt, encoded.
    pub(crate) receipt: Option<Vec<u8>>,
    pub(crate) revocation: Revocation,
    pub(crate) refusal: Option<pawl_tpm::Error>,
}

/// Ends the epoch of `record`: steps 1 to 5. Whatever fails, the steps after it are done.
pub(crate) async fn wipe(shared: &Arc<Shared>, record: &PairingRecord, order: Order) -> Wiped {
    let mut revocation = Revocation {
        version: Version,
        ended: record.epoch,
        cause: order.cause,
        event: order.event,
        reason: order.reason,
        time: shared.clock.unix(),
        counted: false,
        receipted: false,
    };
    shared.gate.close(problem::revoked(&revocation));
    announce(shared, &revocation).await;
    fail_point::reach("wipe.gate-closed");
    let refusal = increment(shared).await.err();
    revocation.counted = refusal.is_none();
    let to_dead = order.arrived.elapsed();
    fail_point::reach("wipe.incremented");
    match &refusal {
        None => SecurityEvent::of_wipe(revocation.cause).log(
            Some(record.epoch),
            format_args!("the pairing has ended: {}; to_dead_us={}", Why(&revocation), to_dead.as_micros()),
        ),
        Some(error) => {
            shared.gate.close(problem::counter_owed(error));
        }
    }
    finish(shared, record, revocation, refusal).await
}

/// What ended a pairing, for the log.
struct Why<'a>(&'a Revocation);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Revocation { cause, event, reason, .. } = self.0;
        write!(f, "{cause:?}, {:?}", reason.as_str())?;
        event.map_or(Ok(()), |event| write!(f, ", event {event}"))
    }
}

/// Does again what a wipe does after its point of no return: steps 3 to 5.
pub(crate) async fn finish(
    shared: &Shared,
    record: &PairingRecord,
    mut revocation: Revocation,
    refusal: Option<pawl_tpm::Error>,
) -> Wiped {
    note(shared.store.put_revocation(&revocation));
    fail_point::reach("wipe.recorded");
    note(shared.store.destroy_keys());
    fail_point::reach("wipe.unlinked");
    shared.gate.tell_holders();
    fail_point::reach("wipe.told");
    let mut wiped = Wiped { epoch: None, receipt: None, revocation: revocation.clone(), refusal };
    if !revocation.counted {
        return wiped;
    }
    let receipt = receipt(shared, record, &revocation).await;
    remember(shared, record, &revocation, receipt.as_ref().ok());
    match receipt {
        Ok(Made { epoch, message: receipt, .. }) => {
            note(shared.store.put_receipt(record.epoch, &receipt));
            revocation.receipted = true;
            note(shared.store.put_revocation(&revocation));
            fail_point::reach("wipe.receipt-stored");
            wiped = Wiped { epoch: Some(epoch), receipt: Some(receipt), revocation, ..wiped };
        }
        Err(error) => tracing::error!(%error, "there is no receipt yet; it is made at the next start"),
    }
    wiped
}

/// How long the counter waits for the note that the gate has closed.
const PATIENCE: Duration = Duration::from_millis(20);

/// Leaves word for the next process. A disk that hangs must not hold back the point of no return,
/// so this waits on another thread, and not for long.
async fn announce(shared: &Arc<Shared>, revocation: &Revocation) {
    let (shared, revocation) = (Arc::clone(shared), revocation.clone());
    let written = tokio::task::spawn_blocking(move || note(shared.store.announce_revocation(&revocation)));
    let _ = tokio::time::timeout(PATIENCE, written).await;
}

/// The increments that are tried before the TPM's refusal is believed.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// Step 2. A transient refusal is no reason to leave the keys alive.
async fn increment(shared: &Shared) -> Result<(), pawl_tpm::Error> {
    for _ in 1..TRIES {
        match shared.tpm.revoke().await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(%error, "the counter did not move; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    shared.tpm.revoke().await
}

/// Leaves the assurance record of a wipe.
fn remember(shared: &Shared, record: &PairingRecord, revocation: &Revocation, receipt: Option<&Made>) {
    let fact = DeviceFact::Wiped {
        cause: revocation.cause,
        event: revocation.event,
        receipt: receipt.map(|receipt| receipt.digest),
    };
    shared.audit.record_at(Some(record.epoch), receipt.and_then(|receipt| receipt.moment), fact);
}

/// A receipt that the TPM made.
struct Made {
    /// The counter's value that it certifies.
    epoch: Epoch,
    /// The signed receipt, encoded.
    message: Vec<u8>,
    /// SHA-256 of what it says.
    digest: Digest,
    moment: Option<Moment>,
}

/// Step 5: the receipt, and the counter's value that it certifies.
async fn receipt(
    shared: &Shared,
    record: &PairingRecord,
    revocation: &Revocation,
) -> Result<Made, ReceiptError> {
    let counter = shared.tpm.counter().await?.ok_or(ReceiptError::Counter)?;
    let epoch = Epoch(counter.epoch);
    let receipt = encode(&Receipt {
        version: Version,
        device: record.device,
        pairing: record.pairing,
        ended: record.epoch,
        epoch,
        event: revocation.event,
        cause: revocation.cause,
        reason: revocation.reason.clone(),
        time: revocation.time,
    })?;
    let digest = Digest::of(&receipt);
    let attestation = shared.tpm.certify_counter(digest.0).await?;
    let moment = Moment::of(&attestation.attest);
    let signed = SignedReceipt {
        version: Version,
        receipt: receipt.try_into()?,
        attest: attestation.attest.try_into()?,
        signature: attestation.signature.try_into()?,
    };
    Ok(Made { epoch, message: encode(&signed)?, digest, moment })
}

/// A disk that is full or broken stops no wipe: the epoch is over all the same.
fn note(outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a step of the wipe left something on the disk; it is dead without its epoch");
    }
}

#[derive(Debug, thiserror::Error)]
enum ReceiptError {
    #[error(transparent)]
    Tpm(#[from] pawl_tpm::Error),
    #[error("the TPM has no epoch counter")]
    Counter,
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
}
