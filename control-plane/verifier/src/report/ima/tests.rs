use pawl_evidence::ima::{PathPattern, RuleSet, Why};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues};

use super::*;

/// Returns an entry of the template `ima-ng` in `binary_runtime_measurements`.
fn entry(path: &str) -> Vec<u8> {
    entry_of(HashAlgorithm::Sha1, path)
}

/// Returns the same entry in a list for one bank.
fn entry_of(list: HashAlgorithm, path: &str) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
    let data = [sized(b"sha256:\0\x11\x11"), sized(format!("{path}\0").as_bytes())].concat();
    let digest = list.digest(&[&data]);
    [&10_u32.to_le_bytes(), digest.as_bytes(), &sized(b"ima-ng"), &sized(&data)].concat()
}

/// Returns the same entry in the template `ima-sig`, signed by a key with the id 7.
fn signed_entry(path: &str) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
    let digest = [b"sha256:\0", &[0x11; 32][..]].concat();
    let signature = sized(&[3, 2, 4, 0, 0, 0, 7, 0, 1, 9]);
    let data = [sized(&digest), sized(format!("{path}\0").as_bytes()), signature].concat();
    let digest = HashAlgorithm::Sha1.digest(&[&data]);
    [&10_u32.to_le_bytes(), digest.as_bytes(), &sized(b"ima-sig"), &sized(&data)].concat()
}

/// Returns PCR 10 after these entries.
fn pcr_10(log: &[u8]) -> PcrValues {
    let mut pcrs = PcrValues::default();
    let mut value = TaggedDigest::filled(HashAlgorithm::Sha256, 0);
    let mut rest = log;
    for entry in BinaryLog::new(log) {
        let entry = entry.unwrap();
        let (end, name) = (entry.end, entry.template.len());
        let digest = entry.list_hash().digest_len();
        // The data follows the PCR number, the digest, the name with its length, and the length of the data.
        let entry = &rest[..end - (log.len() - rest.len())];
        let data = &entry[4 + digest + 4 + name + 4..];
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
    for list in [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha384] {
        follow_in_pieces(list);
    }
}

fn follow_in_pieces(list: HashAlgorithm) {
    let log: Vec<u8> = (0..9).flat_map(|number| entry_of(list, &format!("/usr/bin/{number}"))).collect();
    let pcrs = pcr_10(&log);
    let mut state: Option<ImaState> = None;
    let mut at = 0;
    while at < log.len() {
        let to = (at + 100).min(log.len());
        let followed = follow(state.as_ref(), Some(&piece(&log, at, to)), &pcrs, None).unwrap();
        assert_eq!(followed.behind, to < log.len());
        let anchored = matches!(followed.outcome, Some(Outcome::Anchored { .. }));
        assert_eq!(anchored, to == log.len(), "{:?}", followed.outcome);
        (state, at) = (followed.state, to);
    }
    assert!(
        follow(state.as_ref(), None, &pcrs, None)
            .is_ok_and(|followed| { matches!(followed.outcome, Some(Outcome::Anchored { .. })) })
    );
    assert!(follow(state.as_ref(), Some(&piece(&log, 0, 10)), &pcrs, None).is_err(), "a gap");
}

#[test]
fn entries_after_the_quote_are_kept_for_the_next_one() {
    let (first, second) = (entry("/usr/bin/a"), entry("/usr/bin/b"));
    let both = [first.clone(), second].concat();
    let early = follow(None, Some(&piece(&both, 0, both.len())), &pcr_10(&first), None).unwrap();
    assert!(matches!(early.outcome, Some(Outcome::Anchored { .. })));
    let late = follow(early.state.as_ref(), None, &pcr_10(&both), None).unwrap();
    assert!(matches!(late.outcome, Some(Outcome::Anchored { .. })));
}

#[test]
fn an_unanchored_log_stays_unanchored_without_new_entries() {
    let log = entry("/usr/bin/a");
    let mut pcrs = PcrValues::default();
    pcrs.insert(10, TaggedDigest::filled(HashAlgorithm::Sha256, 0)).unwrap();
    let first = follow(None, Some(&piece(&log, 0, log.len())), &pcrs, None).unwrap();
    let next = follow(first.state.as_ref(), None, &pcrs, None).unwrap();
    assert_eq!((first.outcome, next.outcome), (Some(Outcome::Unanchored), Some(Outcome::Unanchored)));
}

#[test]
fn an_altered_log_diverges() {
    let (log, other) = (entry("/usr/bin/a"), entry("/usr/bin/x"));
    let followed = follow(None, Some(&piece(&other, 0, other.len())), &pcr_10(&log), None).unwrap();
    assert_eq!(followed.outcome, Some(Outcome::Diverged));
}

#[test]
fn a_device_that_has_more_and_sends_nothing_diverges_until_it_sends_all() {
    let log = entry("/usr/bin/a");
    let pcrs = pcr_10(&log);
    let empty = ImaLog { offset: 0, size: 1, bytes: Blob::default() };
    let stuck = follow(None, Some(&empty), &pcrs, None).unwrap();
    assert_eq!((stuck.outcome, stuck.behind), (Some(Outcome::Diverged), false));
    let silent = follow(stuck.state.as_ref(), None, &pcrs, None).unwrap();
    assert_eq!(silent.outcome, Some(Outcome::Diverged), "it stays diverged");
    assert!(follow(stuck.state.as_ref(), Some(&piece(&log, 0, log.len())), &pcrs, None).is_err());
}

#[test]
fn an_entry_larger_than_a_piece_is_joined_from_several() {
    let log = [entry("/usr/bin/a"), entry(&"x".repeat(3 * limits::IMA_PIECE)), entry("/usr/bin/b")].concat();
    let pcrs = pcr_10(&log);
    let mut followed = follow(None, Some(&piece(&log, 0, limits::IMA_PIECE)), &pcrs, None).unwrap();
    for (start, _) in log.chunks(limits::IMA_PIECE).enumerate().skip(1) {
        let start = start * limits::IMA_PIECE;
        let next = piece(&log, start, (start + limits::IMA_PIECE).min(log.len()));
        assert!(followed.behind);
        followed = follow(followed.state.as_ref(), Some(&next), &pcrs, None).unwrap();
    }
    assert!(matches!(followed.outcome, Some(Outcome::Anchored { .. })), "{:?}", followed.outcome);
}

fn rules(excluded: &str) -> Rules {
    let exclusions = vec![PathPattern::new(excluded).unwrap()];
    Rules::new(RuleSet { exclusions, ..RuleSet::default() })
}

#[test]
fn findings_count_once_a_quote_covers_the_log_and_grow_with_it() {
    let rules = rules("/usr/**");
    let first = [entry("/usr/bin/a"), entry("/tmp/evil")].concat();
    let both = [first.clone(), entry("/usr/bin/b"), entry("/tmp/worse")].concat();
    let behind = follow(None, Some(&piece(&first, 0, 100)), &pcr_10(&first), Some(&rules)).unwrap();
    assert!(behind.behind && behind.findings.is_none());
    let rest = piece(&first, 100, first.len());
    let anchored = follow(behind.state.as_ref(), Some(&rest), &pcr_10(&first), Some(&rules)).unwrap();
    let found = anchored.findings.unwrap();
    assert_eq!((found.excluded, found.offending, found.offenders[0].line), (1, 1, 2));
    let added = piece(&both, first.len(), both.len());
    let later = follow(anchored.state.as_ref(), Some(&added), &pcr_10(&both), Some(&rules)).unwrap();
    let found = later.findings.unwrap();
    assert_eq!((found.excluded, found.offending, found.offenders[1].line), (2, 2, 4));
    // A report without new entries keeps the findings.
    let silent = follow(later.state.as_ref(), None, &pcr_10(&both), Some(&rules)).unwrap();
    assert_eq!(silent.findings.unwrap().offending, 2);
}

#[test]
fn entries_that_no_quote_covers_are_not_examined() {
    let rules = rules("/usr/**");
    let (first, second) = (entry("/usr/bin/a"), entry("/tmp/evil"));
    let both = [first.clone(), second].concat();
    let early = follow(None, Some(&piece(&both, 0, both.len())), &pcr_10(&first), Some(&rules)).unwrap();
    assert_eq!(early.findings.unwrap().entries, 1);
    let altered =
        follow(None, Some(&piece(&both, 0, both.len())), &pcr_10(&entry("/x")), Some(&rules)).unwrap();
    assert_eq!((altered.outcome, altered.findings), (Some(Outcome::Diverged), None));
}

#[test]
fn other_rules_require_the_log_from_its_beginning() {
    let log = entry("/usr/bin/a");
    let pcrs = pcr_10(&log);
    let without = follow(None, Some(&piece(&log, 0, log.len())), &pcrs, None).unwrap();
    assert!(follow(without.state.as_ref(), None, &pcrs, Some(&rules("/usr/**"))).is_err());
    let with = follow(None, Some(&piece(&log, 0, log.len())), &pcrs, Some(&rules("/usr/**"))).unwrap();
    assert!(follow(with.state.as_ref(), None, &pcrs, Some(&rules("/tmp/**"))).is_err());
    assert!(follow(with.state.as_ref(), None, &pcrs, None).is_ok());
}

#[test]
fn a_state_survives_encoding_and_one_of_earlier_versions_is_read() {
    let log = [entry("/usr/bin/a"), signed_entry("/usr/bin/b")].concat();
    let followed =
        follow(None, Some(&piece(&log, 0, log.len())), &pcr_10(&log), Some(&rules("/tmp/**"))).unwrap();
    let offenders = followed.findings.unwrap().offenders;
    assert_eq!((offenders.len(), offenders[1].why), (2, Why::Signer { key_id: 7 }));
    let state = followed.state.unwrap();
    let kept = pawl_proto::encode(&state).unwrap();
    assert_eq!(pawl_proto::decode::<ImaState>(&kept, limits::MESSAGE).unwrap(), state);
    let earlier = ImaState { findings: None, ..state };
    let kept = pawl_proto::encode(&earlier).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("findings"));
    assert_eq!(pawl_proto::decode::<ImaState>(&kept, limits::MESSAGE).unwrap(), earlier);
}
