use pawl_evidence::ima::{Aggregate, BinaryLog, Findings, IMA_PCR, ImaError, Outcome, Rules};
use pawl_evidence::tpm::{PcrValues, TaggedDigest};
use pawl_proto::message::ImaLog;
use pawl_proto::{Blob, limits};
use serde::{Deserialize, Serialize};

use super::quoted::{bank, bank_hash};

/// How far a device's IMA log has been followed in this boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImaState {
    /// The running aggregate, as pawl-evidence keeps it.
    aggregate: Blob<256>,
    /// Where in the log the next piece begins.
    next: u64,
    /// What came before it and is not accounted for by a quote yet: entries that were made after
    /// the last quote, or the beginning of one that was cut.
    tail: Blob<{ limits::MESSAGE }>,
    /// PCR 10 was never extended though there are entries.
    unanchored: bool,
    /// What the policy's rules found in the entries so far; none if there are no rules. Provisional until the
    /// entries are accounted for.
    findings: Option<Findings>,
}

/// What the log has to do with the quoted PCR 10.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// The judgement of pawl-evidence; none if there is nothing to judge, or not yet.
    pub(crate) outcome: Option<Outcome>,
    /// What the rules found in a log that a quote accounts for.
    pub(crate) findings: Option<Findings>,
    /// More pieces have to come before there is a judgement.
    pub(crate) behind: bool,
    /// To go on from.
    pub(crate) state: Option<ImaState>,
}

/// A piece that does not begin where the last one ended, or a log that was looked at under other rules: it has to be
/// sent again from its beginning.
#[derive(Debug)]
pub(crate) struct Gap;

/// Follows the log by one piece. `before` is none for a whole report, `rules` where the policy has none on files.
pub(crate) fn follow(
    before: Option<&ImaState>,
    piece: Option<&ImaLog>,
    pcrs: &PcrValues,
    rules: Option<&Rules>,
) -> Result<Followed, Gap> {
    let nothing = Followed { outcome: None, findings: None, behind: false, state: before.cloned() };
    let quoted = bank(pcrs).and_then(|bank| pcrs.get(bank_hash(bank), IMA_PCR));
    let Some(quoted) = quoted else { return Ok(nothing) };
    if before.is_none() && piece.is_none() {
        return Ok(nothing);
    }
    let next = before.map_or(0, |state| state.next);
    if piece.is_some_and(|piece| piece.offset != next) {
        return Err(Gap);
    }
    let mut aggregate = match before {
        Some(state) => Aggregate::from_bytes(state.aggregate.as_bytes())
            .ok()
            .filter(|aggregate| aggregate.bank() == quoted.algorithm())
            .ok_or(Gap)?,
        None => Aggregate::new(quoted.algorithm()),
    };
    let mut findings = match (rules, before) {
        (None, _) => None,
        (Some(rules), None) => Some(Findings::new(rules)),
        (Some(rules), Some(state)) => {
            Some(state.findings.clone().filter(|findings| findings.made_under(rules)).ok_or(Gap)?)
        }
    };
    let new = piece.map_or(&[][..], |piece| piece.bytes.as_bytes());
    let tail = before.map_or(&[][..], |state| state.tail.as_bytes());
    let log = [tail, new].concat();
    let next = next.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
    let more = piece.is_some_and(|piece| next < piece.size);

    let step = step(&mut aggregate, &log, quoted, more, before.is_some_and(|state| state.unanchored));
    let (accepted, rest) = log.split_at_checked(step.consumed).unwrap_or_default();
    let unanchored = step.outcome == Some(Outcome::Unanchored);
    if let (Some(rules), Some(findings), false) = (rules, &mut findings, unanchored) {
        findings.observe(rules, BinaryLog::new(accepted), pcrs);
    }
    let anchored = matches!(step.outcome, Some(Outcome::Anchored { .. }));
    let judged = findings.clone().filter(|_| anchored);
    let aggregate = Blob::new(aggregate.to_bytes()).map_err(|_| Gap)?;
    // One that says there is more and sends nothing could stay behind for ever and never be judged, and a single
    // entry larger than any message is none. Neither can be built on: what comes next has to come whole.
    let stuck = more && new.is_empty();
    let (outcome, next, tail) = match Blob::new(rest.to_vec()) {
        Ok(tail) if !stuck => (step.outcome, next, tail),
        _ => (Some(Outcome::Diverged), u64::MAX, Blob::default()),
    };
    let state = ImaState { aggregate, next, tail, unanchored, findings };
    Ok(Followed { outcome, findings: judged, behind: more && outcome.is_none(), state: Some(state) })
}

struct Step {
    outcome: Option<Outcome>,
    /// How much of the log need not be kept.
    consumed: usize,
}

fn step(aggregate: &mut Aggregate, log: &[u8], quoted: &TaggedDigest, more: bool, unanchored: bool) -> Step {
    match aggregate.advance(BinaryLog::new(log), quoted) {
        Ok(outcome @ Outcome::Anchored { consumed, .. }) => Step { outcome: Some(outcome), consumed },
        // Once unanchored, later reports without new entries do not make it better.
        Ok(Outcome::Inactive) if unanchored => {
            Step { outcome: Some(Outcome::Unanchored), consumed: log.len() }
        }
        Ok(outcome @ (Outcome::Inactive | Outcome::Unanchored)) => {
            Step { outcome: Some(outcome), consumed: log.len() }
        }
        // The quoted value lies in a piece that is still to come.
        Ok(Outcome::Diverged) | Err(ImaError::Truncated { .. }) if more => {
            match aggregate.absorb(BinaryLog::new(log)) {
                Ok(consumed) => Step { outcome: None, consumed },
                Err(_) => Step { outcome: Some(Outcome::Diverged), consumed: 0 },
            }
        }
        Ok(Outcome::Diverged) | Err(_) => Step { outcome: Some(Outcome::Diverged), consumed: 0 },
    }
}

#[cfg(test)]
mod tests;
