//! The device's own records: their chains, and what is known of them from the control plane's.

use std::collections::BTreeMap;

use pawl_proto::Digest;
use pawl_proto::record::{DeviceRecord, Link};

use super::context::Context;
use super::{Chain, Check, Checked, Failure};
use crate::bundle::contents::{Contents, DeviceEntry};
use pawl_verifier::record::ChainHead;

pub(super) fn check(contents: &Contents, context: &Context, checked: &mut Checked) {
    let mut before: Option<&DeviceEntry> = None;
    for entry in &contents.device_records {
        if let Err(problem) = follows(context, before, entry) {
            fail(checked, entry.sequence, Check::Chain, problem);
        }
        before = Some(entry);
    }
    heads(contents, context, checked);
}

/// Whether a record is whole and follows the one before it. The oldest ones are not kept for ever,
/// and a gap that was found when it came about is no fault of the records.
fn follows(context: &Context, before: Option<&DeviceEntry>, entry: &DeviceEntry) -> Result<(), &'static str> {
    let link = entry.record.link();
    let record: DeviceRecord = link.check(link.previous).ok_or("it was altered")?;
    if record.sequence != entry.sequence {
        return Err("it stands in another's place");
    }
    let Some(before) = before.filter(|before| before.chain == entry.chain) else {
        let first = entry.sequence > 1 || link.previous == Link::START;
        let later = before.is_none_or(|before| before.chain < entry.chain);
        return if first && later { Ok(()) } else { Err("it is no beginning of a chain") };
    };
    let known = |gap: &ChainHead| gap.chain == before.chain && gap.sequence == before.sequence;
    if before.sequence.checked_add(1) == Some(entry.sequence) {
        let follows = before.record.digest == entry.record.previous;
        return if follows { Ok(()) } else { Err("it does not follow the one before it") };
    }
    if before.sequence < entry.sequence && context.gaps.iter().any(known) {
        return Ok(());
    }
    Err("records before it are missing")
}

/// Whether the records are those that the control plane had when it judged reports. The oldest may
/// have made room for others since.
fn heads(contents: &Contents, context: &Context, checked: &mut Checked) {
    let place = |entry: &DeviceEntry| (entry.chain, entry.sequence);
    let kept: BTreeMap<(u32, u64), Digest> =
        contents.device_records.iter().map(|entry| (place(entry), entry.record.digest.0)).collect();
    let oldest = kept.keys().next();
    for (sequence, head) in &context.heads {
        let at = (head.chain, head.sequence);
        let problem = match kept.get(&at) {
            Some(digest) if digest.to_string() == head.digest => continue,
            Some(_) => "is another one now",
            None if oldest.is_none_or(|oldest| at >= *oldest) => "is missing",
            None => continue,
        };
        checked.failures.push(Failure {
            chain: Chain::ControlPlane,
            sequence: *sequence,
            check: Check::Head,
            problem: format!(
                "record {} of the device's chain {}, which was known then, {problem}",
                at.1, at.0
            ),
        });
    }
}

fn fail(checked: &mut Checked, sequence: u64, check: Check, problem: &str) {
    let problem = problem.to_owned();
    checked.failures.push(Failure { chain: Chain::Device, sequence, check, problem });
}
