use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pawl_proto::DeviceId;
use pawl_verifier::record::{Fact, RecordFinding};

use super::{Checkpoint, MAX_CARRIED, Place, follow};
use crate::bundle::Hex;
use crate::control_plane::ControlPlane;
use crate::off_runtime::off_runtime;
use crate::store::{StoreError, Tx};

/// Records dropped in one transaction, which blocks the database for some milliseconds.
const STEP: u64 = 1000;
/// Time between two trimmings.
const PAUSE: Duration = Duration::from_secs(600);
/// Pairings that a checkpoint carries, each with its approval: receipts of the last epochs may still arrive.
const PAIRINGS: usize = 8;
/// Approvals that a checkpoint carries besides: their sessions may still be spent.
const APPROVALS: usize = 16;
/// Records of gaps in the device's own chain that a checkpoint carries.
const GAPS: usize = 16;

/// Drops the records beyond `records.keep` of every device, now and every ten minutes.
pub(crate) async fn trim_regularly(plane: &Arc<ControlPlane>) {
    loop {
        match trim(plane).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "replaced old records with checkpoints"),
            Err(error) => tracing::error!(%error, "cannot drop old records: check the database"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Drops the records beyond `records.keep` of every device. Returns how many.
///
/// # Errors
/// [`TrimError`]
pub(crate) async fn trim(plane: &Arc<ControlPlane>) -> Result<u64, TrimError> {
    let keep = plane.config.records.keep;
    let long = plane.store.transaction(move |tx| tx.devices_with_records_above(keep)).await?;
    let mut dropped = 0;
    for (device, mut surplus) in long {
        while surplus > 0 {
            let step = surplus.min(STEP);
            match trim_device(plane, device, step).await? {
                Some(count) => dropped += count,
                None => {
                    // An investigation of the damage needs all of them.
                    tracing::error!(%device, "the chain of records is broken; none is dropped");
                    break;
                }
            }
            surplus -= step;
        }
    }
    Ok(dropped)
}

/// Drops the oldest `step` records after the checkpoint of a device. Returns none when their chain is broken.
async fn trim_device(
    plane: &Arc<ControlPlane>,
    device: DeviceId,
    step: u64,
) -> Result<Option<u64>, TrimError> {
    let (before, links) = plane
        .store
        .transaction(move |tx| {
            let before = tx.checkpoint(device)?;
            let last = before.as_ref().map_or(0, |checkpoint| checkpoint.sequence).saturating_add(step);
            Ok::<_, StoreError>((before, tx.record_links_to(device, last)?))
        })
        .await?;
    let (of_plane, of_before) = (Arc::clone(plane), before.clone());
    let made = off_runtime(move || {
        let places = follow(device, of_before.as_ref(), links);
        let Some(last) = places.last().filter(|_| places.iter().all(|place| place.record.is_some())) else {
            return Ok(None);
        };
        let end = (last.sequence, Hex(last.link.digest));
        let keys = &of_plane.keys;
        let time = of_plane.clock.now();
        Checkpoint::sign(device, end, carried(&places), time, &keys.audit, &keys.authority).map(Some)
    });
    let Some(checkpoint) = made.await?? else { return Ok(None) };
    let commit = move |tx: &Tx<'_>| {
        if tx.checkpoint(device)? != before {
            return Ok(0);
        }
        tx.drop_records(device, &checkpoint)
    };
    Ok(Some(plane.store.transaction::<_, StoreError>(commit).await?))
}

/// Returns the digests of the records that later ones depend on, in their order.
fn carried(places: &[Place]) -> Vec<Hex> {
    let mut needed = BTreeSet::new();
    let (mut pairings, mut approvals, mut gaps) = (Vec::new(), 0, 0);
    for place in places.iter().rev() {
        let is_needed = match place.record.as_ref().map(|record| &record.fact) {
            Some(Fact::Paired { pairing, .. }) if pairings.len() < PAIRINGS => {
                pairings.push(pairing);
                true
            }
            Some(Fact::Approved { session, .. }) if pairings.contains(&session) => true,
            Some(Fact::Approved { .. }) if approvals < APPROVALS => {
                approvals += 1;
                true
            }
            Some(Fact::DeviceRecords { finding: RecordFinding::Gap, .. }) if gaps < GAPS => {
                gaps += 1;
                true
            }
            _ => false,
        };
        if is_needed && needed.len() < MAX_CARRIED {
            needed.insert(place.sequence);
        }
    }
    let is_needed = |place: &&Place| needed.contains(&place.sequence);
    places.iter().filter(is_needed).map(|place| Hex(place.link.digest)).collect()
}

/// Why records cannot be dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrimError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint cannot be written.
    #[error("a checkpoint cannot be written: {0}")]
    Checkpoint(#[from] serde_json::Error),
}
