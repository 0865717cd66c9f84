//! Cut, spliced and altered event logs: each is refused, replays to other PCRs, or has no tied fact that the original
//! lacks.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use pawl_evidence::boot_image::{BootChange, DigestSet, PeImage};
use pawl_evidence::eventlog::{BootFacts, EVENTS_MAX, EventFact, EventKind, EventLog, Fact, Tie, predict};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};
use proptest::prelude::*;
use serde_json::json;

use crate::support::boot::Boot;
use crate::support::log::{LogWriter, guid, variable};

static LOGS: LazyLock<[Original; 4]> =
    LazyLock::new(|| ["x86-shim-grub-ms", "x86-secureboot-on", "x86-good", "arm64-good"].map(Original::read));

/// Changes for predictions from altered logs. The predictions may have any result, but must return.
static CHANGES: LazyLock<[BootChange; 2]> = LazyLock::new(|| {
    let digests = DigestSet::of(b"new");
    let text = "root=/dev/nvme0n1p2 rw console=ttyS0 ima_policy=tcb";
    let unified = json!({"unified": {
        "image": digests, "kernel": digests, "initrd": digests, "command-line": text, "is-signed": true,
    }});
    let separate = json!({"separate": {
        "kernel": digests, "kernel-file": digests, "initrd": digests, "command-line": text, "is-signed": true,
    }});
    [unified, separate].map(|change| serde_json::from_value(change).unwrap())
});

/// The unaltered log of a real boot, with its PCRs and facts.
struct Original {
    log: Vec<u8>,
    pcrs: Option<Vec<(u8, TaggedDigest)>>,
    facts: BTreeSet<(u8, String)>,
    secure_boot: Option<bool>,
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        // Four boots share the cases.
        cases: 2 * ProptestConfig::default().cases,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_cut_log_is_refused_or_gives_other_pcrs(which in 0..4_usize, cut in any::<prop::sample::Index>()) {
        let original = &LOGS[which];
        let cut = &original.log[..cut.index(original.log.len())];
        prop_assert!(!original.is_quoted_as(cut));
    }

    #[test]
    fn flipped_bits_are_refused_or_give_other_pcrs_or_no_new_fact(
        which in 0..4_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let original = &LOGS[which];
        let mut altered = original.log.clone();
        for (position, flip) in flips {
            altered[position.index(original.log.len())] ^= flip;
        }
        original.check_no_new_fact(&altered)?;
    }

    #[test]
    fn spliced_logs_are_refused_or_give_other_pcrs_or_no_new_fact(
        which in 0..4_usize,
        other in 0..4_usize,
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let (original, other) = (&LOGS[which], &LOGS[other].log);
        let (from, to) = (boundary(&original.log, from), boundary(other, to));
        original.check_no_new_fact(&[&original.log[..from], &other[to..]].concat())?;
    }

    #[test]
    fn moved_omitted_and_repeated_events_are_refused_or_give_other_pcrs_or_no_new_fact(
        which in 0..4_usize,
        bounds in prop::array::uniform3(any::<prop::sample::Index>()),
        how in 0..3,
    ) {
        let original = &LOGS[which];
        let log = &original.log;
        let mut bounds = bounds.map(|bound| boundary(log, bound));
        bounds.sort_unstable();
        let [a, b, c] = bounds;
        let parts = match how {
            0 => [&log[..a], &log[b..c], &log[a..b], &log[c..]],
            1 => [&log[..a], &log[b..], &[], &[]],
            _ => [&log[..b], &log[a..b], &log[b..], &[]],
        };
        original.check_no_new_fact(&parts.concat())?;
    }

    #[test]
    fn no_event_makes_the_decoders_panic(
        pcr in 0..24_u32,
        kind in prop_oneof![0..0x14_u32, 0x8000_0000..0x8000_0012_u32, 0x8000_00e0..0x8000_00e6_u32],
        data in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let log = LogWriter::new().event(pcr, EventKind(kind), &data).separator(pcr).bytes();
        for event in EventLog::parse(&log).unwrap().facts().unwrap() {
            let _ = (event.to_string(), event.is_routine(), event.is_command_line("quiet"));
        }
    }

    #[test]
    fn no_structure_of_uefi_makes_the_decoders_panic(
        structure in 0..5_usize,
        position in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        let (pcr, kind, mut data) = structures()[structure].clone();
        let position = position.index(data.len());
        let end = data.len().min(position + bytes.len());
        data.splice(position..end, bytes);
        let log = LogWriter::new().event(pcr, kind, &data).bytes();
        for event in EventLog::parse(&log).unwrap().facts().unwrap() {
            let _ = event.to_string();
        }
    }

    #[test]
    fn no_file_makes_the_image_parser_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        header in any::<bool>(),
    ) {
        let mut file = bytes;
        if header {
            let start = [&b"MZ"[..], &[0; 58], &64_u32.to_le_bytes(), b"PE\0\0\x64\x86\x02\0"].concat();
            file.splice(0..0, start);
        }
        let _ = BootChange::unified(&file);
        if let Ok(image) = PeImage::parse(&file) {
            let _ = (image.authenticode(HashAlgorithm::Sha256), image.section(".linux"));
        }
    }
}

/// Alters each byte of event data: the decoded fact stays the same, or becomes a claim.
#[test]
fn an_altered_byte_of_event_data_gives_no_other_tied_fact() {
    let mut claims = 0;
    let original = &LOGS[0];
    let parsed = EventLog::parse(&original.log).unwrap();
    let facts = parsed.facts().unwrap();
    let ends = facts.iter().skip(1).map(|event| event.offset).chain([original.log.len()]);
    for ((event, fact), end) in parsed.events().zip(&facts).zip(ends) {
        let data = end - event.unwrap().data.len()..end;
        for position in data.take(100) {
            let mut altered = original.log.clone();
            altered[position] ^= 1;
            let altered = EventLog::parse(&altered).unwrap();
            let altered = altered.facts().unwrap().swap_remove(fact.number - 1);
            claims += usize::from(altered.tie == Tie::Claim);
            let same_option = matches!(altered.fact, Fact::BootOption(_));
            let may_differ = altered.tie == Tie::Claim || is_its_digest(&altered.fact) || same_option;
            assert!(may_differ || altered.fact == fact.fact, "{altered}, not {fact}");
        }
    }
    assert!(claims > 1_000, "{claims}");
}

/// Decodes the data that costs the most memory for its length: a database of entries without content.
#[test]
fn facts_take_memory_in_proportion_to_the_log() {
    let entries = 60_000_usize;
    let list_len = u32::try_from(28 + entries * 16).unwrap();
    let mut list = guid("00000000-0000-0000-0000-00000000abcd");
    list.extend([list_len.to_le_bytes(), [0; 4], 16_u32.to_le_bytes()].concat());
    list.resize(28 + entries * 16, 0xee);
    let data = variable("d719b2cb-3d3a-4596-a3bc-dad00e67656f", "dbx", &list);
    let log = LogWriter::new().event(7, EventKind::EFI_VARIABLE_DRIVER_CONFIG, &data).separator(7).bytes();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    let dbx = BootFacts::new(&facts).databases().next().unwrap();
    assert_eq!(dbx.entries.len(), entries);
    let taken = dbx.entries.capacity() * size_of_val(&dbx.entries[0]);
    assert!(taken < 16 * log.len(), "{taken} for {}", log.len());
    assert!(EVENTS_MAX * size_of::<EventFact<'_>>() < 8 * 1024 * 1024);
}

impl Original {
    fn read(boot: &str) -> Self {
        let log = Boot::named(boot).event_log();
        Self { pcrs: quoted(&log), facts: tied_facts(&log), secure_boot: secure_boot(&log), log }
    }

    /// Returns whether a verifier would accept the altered log in place of this one: it replays to the same PCRs of the
    /// quoted bank.
    fn is_quoted_as(&self, altered: &[u8]) -> bool {
        self.pcrs == quoted(altered)
    }

    fn check_no_new_fact(&self, altered: &[u8]) -> Result<(), TestCaseError> {
        if let Ok(log) = EventLog::parse(altered) {
            let _ = (
                predict(&log, HashAlgorithm::Sha256, &CHANGES[0]),
                predict(&log, HashAlgorithm::Sha256, &CHANGES[1]),
            );
        }
        if self.is_quoted_as(altered) {
            let facts = tied_facts(altered);
            prop_assert!(
                facts.is_subset(&self.facts),
                "{:?}",
                facts.difference(&self.facts).collect::<Vec<_>>()
            );
            let state = secure_boot(altered);
            prop_assert!(state.is_none() || state == self.secure_boot);
        }
        Ok(())
    }
}

/// Returns the PCRs of the quoted bank; `None` if the log is refused.
fn quoted(log: &[u8]) -> Option<Vec<(u8, TaggedDigest)>> {
    let pcrs = EventLog::parse(log).and_then(|log| log.replay()).ok()?;
    Some(pcrs.bank(HashAlgorithm::Sha256).map(|(index, value)| (index, *value)).collect())
}

/// Returns the PCR and the digest of each tied event, and its decoded fact if the fact is not the digest. Omits claims.
fn tied_facts(log: &[u8]) -> BTreeSet<(u8, String)> {
    let facts = EventLog::parse(log).unwrap().facts().unwrap();
    let tied = facts.iter().filter(|event| event.tie == Tie::Digest);
    let texts = tied.flat_map(|event| {
        let decoded = match &event.fact {
            fact if is_its_digest(fact) => None,
            // A log can give the event of a variable another type, and so another of these facts.
            Fact::Variable(_) | Fact::SignatureDatabase(_) | Fact::Authority(_) | Fact::SecureBoot(_) => None,
            // The variable's name contains the option's number, and this firmware does not measure the name.
            Fact::BootOption(option) => {
                Some(format!("{:?}", (&option.description, &option.path, option.active)))
            }
            fact => Some(format!("{fact:?}")),
        };
        [Some(event.digest.unwrap().to_string()), decoded].into_iter().flatten().map(|text| (event.pcr, text))
    });
    texts.collect()
}

fn is_its_digest(fact: &Fact<'_>) -> bool {
    matches!(
        fact,
        Fact::Image(_)
            | Fact::FirmwareContent(_)
            | Fact::LoadOptions
            | Fact::LoadedFile { .. }
            | Fact::Initrd
            | Fact::UnifiedSection { .. }
            | Fact::MachineOwnerKeys { .. }
            | Fact::LoaderData(_)
    )
}

fn secure_boot(log: &[u8]) -> Option<bool> {
    BootFacts::new(&EventLog::parse(log).unwrap().facts().unwrap()).secure_boot()
}

/// Returns the start of an event, or the end of the log.
fn boundary(log: &[u8], index: prop::sample::Index) -> usize {
    let parsed = EventLog::parse(log).unwrap();
    let offsets: Vec<_> = parsed.events().map(|event| event.unwrap().offset).chain([log.len()]).collect();
    *index.get(&offsets)
}

/// Returns one valid example of each structure that contains lengths.
fn structures() -> Vec<(u32, EventKind, Vec<u8>)> {
    let log = Boot::named("x86-shim-grub-ms").event_log();
    let parsed = EventLog::parse(&log).unwrap();
    let kinds = [
        EventKind::EFI_VARIABLE_DRIVER_CONFIG,
        EventKind::EFI_VARIABLE_AUTHORITY,
        EventKind::EFI_VARIABLE_BOOT,
        EventKind::EFI_GPT_EVENT,
        EventKind::EFI_BOOT_SERVICES_APPLICATION,
    ];
    let longest = |kind| {
        let events = parsed.events().map(Result::unwrap).filter(|event| event.kind == kind);
        events.max_by_key(|event| event.data.len()).unwrap()
    };
    let examples = kinds.map(longest).into_iter();
    examples.map(|event| (event.pcr.into(), event.kind, event.data.to_vec())).collect()
}
