use pawl_proto::record::Link;
use pawl_proto::{DeviceId, Digest};
use pawl_verifier::record::Record;

use super::Checkpoint;

/// A record where it stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its place in the chain, from 1.
    pub sequence: u64,
    /// The record as it is stored.
    pub link: Link,
    /// What it says; none when it was altered or does not follow the one before it.
    pub record: Option<Record>,
}

/// Follows the records of a device from the first, or from a checkpoint: the records that it carries, then those after
/// it without a gap. The signature of the checkpoint is not checked here.
pub fn follow(
    device: DeviceId,
    checkpoint: Option<&Checkpoint>,
    links: impl IntoIterator<Item = Link>,
) -> Vec<Place> {
    let mut carried = checkpoint.map(|checkpoint| checkpoint.carried.as_slice()).unwrap_or_default().iter();
    let (mut before, mut last) = match checkpoint {
        Some(checkpoint) => (checkpoint.digest.0, checkpoint.sequence),
        None => (Link::START, 0),
    };
    let mut places: Vec<Place> = Vec::new();
    for link in links {
        if let Some(digest) = carried.next() {
            let newest = places.last().map_or(0, |place| place.sequence);
            let is_carried = |record: &Record| {
                record.device == device
                    && (newest + 1..=last).contains(&record.sequence)
                    && link.digest == digest.0
            };
            let record: Option<Record> = link.check(link.previous).filter(is_carried);
            let sequence = record.as_ref().map_or(newest, |record| record.sequence);
            places.push(Place { sequence, link, record });
            continue;
        }
        last = last.saturating_add(1);
        let record = check(device, last, before, &link);
        before = link.digest;
        places.push(Place { sequence: last, link, record });
    }
    places
}

fn check(device: DeviceId, sequence: u64, before: Digest, link: &Link) -> Option<Record> {
    link.check(before).filter(|record: &Record| record.sequence == sequence && record.device == device)
}
