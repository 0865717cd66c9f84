//! The control plane's records, in their order.

use pawl_proto::limits;

use super::context::{Context, Done, Outcome, Paired};
use super::{Chain, Check, Checked, Failure, approval, attested, lease};
use crate::bundle::contents::{Contents, Entry};
use crate::records::{MAX_CARRIED, Place, follow};
use pawl_verifier::record::{Fact, Record, RecordFinding};

pub(super) fn walk(contents: &Contents, checked: &mut Checked) -> Context {
    let mut context = Context::new(contents);
    let checkpoint = contents.checkpoint.as_ref();
    let carried = checkpoint.map_or(0, |checkpoint| checkpoint.carried.len());
    if contents.records.len() < carried || carried > MAX_CARRIED {
        let sequence = checkpoint.map_or(0, |checkpoint| checkpoint.sequence);
        fail(checked, sequence, Check::Chain, "records that the checkpoint carries are missing");
    }
    let links = contents.records.iter().map(Entry::link);
    for Place { sequence, link, record } in follow(contents.device, checkpoint, links) {
        match record {
            Some(record) => examine(&mut context, &record, checked),
            None => {
                fail(checked, sequence, Check::Chain, "it was altered, or does not follow the one before it");
                // What it says may still explain what follows; that it fails is said.
                if let Ok(Record { fact, .. }) = pawl_proto::decode(&link.body, limits::MESSAGE) {
                    remember(&mut context, sequence, &fact);
                }
            }
        }
    }
    context
}

fn fail(checked: &mut Checked, sequence: u64, check: Check, problem: impl Into<String>) {
    checked.failures.push(Failure { chain: Chain::ControlPlane, sequence, check, problem: problem.into() });
}

/// Checks what the fact of a record rests on.
fn examine(context: &mut Context, record: &Record, checked: &mut Checked) {
    let judged = match &record.fact {
        Fact::Unknown(_) => {
            checked.unchecked += 1;
            None
        }
        Fact::Paired { pairing, scopes, counter, .. } => {
            Some((Check::Pairing, approval::pairing(context, pairing, scopes, counter.is_some())))
        }
        Fact::Verdict { .. } => Some((Check::Quote, attested::verdict(context, &record.fact))),
        Fact::Lease { .. } => Some((Check::Lease, lease::check(context, &record.fact))),
        Fact::Receipt { .. } => Some((Check::Receipt, attested::receipt(context, &record.fact))),
        Fact::Approved { .. } => Some((Check::Approval, approval::approved(context, &record.fact))),
        Fact::Assurance { .. } => Some((Check::Assurance, approval::assurance(context, &record.fact))),
        _ => None,
    };
    if let Some((check, outcome)) = judged {
        tally(checked, record.sequence, check, outcome);
    }
    remember(context, record.sequence, &record.fact);
}

fn tally(checked: &mut Checked, sequence: u64, check: Check, outcome: Outcome) {
    let done = match outcome {
        Ok(Done::Holds(number)) => number,
        Ok(Done::Nothing) => {
            checked.unchecked += 1;
            return;
        }
        Err(problem) => return fail(checked, sequence, check, problem),
    };
    match check {
        Check::Pairing => checked.pairings += done,
        Check::Quote => checked.quotes += done,
        Check::Lease => checked.leases += done,
        Check::Receipt => checked.receipts += done,
        Check::Approval => checked.approvals += done,
        Check::Assurance => checked.assurances += done,
        Check::Chain | Check::Head => {}
    }
}

/// Keeps what later records refer to.
fn remember(context: &mut Context, sequence: u64, fact: &Fact) {
    match fact {
        Fact::Paired { pairing, epoch, attestation_key, counter, policy_ref, lease_key, .. } => {
            context.pairings.push(Paired {
                pairing: pairing.clone(),
                epoch: *epoch,
                attestation_key: attestation_key.clone(),
                counter: counter.clone(),
                policy_ref: policy_ref.clone(),
                lease_key: lease_key.clone(),
            });
        }
        Fact::Approved { session, statement, .. } => {
            if let Ok(approved) = approval::read(statement) {
                context.approved.insert(session.clone(), approved);
            }
        }
        Fact::Verdict { records: Some(head), .. } => context.heads.push((sequence, head.clone())),
        Fact::DeviceRecords { finding: RecordFinding::Gap, known: Some(known), .. } => {
            context.gaps.push(known.clone());
        }
        _ => {}
    }
}
