//! Facts in the logs of real boots.

use pawl_evidence::eventlog::{
    BootFacts, CertificateId, EventFact, EventLog, Fact, SectionPart, Signature, Stage, Tie,
};

use crate::support::boot::Boot;

/// The expected facts of one boot.
struct Expected {
    boot: &'static str,
    secure_boot: bool,
    /// The first bytes of the digests of the images in PCR 4.
    images: &'static [&'static str],
    /// The kernel's command line, if GRUB logged its text.
    command_line: Option<&'static str>,
    /// The certificates that authorized images.
    authorities: &'static [&'static str],
    /// The number of entries of PK, KEK, db and dbx.
    entries: [usize; 4],
}

const UNIFIED: [usize; 4] = [0; 4];
const X86_KERNEL: &str = "5f21ff2c";
const ARM64_KERNEL: &str = "00a6b5e5";

const EXPECTED: &[Expected] = &[
    unified("arm64-cmdline-changed", &["1d77097d", ARM64_KERNEL]),
    unified("arm64-good", &["5c40f894", ARM64_KERNEL]),
    unified("arm64-tis-in-initrd", &["2a044901", ARM64_KERNEL]),
    unified("armhf-on-arm64-kernel", &["c9ff20e2", ARM64_KERNEL]),
    unified("x86-cmdline-changed", &["70e7d03e", X86_KERNEL]),
    unified("x86-good", &["3642b7f7", X86_KERNEL]),
    unified("x86-good-2nd-boot", &["3642b7f7", X86_KERNEL]),
    unified("x86-initrd-changed", &["7853866f", X86_KERNEL]),
    Expected {
        boot: "x86-secureboot-on",
        secure_boot: true,
        // This stub starts the kernel itself, because the firmware would refuse to load it under Secure Boot.
        images: &["c2da666a"],
        command_line: None,
        authorities: &["certificate 282e8130"],
        entries: [1, 1, 1, 1],
    },
    Expected {
        boot: "x86-shim-grub-ms",
        secure_boot: true,
        images: &["80a66d53", "a68f6d71", X86_KERNEL, X86_KERNEL],
        command_line: Some("/vmlinuz root=/dev/nvme0n1p2 rw console=ttyS0 ima_policy=tcb"),
        authorities: &["Microsoft Corporation UEFI CA 2011", "Debian Secure Boot CA"],
        entries: [1, 2, 2, 1],
    },
];

const fn unified(boot: &'static str, images: &'static [&'static str]) -> Expected {
    Expected { boot, secure_boot: false, images, command_line: None, authorities: &[], entries: UNIFIED }
}

#[test]
fn each_boot_has_the_expected_facts() {
    assert_eq!(Boot::all().len(), EXPECTED.len());
    for expected in EXPECTED {
        let name = expected.boot;
        let log = Boot::named(name).event_log();
        let facts = EventLog::parse(&log).unwrap().facts().unwrap();
        let boot = BootFacts::new(&facts);
        assert_eq!(boot.secure_boot(), Some(expected.secure_boot), "{name}");
        assert_eq!(boot.firmware_version(), Some(""), "{name}");
        let images = boot.images().map(|event| event.digest.unwrap().to_string());
        let images: Vec<String> = images.map(|digest| digest.chars().take(8).collect()).collect();
        assert_eq!(images, expected.images, "{name}");
        assert_eq!(boot.command_lines().collect::<Vec<_>>(), Vec::from_iter(expected.command_line), "{name}");
        let entries: Vec<_> = boot.databases().map(|database| database.entries.len()).collect();
        assert_eq!(entries, expected.entries, "{name}: PK, KEK, db, dbx");
        let authorities: Vec<_> =
            boot.authorities().map(|authority| signer(&authority.entry.signature)).collect();
        assert_eq!(authorities, expected.authorities, "{name}");
    }
}

#[test]
fn every_event_of_every_boot_is_decoded_and_tied() {
    for boot in Boot::all() {
        let log = boot.event_log();
        let facts = EventLog::parse(&log).unwrap().facts().unwrap();
        let last = facts.iter().rposition(|event| event.fact == Fact::Separator { failed: false }).unwrap();
        for (place, event) in facts.iter().enumerate() {
            assert_ne!(event.fact, Fact::Other, "{}, {event}", boot.name);
            assert_eq!(event.tie, Tie::Digest, "{}, {event}", boot.name);
            assert_eq!(event.stage == Stage::Firmware, place <= last, "{}, {event}", boot.name);
        }
    }
}

#[test]
fn the_command_line_of_a_unified_image_is_recognized_by_its_digest() {
    for name in
        ["x86-good", "x86-cmdline-changed", "arm64-good", "arm64-cmdline-changed", "x86-secureboot-on"]
    {
        let boot = Boot::named(name);
        let log = boot.event_log();
        let facts = EventLog::parse(&log).unwrap().facts().unwrap();
        let kernels: Vec<_> = facts.iter().filter(|event| event.fact == Fact::LoadOptions).collect();
        let [options] = kernels[..] else { panic!("{name}: {kernels:?}") };
        let text = command_line(name);
        assert!(options.is_command_line(&text), "{name}");
        assert!(!options.is_command_line(&format!("{text} ")), "{name}");
        let section = facts.iter().find(|event| is_section(event, ".cmdline")).unwrap();
        assert!(section.is_command_line(&text), "{name}");
    }
}

/// Compares the facts of each changed boot with those of the unchanged one.
#[test]
fn the_facts_of_a_changed_boot_differ_only_in_the_changed_files() {
    for (good, changed, differences) in [
        ("x86-good", "x86-good-2nd-boot", &[][..]),
        ("x86-good", "x86-cmdline-changed", &["image", "section .cmdline", "the kernel's command line"]),
        ("x86-good", "x86-initrd-changed", &["image", "section .initrd", "the initrd"]),
        ("arm64-good", "arm64-cmdline-changed", &["image", "section .cmdline", "the kernel's command line"]),
        ("arm64-good", "arm64-tis-in-initrd", &["image", "section .initrd", "the initrd"]),
    ] {
        let (good, changed) = (Boot::named(good).event_log(), Boot::named(changed).event_log());
        let good = EventLog::parse(&good).unwrap().facts().unwrap();
        let changed = EventLog::parse(&changed).unwrap().facts().unwrap();
        assert_eq!(good.len(), changed.len());
        let pairs = good.iter().zip(&changed).filter(|(good, changed)| good.digest != changed.digest);
        let found: Vec<_> = pairs.map(|(_, changed)| changed.fact.to_string()).collect();
        assert_eq!(found.len(), differences.len(), "{found:?}");
        for (found, difference) in found.iter().zip(differences) {
            assert!(found.starts_with(difference), "{found:?}, not {difference:?}");
        }
    }
}

#[test]
fn the_boot_of_debians_packages_is_read_from_shim_to_kernel() {
    let log = Boot::named("x86-shim-grub-ms").event_log();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    let lines: Vec<_> = facts.iter().map(ToString::to_string).collect();
    for line in [
        "line 4, PCR 7: Secure Boot is on",
        "line 7, PCR 7: db with 2 entries",
        "line 30, PCR 4: image PciRoot(0x0)/Pci(0x1,0x0)/NVMe(0x1)/\
         HD(1,GPT,0fc63daf-0000-4000-8000-000000000002)/\\EFI\\BOOT\\BOOTX64.EFI",
        "line 31, PCR 14: shim's MokList",
        "line 33, PCR 7: variable SbatLevel",
        "line 35, PCR 7: an image was allowed by \"Debian Secure Boot CA\" in MokListRT",
        "line 41, PCR 9: file (hd0,gpt1)/EFI/debian/grub.cfg",
        "line 43, PCR 8: boot loader command \
         \"linux /vmlinuz root=/dev/nvme0n1p2 rw console=ttyS0 ima_policy=tcb\"",
        "line 49, PCR 9: file /initrd.gz",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "{line} is not in {lines:#?}");
    }
    let Fact::Partitions(table) = &facts[28].fact else { panic!("{}", facts[28]) };
    assert_eq!(table.partitions.len(), 2);
    assert_eq!(table.partitions[0].kind.to_string(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
}

/// Returns the common name, or the first bytes of the fingerprint of a certificate without one.
fn signer(signature: &Signature) -> String {
    match signature {
        Signature::Certificate(CertificateId { subject: Some(subject), .. }) => subject.clone(),
        other => other.to_string().chars().take("certificate ".len() + 8).collect(),
    }
}

fn is_section(event: &EventFact<'_>, section: &str) -> bool {
    matches!(&event.fact, Fact::UnifiedSection { name, part: SectionPart::Content } if name == section)
}

fn command_line(boot: &str) -> String {
    let console = if boot.starts_with("arm64") { "ttyAMA0" } else { "ttyS0" };
    let added = match boot {
        "x86-cmdline-changed" => " init=/bin/systemd selinux=0",
        "arm64-cmdline-changed" => " selinux=0",
        _ => "",
    };
    format!("root=/dev/nvme0n1p2 rw console={console} ima_policy=tcb{added}")
}
