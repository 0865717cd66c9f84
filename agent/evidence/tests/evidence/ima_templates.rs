//! Every template that kernels write, in binary and text form.

use pawl_evidence::ima::{AsciiLog, BinaryLog, Entry, Hashed, ImaError};
use pawl_evidence::tpm::HashAlgorithm;
use proptest::prelude::*;

use crate::support::ima::{Record, bytes, digest, text};

const PATH: &[u8] = b"/usr/bin/true";
const SIGNATURE: &[u8] = &[3, 2, 4, 1, 2, 3, 4, 0, 1, 9];

fn records() -> Vec<Record> {
    let (d, n) = (digest("sha256:", b"contents"), text(PATH));
    let number = |value: u32, size: usize| (value.to_le_bytes()[..size].to_vec(), value.to_string());
    vec![
        Record::new("ima-ng", vec![d.clone(), n.clone()]),
        Record::new("ima-ng", vec![digest("sha512:", b"contents"), n.clone()]),
        Record::new("ima-sig", vec![d.clone(), n.clone(), bytes(SIGNATURE)]),
        Record::new("ima-sig", vec![d.clone(), n.clone(), bytes(b"")]),
        Record::new("ima-buf", vec![d.clone(), text(b"kexec-cmdline"), bytes(b"contents")]),
        Record::new("ima-ngv2", vec![digest("ima:sha256:", b"contents"), n.clone()]),
        Record::new("ima-sigv2", vec![digest("verity:sha256:", b"contents"), n.clone(), bytes(SIGNATURE)]),
        Record::new(
            "ima-modsig",
            vec![d.clone(), n.clone(), bytes(b""), digest("sha256:", b"without"), bytes(b"PKCS#7")],
        ),
        Record::new("ima-modsig", vec![d.clone(), n.clone(), bytes(SIGNATURE), bytes(b""), bytes(b"")]),
        Record::new(
            "evm-sig",
            vec![
                d.clone(),
                n.clone(),
                bytes(&[5, 2, 4]),
                text(b"security.ima|security.selinux"),
                bytes(&[1, 0, 0, 0]),
                bytes(&[9]),
                number(0, 4),
                number(1000, 4),
                number(0o100_755, 2),
            ],
        ),
        Record::new("d-ng|n-ng|sig|buf", vec![d.clone(), n.clone(), bytes(SIGNATURE), bytes(b"")]),
        Record { pcr: 9, ..Record::new("ima-ng", vec![d, n]) },
    ]
}

fn only<'a>(mut log: impl Iterator<Item = Result<Entry<'a>, ImaError>>) -> Entry<'a> {
    let entry = log.next().unwrap().unwrap();
    assert!(log.next().is_none());
    entry
}

#[test]
fn both_forms_of_every_template_give_the_same_entry() {
    for record in records() {
        let (binary, ascii) = (record.binary(), record.ascii());
        let (binary, mut ascii) = (only(BinaryLog::new(&binary)), only(AsciiLog::new(&ascii)));
        let place = format!("{} {:?}", record.template, record.fields);
        assert_eq!((binary.end, binary.pcr), (record.binary().len(), u8::try_from(record.pcr).unwrap()));
        // The entries are equal except for their offsets.
        (ascii.offset, ascii.end) = (binary.offset, binary.end);
        assert_eq!(binary, ascii, "{place}");
        let measured = binary.file_digest().unwrap();
        assert_eq!(measured.digest, measured.digest.algorithm().digest(&[b"contents"]), "{place}");
        let is_buffer = record.template == "ima-buf";
        assert_eq!(binary.path(), Some(if is_buffer { &b"kexec-cmdline"[..] } else { PATH }), "{place}");
        assert_eq!(binary.buffer().is_some(), is_buffer, "{place}");
    }
}

#[test]
fn the_fields_of_a_template_are_read() {
    let read = |template: &str| {
        let record = records().into_iter().find(|record| record.template == template).unwrap();
        let log = record.binary();
        let entry = only(BinaryLog::new(&log));
        (
            entry.file_digest().unwrap().of,
            entry.signature().map(<[u8]>::to_vec),
            entry.buffer().map(<[u8]>::to_vec),
        )
    };
    assert_eq!(read("ima-ng"), (Hashed::Contents, None, None));
    assert_eq!(read("ima-sig"), (Hashed::Contents, Some(SIGNATURE.to_vec()), None));
    assert_eq!(read("ima-sigv2"), (Hashed::Verity, Some(SIGNATURE.to_vec()), None));
    assert_eq!(read("ima-ngv2"), (Hashed::Contents, None, None));
    assert_eq!(read("ima-buf"), (Hashed::Contents, None, Some(b"contents".to_vec())));
    assert_eq!(
        read("evm-sig"),
        (Hashed::Contents, None, None),
        "an EVM signature does not cover the contents"
    );
    assert_eq!(read("d-ng|n-ng|sig|buf"), (Hashed::Contents, Some(SIGNATURE.to_vec()), None));
}

/// The oldest template has its own form in both logs.
#[test]
fn the_oldest_template_is_read() {
    let digest = HashAlgorithm::Sha1.digest(&[b"contents"]);
    let hashed = [digest.as_bytes(), PATH, &vec![0; 256 - PATH.len()]].concat();
    let stated = HashAlgorithm::Sha1.digest(&[&hashed]);
    let ascii = format!("10 {stated} ima {digest} {}\n", str::from_utf8(PATH).unwrap());
    let size = |size: usize| u32::try_from(size).unwrap().to_le_bytes();
    let name = [&size(PATH.len()), PATH].concat();
    let binary =
        [&10_u32.to_le_bytes(), stated.as_bytes(), &size(3), b"ima", digest.as_bytes(), &name].concat();
    let entries = [only(AsciiLog::new(ascii.as_bytes())), only(BinaryLog::new(&binary))];
    for entry in entries {
        assert_eq!(entry.path(), Some(PATH));
        assert_eq!(entry.file_digest().unwrap().digest, digest);
    }
}

#[test]
fn names_need_not_be_utf_8() {
    let name = b"/srv/\xff\xfe\x80.so";
    let record = Record::file(name, b"contents");
    let (binary, ascii) = (record.binary(), record.ascii());
    assert_eq!(only(BinaryLog::new(&binary)).path(), Some(&name[..]));
    assert_eq!(only(AsciiLog::new(&ascii)).path(), Some(&name[..]));
}

#[test]
fn a_violation_has_a_path_and_no_digest() {
    let record = Record::violation(b"/var/log/journal");
    let log = record.binary();
    let entry = only(BinaryLog::new(&log));
    assert!(entry.is_violation());
    assert_eq!((entry.path(), entry.file_digest()), (Some(&b"/var/log/journal"[..]), None));
}

#[test]
fn the_path_is_read_despite_an_unknown_algorithm() {
    let field = ([b"sm3-256:\0", &[7; 32][..]].concat(), String::new());
    let log = Record::new("ima-ng", vec![field, text(PATH)]).binary();
    let entry = only(BinaryLog::new(&log));
    assert_eq!((entry.path(), entry.file_digest()), (Some(PATH), None));
}

#[test]
fn an_unknown_template_and_a_malformed_line_have_different_errors() {
    let line = |template: &str| format!("10 {} {template} sha256:00 /a\n", "0".repeat(40));
    let error = |line: String| AsciiLog::new(line.as_bytes()).next().unwrap().unwrap_err();
    assert_eq!(error(line("made-up")), ImaError::Template { offset: 0 });
    assert_eq!(error(line("n-ng|d-ng")), ImaError::Template { offset: 0 });
    assert_eq!(error(line("ima-ng").replace("00 /a", "0 /a")), ImaError::Malformed { offset: 0 });
}

const TEMPLATES: [&str; 12] = [
    "ima",
    "ima-ng",
    "ima-sig",
    "ima-buf",
    "ima-ngv2",
    "ima-sigv2",
    "ima-modsig",
    "evm-sig",
    "d-ng|n-ng",
    "n-ng|d-ng",
    "d-ng|n-ng|n-ng",
    "d|n",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No digest covers the name of a template. Gives an entry another template: its fields must not be read as another
    /// file.
    #[test]
    fn an_entry_with_another_template_name_shows_no_other_file(
        which in 0..12_usize,
        template in 0..12_usize,
        length in 0..400_usize,
    ) {
        let mut record = records()[which].clone();
        // Lengths that make the data as long as that of the template without sizes.
        record.fields[1] = text(&vec![b'x'; length]);
        let log = record.binary();
        let genuine = only(BinaryLog::new(&log)).file_digest();
        record.template = TEMPLATES[template];
        let log = match record.template {
            // This template has another form in the list; the hashed bytes stay the same.
            "ima" => as_oldest(&record),
            _ => record.binary(),
        };
        for entry in BinaryLog::new(&log).map_while(Result::ok) {
            let digest = entry.file_digest();
            prop_assert!(digest.is_none() || digest == genuine, "{} as {}", records()[which].template, record.template);
            prop_assert!(entry.path().is_none_or(|path| path == vec![b'x'; length]));
        }
    }
}

#[test]
fn data_as_long_as_the_oldest_template_is_not_read_as_it() {
    let record = Record::file(&[b'x'; 276 - 49], b"contents");
    assert_eq!(record.data().len(), 276);
    let log = as_oldest(&record);
    let entry = only(BinaryLog::new(&log));
    assert_eq!((entry.template, entry.path(), entry.file_digest()), (&b"ima"[..], None, None));
}

/// Returns an entry of the template `ima` with the same hashed bytes as `record`.
fn as_oldest(record: &Record) -> Vec<u8> {
    let data = record.data();
    let stated = HashAlgorithm::Sha1.digest(&[&data]);
    let (digest, name) = data.split_at(20);
    let size = |size: usize| u32::try_from(size).unwrap().to_le_bytes();
    let name = &name[..name.len().min(255)];
    let name = [&size(name.len()), name].concat();
    [&10_u32.to_le_bytes(), stated.as_bytes(), &size(3), b"ima", digest, &name].concat()
}
