use pawl_evidence::ima::{Aggregate, BinaryLog, IMA_PCR, ImaError, Outcome};
use pawl_evidence::tpm::{Digest, HashAlgorithm, PcrValues};
use pawl_proto::message::ImaLog;
use pawl_proto::{Blob, limits};
use serde::{Deserialize, Serialize};

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
}

/// What the log has to do with the quoted PCR 10.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    /// The judgement of pawl-evidence; none where there is nothing to judge, or not yet.
    pub(super) outcome: Option<Outcome>,
    /// More pieces have to come before there is a judgement.
    pub(super) behind: bool,
    /// To go on from.
    pub(super) state: Option<ImaState>,
}

/// A piece that does not begin where the last one ended.
#[derive(Debug)]
pub(super) struct Gap;

/// Follows the log by one piece. `before` is none for a whole report.
pub(super) fn follow(
    before: Option<&ImaState>,
    piece: Option<&ImaLog>,
    pcrs: &PcrValues,
) -> Result<Followed, Gap> {
    let nothing = Followed { outcome: None, behind: false, state: before.cloned() };
    let Some(quoted) = pcrs.get(HashAlgorithm::Sha256, IMA_PCR) else { return Ok(nothing) };
    if before.is_none() && piece.is_none() {
        return Ok(nothing);
    }
    let next = before.map_or(0, |state| state.next);
    if piece.is_some_and(|piece| piece.offset != next) {
        return Err(Gap);
    }
    let mut aggregate = match before {
        Some(state) => Aggregate::from_bytes(state.aggregate.as_bytes()).map_err(|_| Gap)?,
        None => Aggregate::new(HashAlgorithm::Sha256),
    };
    let new = piece.map_or(&[][..], |piece| piece.bytes.as_bytes());
    let tail = before.map_or(&[][..], |state| state.tail.as_bytes());
    let log = [tail, new].concat();
    let next = next.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
    let more = piece.is_some_and(|piece| next < piece.size);

    let step = step(&mut aggregate, &log, quoted, more, before.is_some_and(|state| state.unanchored));
    let rest = log.get(step.consumed..).unwrap_or_default().to_vec();
    let (Ok(tail), Ok(kept)) = (Blob::new(rest), Blob::new(aggregate.to_bytes())) else {
        // A single entry larger than any message.
        return Ok(Followed { outcome: Some(Outcome::Diverged), behind: false, state: None });
    };
    let unanchored = step.outcome == Some(Outcome::Unanchored);
    let state = ImaState { aggregate: kept, next, tail, unanchored };
    Ok(Followed { outcome: step.outcome, behind: more, state: Some(state) })
}

struct Step {
    outcome: Option<Outcome>,
    /// How much of the log need not be kept.
    consumed: usize,
}

fn step(aggregate: &mut Aggregate, log: &[u8], quoted: &Digest, more: bool, unanchored: bool) -> Step {
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
mod tests {
    use pawl_evidence::tpm::PcrValues;

    use super::*;

    /// An entry of the template `ima-ng` in `binary_runtime_measurements`.
    fn entry(path: &str) -> Vec<u8> {
        let sized = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
        let data = [sized(b"sha256:\0\x11\x11"), sized(format!("{path}\0").as_bytes())].concat();
        let digest = HashAlgorithm::Sha1.digest(&[&data]);
        [&10_u32.to_le_bytes(), digest.as_bytes(), &sized(b"ima-ng"), &sized(&data)].concat()
    }

    /// PCR 10 after these entries.
    fn pcr_10(log: &[u8]) -> PcrValues {
        let mut pcrs = PcrValues::default();
        let mut value = Digest::filled(HashAlgorithm::Sha256, 0);
        let mut rest = log;
        for entry in BinaryLog::new(log) {
            let end = entry.unwrap().end;
            // PCR number, SHA-1, name with its length, and the length of the data stand before the data.
            let entry = &rest[..end - (log.len() - rest.len())];
            let data = &entry[4 + 20 + 4 + 6 + 4..];
            value = value.extend(HashAlgorithm::Sha256.digest(&[data]).as_bytes());
            rest = &log[end..];
        }
        pcrs.insert(10, value).unwrap();
        pcrs
    }

    fn piece(log: &[u8], from: usize, to: usize) -> ImaLog {
        let bytes = Blob::new(log[from..to].to_vec()).unwrap();
        ImaLog { offset: from as u64, size: log.len() as u64, bytes }
    }

    #[test]
    fn a_log_in_pieces_that_cut_entries_is_followed_to_its_end() {
        let log: Vec<u8> = (0..9).flat_map(|number| entry(&format!("/usr/bin/{number}"))).collect();
        let pcrs = pcr_10(&log);
        let mut state: Option<ImaState> = None;
        let mut at = 0;
        while at < log.len() {
            let to = (at + 100).min(log.len());
            let followed = follow(state.as_ref(), Some(&piece(&log, at, to)), &pcrs).unwrap();
            assert_eq!(followed.behind, to < log.len());
            let anchored = matches!(followed.outcome, Some(Outcome::Anchored { .. }));
            assert_eq!(anchored, to == log.len(), "{:?}", followed.outcome);
            (state, at) = (followed.state, to);
        }
        assert!(
            follow(state.as_ref(), None, &pcrs)
                .is_ok_and(|followed| { matches!(followed.outcome, Some(Outcome::Anchored { .. })) })
        );
        assert!(follow(state.as_ref(), Some(&piece(&log, 0, 10)), &pcrs).is_err(), "a gap");
    }

    #[test]
    fn entries_after_the_quote_are_kept_for_the_next_one() {
        let (first, second) = (entry("/usr/bin/a"), entry("/usr/bin/b"));
        let both = [first.clone(), second].concat();
        let early = follow(None, Some(&piece(&both, 0, both.len())), &pcr_10(&first)).unwrap();
        assert!(matches!(early.outcome, Some(Outcome::Anchored { .. })));
        let late = follow(early.state.as_ref(), None, &pcr_10(&both)).unwrap();
        assert!(matches!(late.outcome, Some(Outcome::Anchored { .. })));
    }

    #[test]
    fn an_unanchored_log_does_not_become_better_by_silence() {
        let log = entry("/usr/bin/a");
        let mut pcrs = PcrValues::default();
        pcrs.insert(10, Digest::filled(HashAlgorithm::Sha256, 0)).unwrap();
        let first = follow(None, Some(&piece(&log, 0, log.len())), &pcrs).unwrap();
        let next = follow(first.state.as_ref(), None, &pcrs).unwrap();
        assert_eq!((first.outcome, next.outcome), (Some(Outcome::Unanchored), Some(Outcome::Unanchored)));
    }

    #[test]
    fn an_altered_log_diverges() {
        let (log, other) = (entry("/usr/bin/a"), entry("/usr/bin/x"));
        let followed = follow(None, Some(&piece(&other, 0, other.len())), &pcr_10(&log)).unwrap();
        assert_eq!(followed.outcome, Some(Outcome::Diverged));
    }
}
