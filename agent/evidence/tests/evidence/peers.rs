//! Compares the results with those of other programs for the same logs.

use std::fs;
use std::process::Command;

use pawl_evidence::eventlog::{Action, EventKind, EventLog, Fact};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};

use crate::support::boot::{Boot, cases, from_hex, read_pcr_listing};
use crate::support::log::LogWriter;
use crate::support::swtpm::run;

/// An event as `tpm2_eventlog` prints it.
#[derive(Debug, Default)]
struct Printed {
    pcr: u8,
    kind: String,
    sha256: Option<TaggedDigest>,
    /// `UnicodeName`.
    variable: Option<String>,
    /// `VariableData`, if it is printed in hexadecimal.
    value: Option<Vec<u8>>,
    /// The line below `Event: |-` or `String: |-`.
    text: Option<String>,
}

#[test]
fn tpm2_eventlog_replays_to_the_same_pcrs() {
    for boot in Boot::all() {
        let (_, listing) = print_log(&boot.path("binary_bios_measurements"));
        let log = boot.event_log();
        assert_eq!(
            EventLog::parse(&log).unwrap().replay().unwrap(),
            read_pcr_listing(&listing),
            "{}",
            boot.name
        );
    }
}

/// Omits cases for which version 5.4 of the tool differs: it refuses `no-action-pcr-minus1` and `pad-zero-7`, replays
/// events that do not exist after `pad-zero-sha1-log`, ignores the startup locality, and replays SM3, which this crate
/// does not.
#[test]
fn tpm2_eventlog_replays_supported_cases_to_the_same_pcrs() {
    const SUPPORTED: [&str; 5] = [
        "banks-sha384-only.bin",
        "pad-zero-16.bin",
        "specid-vendor-outside.bin",
        "uboot-bootm-real-cmdline-changed.bin",
        "uboot-bootm-real.bin",
    ];
    for name in SUPPORTED {
        let (_, path) = cases().find(|(known, _)| known == name).unwrap();
        let (_, listing) = print_log(&path);
        let log = fs::read(&path).unwrap();
        assert_eq!(EventLog::parse(&log).unwrap().replay().unwrap(), read_pcr_listing(&listing), "{name}");
    }
}

#[test]
fn tpm2_eventlog_prints_the_same_facts() {
    let mut compared = 0;
    for boot in Boot::all() {
        let (printed, _) = print_log(&boot.path("binary_bios_measurements"));
        let log = boot.event_log();
        let facts = EventLog::parse(&log).unwrap().facts().unwrap();
        // The tool counts the header as event 0.
        assert_eq!(facts.len(), printed.len() - 1, "{}", boot.name);
        for event in facts {
            let place = format!("{}, {event}", boot.name);
            let printed = &printed[event.number];
            assert_eq!(
                (event.pcr, event.kind.and_then(EventKind::name)),
                (printed.pcr, Some(printed.kind.as_str())),
                "{place}"
            );
            assert_eq!(event.digest, printed.sha256, "{place}");
            compared += usize::from(is_same(&event.fact, printed, &place));
        }
    }
    assert!(compared > 190, "{compared}");
}

/// Returns whether the tool decodes such an event too. Panics if its result differs.
fn is_same(fact: &Fact<'_>, printed: &Printed, place: &str) -> bool {
    let variable = printed.variable.as_deref();
    match fact {
        Fact::SecureBoot(enforced) => {
            assert_eq!(variable, Some("SecureBoot"), "{place}");
            assert_eq!(printed.value, Some(vec![u8::from(*enforced)]), "{place}");
        }
        Fact::SignatureDatabase(database) => assert_eq!(variable, Some(database.which.as_str()), "{place}"),
        Fact::Authority(authority) => assert_eq!(variable, Some(authority.variable.as_str()), "{place}"),
        Fact::Variable(other) => assert_eq!(variable, Some(other.name.as_str()), "{place}"),
        Fact::BootOrder(order) => {
            let value: Vec<u8> = order.iter().flat_map(|number| number.to_le_bytes()).collect();
            assert_eq!((variable, printed.value.as_ref()), (Some("BootOrder"), Some(&value)), "{place}");
        }
        Fact::BootOption(option) => {
            assert_eq!(variable, Some(format!("Boot{:04X}", option.number).as_str()), "{place}");
        }
        Fact::Action(action) => {
            assert_eq!(printed.text.as_deref(), Some(action.as_str()), "{place}");
            assert!(!matches!(action, Action::Other(_)), "{place}");
        }
        Fact::LoaderCommand(text) => {
            assert_eq!(printed.text, Some(format!("grub_cmd: {text}")), "{place}");
        }
        Fact::CommandLine(text) => {
            assert_eq!(printed.text, Some(format!("kernel_cmdline: {text}")), "{place}");
        }
        Fact::LoadedFile { path } => assert_eq!(printed.text.as_ref(), Some(path), "{place}"),
        _ => return false,
    }
    true
}

/// In a TPM that was started from locality 3, PCR 0 starts with that number; the event that states the locality extends
/// no PCR (section 10.4.5.3). Version 5.4 of the tool starts PCR 0 from zero and extends it with the event.
#[test]
fn tpm2_eventlog_ignores_the_startup_locality() {
    let log = LogWriter::new()
        .extended(0, EventKind::NO_ACTION, &[0; 32], b"StartupLocality\0\x03")
        .event(0, EventKind::S_CRTM_VERSION, &[b'1', 0, 0, 0])
        .bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, &log).unwrap();
    let (_, listing) = print_log(&path);

    let measured = HashAlgorithm::Sha256.digest(&[&[b'1', 0, 0, 0]]);
    let zero = TaggedDigest::filled(HashAlgorithm::Sha256, 0);
    let wrong = zero.extend(zero.as_bytes()).extend(measured.as_bytes());
    assert_eq!(read_pcr_listing(&listing).get(HashAlgorithm::Sha256, 0), Some(&wrong));
    let mut start = [0; 32];
    start[31] = 3;
    let from_three = TaggedDigest::new(HashAlgorithm::Sha256, &start).unwrap().extend(measured.as_bytes());
    let replayed = EventLog::parse(&log).unwrap().replay().unwrap();
    assert_eq!(replayed.get(HashAlgorithm::Sha256, 0), Some(&from_three));
}

/// Runs `tpm2_eventlog`; returns the events and, as text, the PCRs.
fn print_log(path: &std::path::Path) -> (Vec<Printed>, String) {
    let printed = run(Command::new("tpm2_eventlog").arg(path));
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let (events, pcrs) = printed.split_once("\npcrs:\n").unwrap();
    let events = events.split("\n- EventNum: ").skip(1).map(Printed::read).collect();
    (events, pcrs.to_owned())
}

impl Printed {
    fn read(text: &str) -> Self {
        let mut event = Self::default();
        let mut algorithm = "";
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim().trim_matches('"');
            match key.trim().trim_start_matches("- ") {
                "PCRIndex" => event.pcr = value.parse().unwrap(),
                "EventType" => value.clone_into(&mut event.kind),
                "AlgorithmId" => algorithm = value,
                "Digest" if algorithm == "sha256" => {
                    event.sha256 = TaggedDigest::new(HashAlgorithm::Sha256, &from_hex(value));
                }
                "UnicodeName" => event.variable = Some(value.to_owned()),
                "VariableData" if !value.is_empty() => event.value = Some(from_hex(value)),
                "Event" | "String" if value == "|-" => {
                    let text = lines.next().unwrap_or_default().trim().trim_matches('"');
                    event.text = Some(text.trim_end_matches("\\0").to_owned());
                }
                _ => {}
            }
        }
        event
    }
}
