//! Where the device stands at start. Nothing here depends on anything sealed: a device that
//! drifted, or whose disk is damaged, still starts, says so, and can be paired again.

use std::sync::Arc;
use std::time::Instant;

use pawl_proto::codec::Version;
use pawl_proto::local::PairRequest;
use pawl_proto::message::{Cause, ShortText};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Epoch, Text};

use super::idle::Idle;
use super::paired::Paired;
use super::pairing::Pairing;
use super::{Device, Phase, before};
use crate::problem;
use crate::shared::Shared;
use crate::store::{Approved, PairingRecord, Revocation, StoreError, Unfinished};
use crate::telemetry::event::SecurityEvent;
use crate::wipe;

/// The phase in which the device begins.
///
/// # Errors
/// When the TPM does not even tell its counter.
pub(super) async fn phase(shared: &Arc<Shared>) -> Result<Phase, pawl_tpm::Error> {
    match shared.store.unfinished() {
        Unfinished::Nothing => shared.store.release(),
        Unfinished::Approved(approved) => {
            if let Some(pairing) = resume(shared, *approved).await? {
                return Ok(Phase::Pairing(pairing));
            }
        }
        Unfinished::Staged => {
            tracing::warn!("a pairing was granted and cut short; it takes its place");
            kept(shared.store.commit());
            if let Ok(Some(PairingRecord { epoch, pairing, scopes, .. })) = shared.store.pairing() {
                SecurityEvent::PAIRED.log(Some(epoch), format_args!("pairing {pairing}"));
                shared.audit.record(Some(epoch), DeviceFact::Paired { pairing, scopes });
            }
        }
        Unfinished::Scraps => kept(shared.store.discard_unfinished()),
    }
    let record = match shared.store.pairing() {
        Ok(record) => record,
        Err(error) => {
            tracing::error!(%error, "the pairing cannot be read");
            return Ok(idle(shared, Idle::unpaired(problem::damaged(&error))));
        }
    };
    let Some(record) = record else {
        let mut idle = Idle::unpaired(problem::unpaired());
        if shared.config.pairing.automatic {
            idle.retry_at(tokio::time::Instant::now(), PairRequest::default());
        }
        return Ok(self::idle(shared, idle));
    };
    let counter = shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
    Ok(match counter {
        Some(counter) if counter == record.epoch => in_epoch(shared, record).await?,
        Some(counter) if counter > record.epoch => over(shared, record).await?,
        _ => idle(shared, Idle::unpaired(problem::other_tpm())),
    })
}

/// Takes up an approval that an earlier process kept: what it ends is ended, and what it lets is
/// made, in an epoch of its own.
async fn resume(shared: &Arc<Shared>, approved: Approved) -> Result<Option<Pairing>, pawl_tpm::Error> {
    let Ok(statement) = approved.statement() else {
        kept(shared.store.discard_unfinished());
        return Ok(None);
    };
    if !before::is_due(shared, &approved).await? {
        tracing::warn!("an approval was kept that is over, or is another TPM's; it is dropped");
        kept(shared.store.discard_unfinished());
        return Ok(None);
    }
    tracing::warn!(session = %statement.session, "a pairing was approved and cut short; it is gone on with");
    before::end(shared, &approved, before::order(&approved)).await?;
    Ok(Some(Pairing::resume(shared, approved, &statement)))
}

/// Without its disk a device can still say how it stands.
fn kept(outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "a pairing in the making stays where it is");
    }
}

/// The counter stands where the pairing has it.
async fn in_epoch(shared: &Arc<Shared>, record: PairingRecord) -> Result<Phase, pawl_tpm::Error> {
    if let Some(revocation) = revocation_of(shared, &record) {
        // The epochs of two devices may have the same number: what is owed on the disk of another
        // one ends nothing here.
        if is_of_another_tpm(shared, &record).await? {
            return Ok(moved_disk(shared, &record));
        }
        let wiped = wipe::wipe(shared, &record, owed(revocation)).await;
        return Ok(idle(shared, Idle::after_wipe(record, &wiped)));
    }
    Ok(match shared.store.keys() {
        Ok(Some(keys)) => Phase::Paired(Box::new(Paired::start(shared, record, keys))),
        Ok(None) => idle(shared, Idle::unpaired(problem::keys_missing())),
        Err(error) => {
            tracing::error!(%error, "a key cannot be read");
            idle(shared, Idle::unpaired(problem::damaged(&error)))
        }
    })
}

/// The counter is past the pairing: it was revoked, unless this is another TPM.
async fn over(shared: &Arc<Shared>, record: PairingRecord) -> Result<Phase, pawl_tpm::Error> {
    if is_of_another_tpm(shared, &record).await? {
        return Ok(moved_disk(shared, &record));
    }
    let revocation = finish(shared, &record).await;
    Ok(idle(shared, Idle::revoked(record, revocation)))
}

async fn is_of_another_tpm(shared: &Shared, record: &PairingRecord) -> Result<bool, pawl_tpm::Error> {
    Ok(shared.identity().await?.ak_name != record.attestation_name.as_bytes())
}

fn moved_disk(shared: &Shared, record: &PairingRecord) -> Phase {
    idle(shared, Idle::unpaired(problem::moved_disk(record.device.as_str())))
}

/// The order of an earlier run, which died before the increment or whose TPM refused it.
pub(super) fn owed(revocation: Revocation) -> wipe::Order {
    let Revocation { cause, event, reason, .. } = revocation;
    wipe::Order { cause, event, reason, arrived: Instant::now() }
}

/// Finishes the end of a pairing whose epoch is over; why it ended.
pub(super) async fn finish(shared: &Shared, record: &PairingRecord) -> Revocation {
    let known = revocation_of(shared, record);
    let receipted = known.as_ref().is_some_and(|revocation| revocation.receipted);
    let revocation = known.unwrap_or_else(|| found(shared, record));
    let revocation = Revocation { counted: true, ..revocation };
    shared.gate.close(problem::revoked(&revocation));
    if receipted {
        if let Err(error) = shared.store.destroy_keys() {
            tracing::error!(%error, "dead keys stay on the disk");
        }
        return revocation;
    }
    tracing::warn!(epoch = %record.epoch, "the pairing's epoch is over; the wipe is finished");
    wipe::finish(shared, record, revocation, None).await.revocation
}

pub(super) fn revocation_of(shared: &Shared, record: &PairingRecord) -> Option<Revocation> {
    let revocation = shared.store.revocation().unwrap_or_else(|error| {
        tracing::warn!(%error, "why the last pairing ended cannot be read; the counter decides");
        None
    });
    revocation.filter(|revocation| revocation.ended == record.epoch)
}

/// A revocation of which the counter is the only trace.
fn found(shared: &Shared, record: &PairingRecord) -> Revocation {
    let reason: ShortText = Text::lossy(
        "the epoch counter was found ahead of the pairing: a wipe was cut short, the disk is from before it, \
         or the counter was moved on by somebody on the device",
    );
    Revocation {
        version: Version,
        ended: record.epoch,
        cause: Cause::Recovery,
        event: None,
        reason,
        time: shared.clock.unix(),
        counted: true,
        receipted: false,
    }
}

/// Closes the gate for the reason that `idle` has, and tells the holders.
pub(super) fn idle(shared: &Shared, idle: Idle) -> Phase {
    shared.gate.close(idle.problem().clone());
    shared.gate.tell_holders();
    Phase::Idle(Box::new(idle))
}

impl Device {
    /// The counter was found elsewhere than the live pairing has it: as at a start.
    pub(super) async fn recover(&mut self, counter: Option<Epoch>) {
        tracing::warn!(?counter, "the epoch counter does not fit the pairing");
        self.shared.gate.close(problem::other_tpm());
        match phase(&self.shared).await {
            Ok(phase) => self.enter(phase),
            Err(error) => tracing::error!(%error, "the counter cannot be read"),
        }
        self.deliver_receipts();
    }
}
