//! Predictions of boots from other files, computed from the log of one real boot and compared with another.

use pawl_evidence::boot_image::{BootChange, DigestSet};
use pawl_evidence::eventlog::{
    EventFact, EventKind, EventLog, Fact, PredictError, SectionPart, explains, predict,
};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues, TaggedDigest};
use serde_json::{Value, json};

use crate::support::boot::Boot;
use crate::support::log::{LogWriter, utf16, variable};

const X86: &str = "root=/dev/nvme0n1p2 rw console=ttyS0 ima_policy=tcb";
const ARM64: &str = "root=/dev/nvme0n1p2 rw console=ttyAMA0 ima_policy=tcb";
const GRUB: &str = "root=/dev/nvme0n1p2 rw console=ttyS0 ima_policy=tcb";

#[test]
fn each_changed_boot_is_predicted_from_the_unchanged_one() {
    for (good, changed, command_line) in [
        ("x86-good", "x86-cmdline-changed", &format!("{X86} init=/bin/systemd selinux=0")),
        ("x86-good", "x86-initrd-changed", &X86.to_owned()),
        ("x86-cmdline-changed", "x86-good", &X86.to_owned()),
        ("arm64-good", "arm64-cmdline-changed", &format!("{ARM64} selinux=0")),
        ("arm64-good", "arm64-tis-in-initrd", &ARM64.to_owned()),
    ] {
        let present = Boot::named(good).event_log();
        let change = unified(&Boot::named(changed), command_line);
        let predicted = predict(&EventLog::parse(&present).unwrap(), HashAlgorithm::Sha256, &change).unwrap();
        let read = Boot::named(changed).pcrs();
        assert_eq!(predicted.iter().count(), 3 * 9, "{changed}: banks of PCRs 0 to 7 and 9");
        for (bank, index, value) in predicted.iter() {
            assert_eq!(Some(value), read.get(bank, index), "{good} to {changed}: PCR {index} of {bank}");
        }
    }
}

#[test]
fn only_its_own_files_explain_a_boot() {
    let good = Boot::named("x86-good");
    let log = good.event_log();
    let log = EventLog::parse(&log).unwrap();
    assert_eq!(explains(&log, HashAlgorithm::Sha256, &unified(&good, X86)), Ok(()));
    assert_eq!(
        explains(&log, HashAlgorithm::Sha256, &unified(&good, "root=/dev/sda")),
        Err(PredictError::DoesNotExplain(9))
    );
    let other = unified(&Boot::named("x86-initrd-changed"), X86);
    assert_eq!(explains(&log, HashAlgorithm::Sha256, &other), Err(PredictError::DoesNotExplain(4)));
}

#[test]
fn under_secure_boot_only_a_signed_image_is_predicted() {
    let boot = Boot::named("x86-secureboot-on");
    let log = boot.event_log();
    let log = EventLog::parse(&log).unwrap();
    let mut change = unified_json(&boot, X86);
    assert_eq!(predict(&log, HashAlgorithm::Sha256, &read(&change)), Err(PredictError::Unsigned));
    change["unified"]["is-signed"] = json!(true);
    assert_eq!(explains(&log, HashAlgorithm::Sha256, &read(&change)), Ok(()));
}

#[test]
fn a_boot_by_grub_is_predicted_from_its_files() {
    let log = Boot::named("x86-shim-grub-ms").event_log();
    let log = EventLog::parse(&log).unwrap();
    let facts = log.facts().unwrap();
    let file = |wanted: &str| {
        let named =
            |event: &&EventFact<'_>| matches!(&event.fact, Fact::LoadedFile { path } if path == wanted);
        digests(&log, facts.iter().find(named).unwrap().number)
    };
    let kernel = facts.iter().rfind(|event| matches!(event.fact, Fact::Image(_))).unwrap();
    let mut change = json!({"separate": {
        "kernel": digests(&log, kernel.number),
        "kernel-file": file("/vmlinuz"),
        "initrd": file("/initrd.gz"),
        "command-line": GRUB,
        "is-signed": true,
    }});
    assert_eq!(explains(&log, HashAlgorithm::Sha256, &read(&change)), Ok(()));

    change["separate"]["initrd"] = json!(DigestSet::of(b"another"));
    change["separate"]["kernel"] = json!(DigestSet::of(b"another"));
    let predicted = predict(&log, HashAlgorithm::Sha256, &read(&change)).unwrap();
    assert_eq!(differing(&predicted, &log.replay().unwrap()), [4, 9]);

    change["separate"]["command-line"] = json!("root=/dev/sda");
    let refused = predict(&log, HashAlgorithm::Sha256, &read(&change));
    assert_eq!(refused, Err(PredictError::LoaderConfiguration { present: GRUB.to_owned() }));
    change["separate"]["is-signed"] = json!(false);
    assert_eq!(predict(&log, HashAlgorithm::Sha256, &read(&change)), Err(PredictError::Unsigned));
}

#[test]
fn the_command_line_of_systemd_boot_is_predicted() {
    // How often systemd-boot and a stub after it measure the command line, and whether the kernel does.
    for (in_pcr_12, by_the_kernel) in [(1, true), (2, true), (2, false), (0, true)] {
        let log = |kernel: &[u8], options: &str, initrd: &[u8]| {
            let options = with_nul(options);
            let mut log = started(kernel);
            for _ in 0..in_pcr_12 {
                log = log.event(12, EventKind::IPL, &options);
            }
            if by_the_kernel {
                log = log.measured(9, EventKind::EVENT_TAG, &options, &tagged(0x8f3b_22ed));
            }
            log.measured(9, EventKind::EVENT_TAG, initrd, &tagged(0x8f3b_22ec)).bytes()
        };
        let present = log(b"old kernel", "root=/dev/sda quiet", b"old initrd");
        let coming = log(b"new kernel", "root=/dev/sda", b"new initrd");
        let predicted =
            predict(&EventLog::parse(&present).unwrap(), HashAlgorithm::Sha256, &new_files()).unwrap();
        assert_eq!(predicted, EventLog::parse(&coming).unwrap().replay().unwrap());
    }
}

#[test]
fn command_lines_that_differ_allow_no_prediction() {
    let tag = EventKind::EVENT_TAG;
    let initrd = |log: LogWriter| log.measured(9, tag, b"initrd", &tagged(0x8f3b_22ec)).bytes();
    let predicted = |log: &[u8]| predict(&EventLog::parse(log).unwrap(), HashAlgorithm::Sha256, &new_files());

    let other = started(b"kernel").event(12, EventKind::IPL, &with_nul("one")).measured(
        9,
        tag,
        &with_nul("another"),
        &tagged(0x8f3b_22ed),
    );
    assert_eq!(predicted(&initrd(other)), Err(PredictError::Addition { line: 6, pcr: 12 }));
    let several = started(b"kernel").event(12, EventKind::IPL, &with_nul("one")).event(
        12,
        EventKind::IPL,
        &with_nul("another"),
    );
    assert_eq!(predicted(&initrd(several)), Err(PredictError::Addition { line: 7, pcr: 12 }));
    assert_eq!(predicted(&initrd(started(b"kernel"))), Err(PredictError::UnknownChain));
}

#[test]
fn boots_that_the_files_do_not_determine_are_refused_with_the_reason() {
    let good = Boot::named("x86-good");
    let change = unified(&good, X86);
    let predict_after = |more: &dyn Fn(LogWriter) -> LogWriter| {
        let log = more(LogWriter::new()).bytes();
        predict(&EventLog::parse(&log).unwrap(), HashAlgorithm::Sha256, &change)
    };
    assert_eq!(predict_after(&|log| log.separator(4)), Err(PredictError::UnknownChain));

    let section = [utf16(".linux"), vec![0, 0]].concat();
    let image = EventKind::EFI_BOOT_SERVICES_APPLICATION;
    let start = |log: LogWriter| {
        log.separator(4).measured(4, image, b"image", &[]).measured(11, EventKind::IPL, b"kernel", &section)
    };
    let credentials = [utf16("Credentials initrd"), vec![0, 0]].concat();
    assert_eq!(
        predict_after(&|log| start(log).measured(12, EventKind::IPL, b"cpio", &credentials)),
        Err(PredictError::Addition { line: 4, pcr: 12 })
    );
    assert_eq!(
        predict_after(&|log| start(start(log))),
        Err(PredictError::Ambiguous { what: "a kernel in a unified image", count: 2 })
    );
    assert_eq!(predict_after(&start), Err(PredictError::Unmatched("an initrd")));
    let twice = |log| start(log).measured(4, image, b"kernel", &[]).measured(4, image, b"kernel", &[]);
    assert_eq!(predict_after(&twice), Err(PredictError::Ambiguous { what: "a kernel", count: 2 }));

    let grub = Boot::named("x86-shim-grub-ms").event_log();
    assert_eq!(
        predict(&EventLog::parse(&grub).unwrap(), HashAlgorithm::Sha256, &change),
        Err(PredictError::IsNotUnified)
    );
}

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Returns the measurements of a boot's files, taken from its log because the fixtures do not include the image.
pub(crate) fn unified(boot: &Boot, command_line: &str) -> BootChange {
    read(&unified_json(boot, command_line))
}

fn unified_json(boot: &Boot, command_line: &str) -> Value {
    let log = boot.event_log();
    let log = EventLog::parse(&log).unwrap();
    let facts = log.facts().unwrap();
    let images: Vec<_> = facts.iter().filter(|event| matches!(event.fact, Fact::Image(_))).collect();
    let initrd = facts.iter().find(|event| {
        matches!(&event.fact, Fact::UnifiedSection { name, part: SectionPart::Content } if name == ".initrd")
    });
    json!({"unified": {
        "image": digests(&log, images.first().unwrap().number),
        "kernel": digests(&log, images.last().unwrap().number),
        "initrd": digests(&log, initrd.unwrap().number),
        "command-line": command_line,
        "is-signed": false,
    }})
}

fn read(change: &Value) -> BootChange {
    serde_json::from_value(change.clone()).unwrap()
}

/// Returns all digests of an event, with zeros for SHA-512, whose bank no fixture has.
fn digests(log: &EventLog<'_>, number: usize) -> Value {
    let event = log.events().nth(number - 1).unwrap().unwrap();
    let digest = |bank| event.digest(bank).copied().unwrap_or(TaggedDigest::filled(bank, 0)).to_string();
    HashAlgorithm::ALL.into_iter().map(|bank| (bank.to_string(), Value::from(digest(bank)))).collect()
}

/// Returns the log of a boot by systemd-boot, up to the start of the kernel.
fn started(kernel: &[u8]) -> LogWriter {
    LogWriter::new()
        .event(7, EventKind::EFI_VARIABLE_DRIVER_CONFIG, &variable(GLOBAL, "SecureBoot", &[0]))
        .separator(7)
        .separator(4)
        .measured(4, EventKind::EFI_BOOT_SERVICES_APPLICATION, b"systemd-boot", &[])
        .measured(4, EventKind::EFI_BOOT_SERVICES_APPLICATION, kernel, &[])
}

fn new_files() -> BootChange {
    read(&json!({"separate": {
        "kernel": DigestSet::of(b"new kernel"),
        "kernel-file": DigestSet::of(b"not measured here"),
        "initrd": DigestSet::of(b"new initrd"),
        "command-line": "root=/dev/sda",
        "is-signed": false,
    }}))
}

fn with_nul(text: &str) -> Vec<u8> {
    [utf16(text), vec![0, 0]].concat()
}

fn differing(left: &PcrValues, right: &PcrValues) -> Vec<u8> {
    let bank = HashAlgorithm::Sha256;
    left.bank(bank)
        .filter(|(index, value)| right.get(bank, *index) != Some(*value))
        .map(|(index, _)| index)
        .collect()
}

fn tagged(tag: u32) -> Vec<u8> {
    [tag.to_le_bytes(), 1_u32.to_le_bytes()].concat().into_iter().chain([0]).collect()
}
