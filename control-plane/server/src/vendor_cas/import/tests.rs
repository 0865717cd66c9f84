use std::fs;
use std::io::{Cursor, Write as _};

use cab::{CabinetBuilder, CompressionType};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, date_time_ymd,
};
use tempfile::TempDir;

use super::*;
use crate::vendor_cas::Vendors;
use crate::vendor_cas::view::EntryKind;

/// A time in 2026, Unix seconds.
const NOW: u64 = 1_780_000_000;

struct Ca {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

impl Ca {
    fn root(vendor: &str, name: &str) -> Self {
        Self::signed(params(vendor, name, 2040), None)
    }

    fn intermediate(&self, name: &str, serial: u64) -> Self {
        let mut params = params("Vendor", name, 2040);
        params.serial_number = Some(serial.into());
        Self::signed(params, Some(self))
    }

    fn signed(params: CertificateParams, issuer: Option<&Self>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
            None => params.self_signed(&key),
        };
        Self { der: certificate.unwrap().der().to_vec(), params, key }
    }

    fn list(&self, year: i32, serial: u64) -> Vec<u8> {
        let revoked = RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: Some(RevocationReason::CaCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(year, 1, 1),
            next_update: date_time_ymd(year, 12, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
    }

    fn pem(&self) -> Vec<u8> {
        to_pem(&self.der)
    }
}

fn params(vendor: &str, name: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, vendor);
    params.not_after = date_time_ymd(until, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn vendor_cas(&self) -> PathBuf {
        self.0.path().join("etc/vendor-cas")
    }

    fn put(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    fn import(&self, sources: &[PathBuf]) -> Imported {
        import(&self.vendor_cas(), sources, NOW, &mut |_, _| {}).unwrap()
    }

    fn reason(&self, name: &str, contents: &[u8]) -> String {
        let report = self.import(&[self.put(name, contents)]);
        assert!(report.imported.is_empty(), "{report:#?}");
        report.refused[0].reason.clone()
    }
}

fn names_of(report: &Imported) -> Vec<(EntryKind, &str)> {
    report.imported.iter().map(|entry| (entry.kind, entry.name.as_str())).collect()
}

fn cabinet(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = CabinetBuilder::new();
    let folder = builder.add_folder(CompressionType::MsZip);
    for (name, _) in files {
        folder.add_file(*name);
    }
    let mut writer = builder.build(Cursor::new(Vec::new())).unwrap();
    let mut contents = files.iter();
    while let Some(mut file) = writer.next_file().unwrap() {
        file.write_all(contents.next().unwrap().1).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_directory_tree_like_keylimes_is_imported_and_files_that_are_no_cas_are_reported() {
    let place = Place::new();
    let root = Ca::root("Vendor", "Vendor Root CA");
    let issuing = root.intermediate("Vendor Issuing CA", 5);
    let lonely = Ca::root("Other", "gone").intermediate("Lonely CA", 6);
    // The intermediate comes before its root.
    place.put("tpm_cert_store/AAA-issuing.pem", &issuing.pem());
    place.put("tpm_cert_store/Root.pem", &[root.pem(), b"\nsome words\n".to_vec()].concat());
    place.put("tpm_cert_store/lonely.der", &lonely.der);
    place.put("tpm_cert_store/README.md", b"From the vendors");
    place.put("tpm_cert_store/vendor/again.cer", &root.der);
    std::os::unix::fs::symlink("/etc/passwd", place.0.path().join("tpm_cert_store/link")).unwrap();
    let report = place.import(&[place.0.path().join("tpm_cert_store")]);

    let intermediate = EntryKind::Intermediate;
    let expected = [
        (intermediate, "Vendor Issuing CA"),
        (EntryKind::Root, "Vendor Root CA"),
        (intermediate, "Lonely CA"),
    ];
    assert_eq!(names_of(&report), expected);
    assert_eq!(report.imported[0].vendor.as_deref(), Some("Vendor"));
    assert_eq!(report.imported[2].notes, ["gone is not in the directory"]);
    assert!(report.imported[1].file.starts_with("vendor-vendor-root-ca-"), "{report:#?}");
    assert_eq!(report.duplicates.len(), 1);
    assert!(report.duplicates[0].source.ends_with("vendor/again.cer"));
    assert_eq!(report.duplicates[0].file, report.imported[1].file);
    let refused: Vec<_> = report.refused.iter().map(|refused| refused.reason.as_str()).collect();
    assert_eq!(
        refused,
        [
            "it is neither a file nor a directory",
            "it is neither a well-formed X.509 certificate nor a revocation list"
        ]
    );

    // The server uses them, and a second import changes nothing.
    assert_eq!(Vendors::open(Some(&place.vendor_cas()), NOW).unwrap().current().unwrap().len(), 3);
    let again = place.import(&[place.0.path().join("tpm_cert_store")]);
    assert_eq!((again.imported.len(), again.duplicates.len()), (0, 4));
    assert_eq!(fs::read_dir(place.vendor_cas()).unwrap().count(), 3);
}

#[test]
fn a_cabinet_archive_like_microsofts_is_imported() {
    let place = Place::new();
    let root = Ca::root("Vendor", "Vendor Root CA");
    let issuing = root.intermediate("Vendor Issuing CA", 5);
    let files: [(&str, &[u8]); 5] = [
        ("Vendor\\IntermediateCA\\issuing.crt", &issuing.der),
        ("Vendor\\RootCA\\root.cer", &root.der),
        ("Other\\RootCA\\root.cer", &root.der),
        ("setup.ps1", b"Write-Host"),
        ("version.txt", b"1.2.3"),
    ];
    let archive = place.put("TrustedTpm.cab", &cabinet(&files));
    let report = place.import(std::slice::from_ref(&archive));
    assert_eq!(
        names_of(&report),
        [(EntryKind::Intermediate, "Vendor Issuing CA"), (EntryKind::Root, "Vendor Root CA")]
    );
    let source = report.imported[0].source.clone().unwrap();
    assert_eq!(source, format!("{}: Vendor/IntermediateCA/issuing.crt", archive.display()));
    assert_eq!((report.duplicates.len(), report.refused.len()), (1, 2));
    let damaged = place.put("damaged.cab", &fs::read(&archive).unwrap()[..200]);
    let error = import(&place.vendor_cas(), &[damaged], NOW, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("damaged.cab: it is a damaged cabinet archive"), "{error}");
}

#[test]
fn an_expired_altered_or_revoked_certificate_or_one_of_no_ca_is_refused_with_the_reason() {
    let place = Place::new();
    let root = Ca::root("Vendor", "Root CA");
    place.import(&[place.put("root.pem", &root.pem())]);

    let expired = Ca::signed(params("Vendor", "Old CA", 2020), None);
    assert_eq!(place.reason("expired.der", &expired.der), "it has expired");
    let mut early = params("Vendor", "Early CA", 2040);
    early.not_before = date_time_ymd(2030, 1, 1);
    assert_eq!(place.reason("early.der", &Ca::signed(early, None).der), "it is not valid yet");
    let mut altered = root.intermediate("Issuing CA", 5).der;
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(
        place.reason("altered.der", &altered),
        "it is not signed by Root CA, the issuer that it names"
    );
    let mut altered = Ca::root("Vendor", "Another Root CA").der;
    *altered.last_mut().unwrap() ^= 1;
    assert!(place.reason("altered-root.der", &altered).contains("not signed by Another Root CA"));
    let mut leaf = params("Vendor", "Leaf", 2040);
    leaf.is_ca = IsCa::NoCa;
    assert_eq!(place.reason("leaf.der", &Ca::signed(leaf, Some(&root)).der), "it is not a CA's certificate");
    let mut signs_nothing = params("Vendor", "Signs nothing", 2040);
    signs_nothing.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let reason = place.reason("signs-nothing.der", &Ca::signed(signs_nothing, None).der);
    assert_eq!(reason, "its key usage does not allow it to sign certificates");
    assert!(place.reason("broken.pem", b"-----BEGIN CERTIFICATE-----\n!!").contains("malformed"));

    let list = place.import(&[place.put("list.crl", &root.list(2026, 5))]);
    assert_eq!(list.imported[0].revokes, Some(1));
    let reason = place.reason("revoked.der", &root.intermediate("Revoked CA", 5).der);
    assert_eq!(reason, "it was revoked by Root CA, its issuer");
}

#[test]
fn lists_are_imported_with_their_ca_and_a_newer_one_replaces_an_older_one() {
    let place = Place::new();
    let root = Ca::root("Vendor", "Root CA");
    assert_eq!(place.reason("early.crl", &root.list(2025, 5)), "no known CA is named Root CA, its issuer");

    place.put("tree/root.pem", &root.pem());
    place.put("tree/root.crl", &root.list(2025, 5));
    let report = place.import(&[place.0.path().join("tree")]);
    assert_eq!(names_of(&report), [(EntryKind::Root, "Root CA"), (EntryKind::RevocationList, "Root CA")]);
    assert!(report.imported[1].notes[0].contains("out of date"), "{report:#?}");

    let newer = place.import(&[place.put("newer.crl", &root.list(2026, 6))]);
    assert_eq!(newer.imported[0].file, report.imported[1].file);
    assert!(newer.imported[0].notes.is_empty());
    assert_eq!(fs::read_dir(place.vendor_cas()).unwrap().count(), 2);
    assert!(place.reason("older.crl", &root.list(2025, 5)).ends_with("is as new, or newer"));
    assert_eq!(place.import(&[place.put("same.crl", &root.list(2026, 6))]).refused.len(), 1, "signed again");

    let namesake = Ca::root("Vendor", "Root CA");
    assert_eq!(
        place.reason("forged.crl", &namesake.list(2026, 6)),
        "it is not signed by Root CA, its issuer"
    );
}

#[test]
fn a_file_that_has_the_name_of_another_is_not_overwritten() {
    let (place, other) = (Place::new(), Place::new());
    let root = Ca::root("Vendor", "Root CA");
    let source = place.put("root.pem", &root.pem());
    let name = other.import(std::slice::from_ref(&source)).imported[0].file.clone();
    place.put(&format!("etc/vendor-cas/{name}"), b"an operator's notes");
    let report = place.import(&[source]);
    assert_eq!(report.refused[0].reason, format!("the directory has another file of the name {name}"));
    assert_eq!(fs::read(place.vendor_cas().join(&name)).unwrap(), b"an operator's notes");
}

#[test]
fn imported_certificates_and_unused_files_are_listed() {
    let place = Place::new();
    let root = Ca::root("Vendor", "Root CA");
    let issuing = root.intermediate("Issuing CA", 5);
    place.import(&[place.put("root.pem", &root.pem()), place.put("issuing.pem", &issuing.pem())]);
    place.import(&[place.put("list.crl", &root.list(2026, 5))]);
    place.put("etc/vendor-cas/README", b"notes");
    let listed = crate::vendor_cas::list(&place.vendor_cas(), NOW).unwrap();
    let entry = |kind| listed.entries.iter().find(|entry| entry.kind == kind).unwrap();
    assert_eq!(entry(EntryKind::Intermediate).notes, ["revoked by Root CA"]);
    assert!(entry(EntryKind::Root).notes.is_empty());
    assert_eq!(entry(EntryKind::RevocationList).revokes, Some(1));
    assert_eq!(listed.skipped[0].source, "README");
    let later = crate::vendor_cas::list(&place.vendor_cas(), NOW + 40_000_000).unwrap();
    assert!(later.entries.iter().any(|entry| entry.notes.iter().any(|note| note.contains("out of date"))));
}

#[test]
fn an_import_reports_its_progress() {
    let place = Place::new();
    let sources: Vec<PathBuf> = (0..3)
        .map(|number| place.put(&format!("{number}.der"), &Ca::root("Vendor", &format!("CA {number}")).der))
        .collect();
    let mut calls = Vec::new();
    import(&place.vendor_cas(), &sources, NOW, &mut |done, total| calls.push((done, total))).unwrap();
    assert_eq!(calls, [(0, 3), (1, 3), (2, 3)]);
}
