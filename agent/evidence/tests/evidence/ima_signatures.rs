//! Signatures on files, made by evmctl and by OpenSSL.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use pawl_evidence::ima::{BinaryLog, Findings, RuleSet, Rules, Signer, SignerError, Why};
use pawl_evidence::tpm::{HashAlgorithm, PcrValues};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::ima::{Record, bytes, digest, text};

const CONTENTS: &[u8] = b"#!/bin/sh\nexit 0\n";
/// enum hash_algo of the kernel.
const SHA256: u8 = 4;
const RSA: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
const P384: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp384r1"];

/// A signer's key and certificate, and a file to be signed.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(algorithm: [&str; 4]) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        run(Command::new("openssl").arg("genpkey").args(algorithm).arg("-out").arg(desk.path("key.pem")));
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-x509", "-days", "2", "-subj", "/CN=Release", "-key"]);
        run(request.arg(desk.path("key.pem")).arg("-out").arg(desk.path("cert.pem")));
        run(Command::new("openssl")
            .arg("pkey")
            .arg("-in")
            .arg(desk.path("key.pem"))
            .args(["-pubout", "-out"])
            .arg(desk.path("pub.pem")));
        fs::write(desk.path("file"), CONTENTS).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signer(&self, file: &str) -> Result<Signer, SignerError> {
        Signer::read("Release".to_owned(), &fs::read(self.path(file)).unwrap())
    }

    /// Returns the attribute that evmctl would set.
    fn evmctl(&self, options: &[&str]) -> Vec<u8> {
        let mut command = Command::new("evmctl");
        command.args(["ima_sign", "--sigfile"]).args(options).arg("--key").arg(self.path("key.pem"));
        run(command.arg(self.path("file")));
        fs::read(self.path("file.sig")).unwrap()
    }

    /// Signs a digest with OpenSSL, and puts this header in front of the signature.
    fn attribute(&self, kind: u8, version: u8, hash: &str, signed: &[u8]) -> Vec<u8> {
        fs::write(self.path("digest"), signed).unwrap();
        let mut command = Command::new("openssl");
        command
            .args(["pkeyutl", "-sign", "-pkeyopt", &format!("digest:{hash}"), "-inkey"])
            .arg(self.path("key.pem"));
        run(command.arg("-in").arg(self.path("digest")).arg("-out").arg(self.path("signature")));
        let signature = fs::read(self.path("signature")).unwrap();
        let key_id = &self.evmctl(&[])[3..7];
        let size = u16::try_from(signature.len()).unwrap().to_be_bytes();
        [&[kind, version, SHA256], key_id, &size, &signature].concat()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns why rules with these signers do not explain an entry; `None` if they do.
fn check(signers: Vec<Signer>, record: &Record) -> Option<Why> {
    let rules = Rules::new(RuleSet { signers, ..RuleSet::default() });
    let mut findings = Findings::new(&rules);
    findings.observe(&rules, BinaryLog::new(&record.binary()), &PcrValues::default());
    assert_eq!(findings.by_signature + findings.offending, 1);
    findings.offenders.first().map(|offender| offender.why)
}

fn signed(signature: &[u8]) -> Record {
    Record::signed(b"/usr/bin/true", CONTENTS, signature)
}

#[test]
fn signatures_by_evmctl_are_accepted_only_from_listed_signers() {
    let stranger = Desk::new(P256);
    for algorithm in [RSA, P256, P384] {
        let desk = Desk::new(algorithm);
        let signature = desk.evmctl(&[]);
        for form in ["cert.pem", "pub.pem"] {
            let signer = desk.signer(form).unwrap();
            assert_eq!(check(vec![signer.clone()], &signed(&signature)), None, "{algorithm:?} {form}");
            let key_id = u32::from_be_bytes(signature[3..7].try_into().unwrap());
            let other = Record::signed(b"/usr/bin/true", b"other contents", &signature);
            assert_eq!(check(vec![signer], &other), Some(Why::Signature { key_id }));
            let unknown = check(vec![stranger.signer(form).unwrap()], &signed(&signature));
            assert_eq!(unknown, Some(Why::Signer { key_id }));
        }
    }
}

#[test]
fn a_key_is_also_found_by_its_certificates_identifier() {
    let desk = Desk::new(RSA);
    let certificate = desk.path("cert.pem");
    let signature = desk.evmctl(&["--keyid-from-cert", certificate.to_str().unwrap()]);
    assert_eq!(check(vec![desk.signer("cert.pem").unwrap()], &signed(&signature)), None);
}

#[test]
fn a_signature_over_another_hash_needs_a_log_with_that_hash() {
    let desk = Desk::new(RSA);
    let signature = desk.evmctl(&["--hashalgo", "sha512"]);
    let signers = || vec![desk.signer("cert.pem").unwrap()];
    assert_eq!(check(signers(), &signed(&signature)), Some(Why::SignedHash));
    let fields = vec![digest("sha512:", CONTENTS), text(b"/usr/bin/true"), bytes(&signature)];
    assert_eq!(check(signers(), &Record::new("ima-sig", fields)), None);
}

/// Version 3 signs struct ima_file_id: the kind of digest, its algorithm, and the digest.
#[test]
fn signatures_over_fs_verity_digests_are_not_accepted_for_contents() {
    let desk = Desk::new(P256);
    let measured = digest("verity:sha256:", CONTENTS);
    let file_digest = &measured.0[measured.0.len() - 32..];
    let file_id = HashAlgorithm::Sha256.digest(&[&[6, SHA256], file_digest]);
    let signature = desk.attribute(6, 3, "sha256", file_id.as_bytes());
    let signers = || vec![desk.signer("pub.pem").unwrap()];
    let fields = vec![measured, text(b"/usr/bin/true"), bytes(&signature)];
    assert_eq!(check(signers(), &Record::new("ima-sigv2", fields)), None);
    assert_eq!(check(signers(), &signed(&signature)), Some(Why::SignedHash));
    // Version 3 over a digest of contents.
    let contents = HashAlgorithm::Sha256.digest(&[CONTENTS]);
    let file_id = HashAlgorithm::Sha256.digest(&[&[3, SHA256], contents.as_bytes()]);
    let signature = desk.attribute(3, 3, "sha256", file_id.as_bytes());
    assert_eq!(check(signers(), &signed(&signature)), None);
}

#[test]
fn other_attributes_are_refused_with_the_reason() {
    let desk = Desk::new(P256);
    let signers = || vec![desk.signer("cert.pem").unwrap()];
    let good = desk.evmctl(&[]);
    let with = |position: usize, byte: u8| {
        let mut attribute = good.clone();
        attribute[position] = byte;
        check(signers(), &signed(&attribute))
    };
    assert_eq!(with(0, 5), Some(Why::SignatureOfMetadata));
    assert_eq!(with(0, 4), Some(Why::SignatureForm), "a hash, not a signature");
    assert_eq!(with(1, 1), Some(Why::SignatureForm), "version 1");
    assert_eq!(with(2, 2), Some(Why::SignatureForm), "SHA-1");
    assert_eq!(with(8, good[8] - 1), Some(Why::SignatureForm), "longer than its size field");
    assert_eq!(check(signers(), &signed(&good[..8])), Some(Why::SignatureForm));
    let key_id = u32::from_be_bytes(good[3..7].try_into().unwrap());
    assert_eq!(with(good.len() - 1, !good[good.len() - 1]), Some(Why::Signature { key_id }));
}

#[test]
fn signers_are_read_only_from_certificates_and_public_keys() {
    let desk = Desk::new(P256);
    let convert = |kind: &[&str], from: &str, to: &str| {
        run(Command::new("openssl")
            .args(kind)
            .args(["-outform", "DER"])
            .arg("-in")
            .arg(desk.path(from))
            .arg("-out")
            .arg(desk.path(to)));
    };
    convert(&["x509"], "cert.pem", "cert.der");
    convert(&["pkey", "-pubin"], "pub.pem", "pub.der");
    for file in ["cert.der", "pub.der"] {
        assert!(desk.signer(file).is_ok(), "{file}");
    }
    assert_eq!(desk.signer("key.pem"), Err(SignerError::Form));
    assert_eq!(desk.signer("file"), Err(SignerError::Form));
    let two = [fs::read(desk.path("cert.pem")).unwrap(), fs::read(desk.path("pub.pem")).unwrap()].concat();
    assert_eq!(Signer::read("two".to_owned(), &two), Err(SignerError::Form));
    let weak = Desk::new(["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    assert_eq!(weak.signer("cert.pem"), Err(SignerError::Key));
    let strange = Desk::new(["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp521r1"]);
    assert_eq!(strange.signer("pub.pem"), Err(SignerError::Key));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn altered_and_random_attributes_are_refused(
        position in 0..80_usize,
        flip in 1..=255_u8,
        cut in 0..80_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        static SIGNED: LazyLock<(Signer, Vec<u8>)> = LazyLock::new(|| {
            let desk = Desk::new(P256);
            (desk.signer("cert.pem").unwrap(), desk.evmctl(&[]))
        });
        let (signer, good) = &*SIGNED;
        let mut flipped = good.clone();
        flipped[position % good.len()] ^= flip;
        // The signature does not cover the header, but every field of the header must match.
        for attribute in [&flipped[..], &good[..cut % good.len()], &bytes, &[&good[..9], &bytes].concat()] {
            prop_assert!(check(vec![signer.clone()], &signed(attribute)).is_some(), "{:?}", attribute);
        }
        let _ = Signer::read("made up".to_owned(), &bytes);
    }
}
