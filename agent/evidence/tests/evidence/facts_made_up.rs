//! Facts in made-up logs, and logs that try to forge a fact.

use pawl_evidence::eventlog::{
    BootFacts, EventFact, EventKind, EventLog, Fact, FirmwarePart, Signature, Tie,
};
use pawl_evidence::tpm::HashAlgorithm;

use crate::support::boot::Boot;
use crate::support::log::{LogWriter, guid, sha1_event, utf16, variable};

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SECURITY: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";

#[test]
fn a_second_secure_boot_state_after_the_separator_does_not_count() {
    let state = |on: u8| variable(GLOBAL, "SecureBoot", &[on]);
    let configuration = EventKind::EFI_VARIABLE_DRIVER_CONFIG;
    let off = LogWriter::new().event(7, configuration, &state(0)).separator(7);
    assert_eq!(secure_boot(&off.event(7, configuration, &state(1)).bytes()), Some(false));

    // The log gives the separator another type, so that the later state seems to come before a separator.
    let disguised = LogWriter::new()
        .event(7, configuration, &state(0))
        .event(7, EventKind::EFI_ACTION, &[0; 4])
        .event(7, configuration, &state(1))
        .separator(7);
    assert_eq!(secure_boot(&disguised.bytes()), Some(false));

    // The log replaces the data of the first state, and the digest does not cover the new data.
    let hidden = LogWriter::new().measured(7, configuration, &state(0), &state(1)).separator(7).event(
        7,
        configuration,
        &state(1),
    );
    assert_eq!(secure_boot(&hidden.bytes()), None);
    assert_eq!(secure_boot(&LogWriter::new().event(7, configuration, &state(1)).bytes()), None);
    assert_eq!(secure_boot(&LogWriter::new().event(5, configuration, &state(1)).separator(5).bytes()), None);
}

#[test]
fn data_that_no_digest_covers_is_a_claim() {
    for (pcr, kind, data) in [
        (0, EventKind::S_CRTM_VERSION, utf16("1.2")),
        (5, EventKind::EFI_ACTION, b"Exit Boot Services Invocation".to_vec()),
        (7, EventKind::EFI_VARIABLE_DRIVER_CONFIG, variable(GLOBAL, "SecureBoot", &[1])),
        (7, EventKind::EFI_VARIABLE_AUTHORITY, variable(SECURITY, "db", &[0; 48])),
        (1, EventKind::EFI_VARIABLE_BOOT, variable(GLOBAL, "BootOrder", &[0, 0])),
        (8, EventKind::IPL, b"grub_cmd: boot\0".to_vec()),
        (8, EventKind::IPL, b"kernel_cmdline: /vmlinuz quiet\0".to_vec()),
    ] {
        let log = LogWriter::new().measured(pcr, kind, b"something else", &data).bytes();
        let [event] = &EventLog::parse(&log).unwrap().facts().unwrap()[..] else { panic!("{kind}") };
        assert_eq!(event.tie, Tie::Claim, "{event}");
        assert!(event.to_string().ends_with("(a claim: no digest covers it)"), "{event}");
        assert!(!event.is_routine());
    }
}

#[test]
fn a_digest_of_another_bank_ties_nothing() {
    let data = variable(GLOBAL, "SecureBoot", &[1]);
    let digest = HashAlgorithm::Sha1.digest(&[&data]);
    let log = sha1_event(7, 0x8000_0001, digest.as_bytes(), &data);
    let [event] = &EventLog::parse(&log).unwrap().facts().unwrap()[..] else { panic!() };
    assert_eq!((event.tie, event.digest, &event.fact), (Tie::Claim, None, &Fact::Other));
}

#[test]
fn malformed_events_and_events_in_a_wrong_pcr_are_not_decoded() {
    let image_bytes = b"MZ and all that Authenticode covers of an image";
    for (pcr, kind, data) in [
        (4, EventKind::EFI_VARIABLE_DRIVER_CONFIG, variable(GLOBAL, "SecureBoot", &[1])),
        (4, EventKind::S_CRTM_VERSION, utf16("1.2")),
        (4, EventKind::SEPARATOR, image_bytes.to_vec()),
        (4, EventKind::IPL, b"grub_cmd: boot\0".to_vec()),
        (4, EventKind::EFI_PLATFORM_FIRMWARE_BLOB, vec![0; 16]),
        (8, EventKind::EFI_BOOT_SERVICES_APPLICATION, image_bytes.to_vec()),
        (8, EventKind::IPL, b"boot\0".to_vec()),
        (8, EventKind::IPL, b"grub_cmd: bo\x1bot\0".to_vec()),
        (
            7,
            EventKind::EFI_VARIABLE_DRIVER_CONFIG,
            [&variable(GLOBAL, "SecureBoot", &[1])[..], &[0]].concat(),
        ),
    ] {
        let log = LogWriter::new().event(pcr, kind, &data).bytes();
        let [event] = &EventLog::parse(&log).unwrap().facts().unwrap()[..] else { panic!("{kind}") };
        assert_eq!((&event.fact, event.tie), (&Fact::Other, Tie::Claim), "{event}");
    }
}

#[test]
fn a_failure_and_an_unusual_action_are_not_routine() {
    let log = LogWriter::new()
        .event(7, EventKind::SEPARATOR, &[1, 0, 0, 0])
        .event(7, EventKind::EFI_ACTION, b"UEFI Debug Mode")
        .separator(4)
        .event(4, EventKind::EFI_ACTION, b"Calling EFI Application from Boot Option")
        .bytes();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    assert_eq!(facts[0].fact, Fact::Separator { failed: true });
    let routine: Vec<_> = facts.iter().map(EventFact::is_routine).collect();
    assert_eq!(routine, [false, false, true, true]);
}

#[test]
fn databases_list_hashes_and_certificates_of_any_type() {
    let sha256_list = signature_list("c1c41626-504c-4092-aca9-41f936934328", &[&[7; 32], &[8; 32]]);
    let made_up = signature_list("00000000-0000-0000-0000-00000000abcd", &[&[9; 10]]);
    let data = variable(SECURITY, "dbx", &[sha256_list, made_up].concat());
    let log = LogWriter::new().event(7, EventKind::EFI_VARIABLE_DRIVER_CONFIG, &data).separator(7).bytes();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    let databases: Vec<_> = BootFacts::new(&facts).databases().collect();
    let [dbx] = databases[..] else { panic!("{facts:?}") };
    let shown: Vec<_> = dbx.entries.iter().map(|entry| entry.signature.to_string()).collect();
    assert_eq!(
        shown,
        [
            format!("digest {}", "07".repeat(32)),
            format!("digest {}", "08".repeat(32)),
            String::from("an entry of type 00000000-0000-0000-0000-00000000abcd"),
        ]
    );
    assert_eq!(dbx.to_string(), "dbx with 3 entries");
}

#[test]
fn parts_of_the_firmware_are_decoded() {
    let region = [&0x82_0000_u64.to_le_bytes()[..], &0xe_0000_u64.to_le_bytes()].concat();
    let log = LogWriter::new()
        .event(0, EventKind::EFI_PLATFORM_FIRMWARE_BLOB2, &[&[4][..], b"DXE\0", &region].concat())
        .event(0, EventKind::CPU_MICROCODE, &utf16("microcode"))
        .event(1, EventKind::EFI_HANDOFF_TABLES2, &[&[7][..], b"SMBIOS\0", &[0; 8]].concat())
        .event(7, EventKind::EFI_SPDM_DEVICE_POLICY, b"\x00\xff\xff")
        .bytes();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    let parts: Vec<_> = facts
        .iter()
        .map(|event| match &event.fact {
            Fact::FirmwareContent(content) => {
                (content.part, content.description.as_str(), content.region.is_some())
            }
            fact => panic!("{fact}"),
        })
        .collect();
    assert_eq!(
        parts,
        [
            (FirmwarePart::Code, "DXE", true),
            (FirmwarePart::Microcode, "microcode", false),
            (FirmwarePart::Tables, "SMBIOS", false),
            (FirmwarePart::Device, "", false),
        ]
    );
}

#[test]
fn systemd_boot_and_its_add_ons_are_read() {
    let options = [utf16("root=/dev/sda2 quiet"), vec![0, 0]].concat();
    let tagged = |tag: u32, name: &str| {
        let name = [utf16(name), vec![0, 0]].concat();
        [&tag.to_le_bytes()[..], &u32::try_from(name.len()).unwrap().to_le_bytes(), &name].concat()
    };
    let credentials = [utf16("Credentials initrd"), vec![0, 0]].concat();
    let log = LogWriter::new()
        .measured(5, EventKind::EVENT_TAG, b"timeout 3\n", &tagged(0xf5bc_582a, "loader.conf"))
        .event(12, EventKind::IPL, &options)
        .measured(12, EventKind::IPL, b"cpio", &credentials)
        .bytes();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    let shown: Vec<_> = facts.iter().map(|event| event.fact.to_string()).collect();
    assert_eq!(
        shown,
        [
            "data of the boot loader: loader.conf",
            "command line \"root=/dev/sda2 quiet\"",
            "data of the boot loader: Credentials initrd",
        ]
    );
    assert!(facts.iter().all(|event| event.tie == Tie::Digest));
    assert!(facts[1].is_command_line("root=/dev/sda2 quiet"));
}

/// Until version 250 systemd-boot logged a byte less than it hashed.
#[test]
fn the_command_line_of_an_old_systemd_boot_is_read() {
    let hashed = [utf16("root=/dev/sda quiet"), vec![0, 0]].concat();
    let logged = &hashed[..hashed.len() - 1];
    let log = LogWriter::new().measured(8, EventKind::IPL, &hashed, logged).bytes();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    assert_eq!(BootFacts::new(&facts).command_lines().collect::<Vec<_>>(), ["root=/dev/sda quiet"]);
}

/// Old versions of shim measure their built-in certificate without an owner, hash zeros after it, and log one byte more
/// than they hash.
#[test]
fn the_certificate_in_an_old_shim_is_an_authority() {
    let certificate = Boot::named("x86-good").read("ek-rsa-cert.der");
    let structure = variable("605dab50-e046-4300-abb6-3dd810dd8b23", "Shim", &certificate);
    let hashed = [&structure[..], &[0; 5]].concat();
    let logged = [&hashed[..], &[0xaf]].concat();
    let authority = EventKind::EFI_VARIABLE_AUTHORITY;
    let log = LogWriter::new().measured(7, authority, &hashed, &logged).bytes();
    let facts = EventLog::parse(&log).unwrap().facts().unwrap();
    let authorities: Vec<_> = BootFacts::new(&facts).authorities().collect();
    let [authority_of_shim] = authorities[..] else { panic!("{facts:?}") };
    let Signature::Certificate(id) = &authority_of_shim.entry.signature else { panic!("{facts:?}") };
    assert_eq!(id.fingerprint, HashAlgorithm::Sha256.digest(&[&certificate]));

    let cut = &structure[..structure.len() - 1];
    let log = LogWriter::new().measured(7, authority, cut, &logged).bytes();
    assert_eq!(EventLog::parse(&log).unwrap().facts().unwrap()[0].tie, Tie::Claim);
}

fn secure_boot(log: &[u8]) -> Option<bool> {
    let facts = EventLog::parse(log).unwrap().facts().unwrap();
    BootFacts::new(&facts).secure_boot()
}

/// Returns an EFI_SIGNATURE_LIST with entries of one length.
fn signature_list(kind: &str, entries: &[&[u8]]) -> Vec<u8> {
    let entry_len = u32::try_from(16 + entries[0].len()).unwrap();
    let list_len = 28 + entry_len * u32::try_from(entries.len()).unwrap();
    let mut list =
        [guid(kind), list_len.to_le_bytes().into(), vec![0; 4], entry_len.to_le_bytes().into()].concat();
    for entry in entries {
        list.extend([0xee; 16]);
        list.extend(*entry);
    }
    list
}
