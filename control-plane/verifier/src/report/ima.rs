use pawl_evidence::ima::{Aggregate, BinaryLog, Findings, IMA_PCR, ImaError, Outcome, Rules};
use pawl_evidence::tpm::{PcrValues, TaggedDigest};
use pawl_proto::message::ImaLog;
use pawl_proto::{Blob, limits};
use serde::{Deserialize, Serialize};

use super::quoted::{bank, bank_hash};

/// The position up to which a device's IMA log was followed in this boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImaState {
    /// The running aggregate, as pawl-evidence encodes it.
    aggregate: Blob<256>,
    /// The offset in the log at which the next piece begins.
    next: u64,
    /// The bytes before `next` that no quote covers yet: entries made after the last quote, or the beginning of an incomplete
    /// entry.
    tail: Blob<{ limits::MESSAGE }>,
    /// Whether PCR 10 was never extended although there are entries.
    unanchored: bool,
    /// The findings of the policy's rules in the entries so far; `None` if there are no rules. They are provisional until a
    /// quote covers the entries.
    findings: Option<Findings>,
}

/// The result of comparing the log with the quoted PCR 10.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// The outcome of pawl-evidence; `None` if there is no log, or if pieces are missing.
    pub(crate) outcome: Option<Outcome>,
    /// The findings of the rules in a log that a quote covers.
    pub(crate) findings: Option<Findings>,
    /// Whether pieces are missing before there can be an outcome.
    pub(crate) behind: bool,
    /// The state from which to continue.
    pub(crate) state: Option<ImaState>,
}

/// The piece does not begin where the last one ended, or the log was examined under other rules. The device must send the log
/// again from its beginning.
#[derive(Debug)]
pub(crate) struct Gap;

/// Follows the log by one piece. `before` is `None` for a whole report. `rules` is `None` if the policy has no rules on files.
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
    // A device that announces more and sends nothing must not postpone its appraisal for ever, and no valid entry is larger
    // than a message. Both diverge, and the next report must be a whole one.
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
    /// The number of bytes of the log that are done and need not be stored.
    consumed: usize,
}

fn step(aggregate: &mut Aggregate, log: &[u8], quoted: &TaggedDigest, more: bool, unanchored: bool) -> Step {
    match aggregate.advance(BinaryLog::new(log), quoted) {
        Ok(outcome @ Outcome::Anchored { consumed, .. }) => Step { outcome: Some(outcome), consumed },
        // An unanchored log stays unanchored, even if later reports have no new entries.
        Ok(Outcome::Inactive) if unanchored => {
            Step { outcome: Some(Outcome::Unanchored), consumed: log.len() }
        }
        Ok(outcome @ (Outcome::Inactive | Outcome::Unanchored)) => {
            Step { outcome: Some(outcome), consumed: log.len() }
        }
        // A later piece may reach the quoted value.
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
