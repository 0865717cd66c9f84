//! Which TPMs pair where the operator trusts vendors by their certificates, and which pair without configured vendors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, DeviceOptions, Factory, Swtpm, Terms, wait};
use pawl_local_api::{PairRequest, SessionStage};
use pawl_proto::DeviceId;
use pawl_proto::message::ShortText;
use serde_json::Value;

use crate::support::{Tpm2Tools, approve_here, seen_by_operator, session_id};

const EXEMPT: &str = "hash alone, enrolled --without-certificate";

/// A device whose TPM has no certificate for the endorsement key that it goes by.
fn without_certificate() -> DeviceOptions {
    DeviceOptions { endorsement: "ecc-p256", ..DeviceOptions::default() }
}

#[test]
fn with_vendor_cas_a_device_without_a_certificate_needs_the_operators_exception() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", without_certificate()).unwrap();
    device.start().unwrap();
    let status = device.status().unwrap();
    rig.control_plane.enrol(&status.ek_sha256, "pump 7").unwrap();
    device.pair().unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "endorsement-key", "{refused:?}");
    assert!(refused.reason.contains("no endorsement certificate"), "{refused:?}");
    assert!(refused.reason.contains("--without-certificate"), "{refused:?}");

    let enrolled = rig.control_plane.enrol_without_certificate(&status.ek_sha256).unwrap();
    assert_eq!((&enrolled[0]["without_certificate"], &enrolled[0]["new"]), (&true.into(), &false.into()));
    device.pair().unwrap();
    let paired = device.wait_until_entitled().unwrap();
    assert!(paired.pairing.unwrap().endorsement.starts_with(EXEMPT));

    let id = status.device.as_str();
    let shown = rig.control_plane.show(id).unwrap();
    assert_eq!(shown["without_certificate"], true);
    assert!(shown["endorsement"].as_str().unwrap().starts_with(EXEMPT), "{shown:#}");
    assert_eq!(rig.control_plane.operator(&["devices"]).unwrap()[0]["without_certificate"], true);
    for (arguments, said) in
        [(&["show", id][..], "certificate   not required"), (&["devices"], "not required")]
    {
        let shown = text(&rig, arguments);
        assert!(shown.contains(said), "{shown}");
    }
    let required = recorded(&rig, id, "certificate-requirement");
    assert_eq!(required[0]["required"], false);
    let endorsement = recorded(&rig, id, "paired")[0]["endorsement"].as_str().unwrap().to_owned();
    assert!(endorsement.starts_with(EXEMPT), "{endorsement}");
}

#[test]
fn without_vendor_cas_a_device_pairs_by_hash() {
    let rig = Rig::for_test_with(&Terms { vendor_cas: false, ..Terms::default() }).unwrap();
    for (name, options) in [("bare", without_certificate()), ("certified", DeviceOptions::default())] {
        let device = rig.paired_device(name, options).unwrap();
        let status = device.status().unwrap();
        assert_eq!(status.pairing.unwrap().endorsement, "enrolled by hash");
        let shown = rig.control_plane.show(status.device.as_str()).unwrap();
        assert_eq!(shown["without_certificate"], false);
    }
}

#[test]
fn with_vendor_cas_a_certificate_of_another_maker_is_none() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    device.replace_tpm(foreign_tpm(&rig, &device)).unwrap();
    device.start().unwrap();
    let status = device.status().unwrap();
    rig.control_plane.enrol(&status.ek_sha256, "device").unwrap();
    device.pair().unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "endorsement-key", "{refused:?}");
    // The two makers call their authorities by the same name.
    assert!(refused.reason.contains("no valid signature of swtpm-localca"), "{refused:?}");

    // The exception is for TPMs without a certificate, not for a forged certificate.
    rig.control_plane.enrol_without_certificate(&status.ek_sha256).unwrap();
    device.pair().unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "endorsement-key", "{refused:?}");
}

#[test]
fn with_vendor_cas_a_software_tpm_takes_no_place_by_an_approval() {
    let (rig, mut device, alice) = stage();
    let old = device.status().unwrap().device;
    device.stop().unwrap();
    device.replace_tpm(foreign_tpm(&rig, &device)).unwrap();
    device.start().unwrap();
    device.ask_to_pair(&replacing(old)).unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "endorsement-key", "{refused:?}");
    assert_keeps_its_place(&rig, old);
    drop(alice);
}

#[test]
fn with_vendor_cas_a_tpm_without_a_certificate_takes_a_place_only_by_the_exception() {
    let (rig, device, alice) = stage();
    let old = device.status().unwrap().device;
    let mut board = rig.device("board", without_certificate()).unwrap();
    board.start().unwrap();
    board.ask_to_pair(&replacing(old)).unwrap();
    let refused = board.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "endorsement-key", "{refused:?}");
    assert_keeps_its_place(&rig, old);

    rig.control_plane.enrol_without_certificate(&board.status().unwrap().ek_sha256).unwrap();
    board.ask_to_pair(&replacing(old)).unwrap();
    board.wait_for_approver().unwrap();
    // Every approver sees it: at the device, in what they sign, and on the control plane.
    let asked = board.session().unwrap().asked.unwrap();
    assert!(asked.endorsement.unwrap().starts_with(EXEMPT));
    let seen = seen_by_operator(&rig, &session_id(&board));
    assert!(seen["endorsement"].as_str().unwrap().starts_with(EXEMPT), "{seen:#}");
    approve_here(&board, &alice);
    assert_eq!(rig.control_plane.show(old.as_str()).unwrap()["standing"], "suspended");
}

#[test]
fn an_exception_that_is_taken_back_while_a_person_approves_no_longer_counts() {
    let (rig, device, alice) = stage();
    let old = device.status().unwrap().device;
    let mut board = rig.device("board", without_certificate()).unwrap();
    board.start().unwrap();
    let ek_sha256 = board.status().unwrap().ek_sha256;
    rig.control_plane.enrol_without_certificate(&ek_sha256).unwrap();
    board.ask_to_pair(&replacing(old)).unwrap();
    board.wait_for_approver().unwrap();
    let again = rig.control_plane.enrol(&ek_sha256, "board").unwrap();
    assert_eq!(again[0]["without_certificate"], false);
    board.approve(&alice).unwrap();
    let refused = board.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "endorsement-key", "{refused:?}");
    assert_keeps_its_place(&rig, old);
}

#[test]
fn a_vendor_directory_that_is_empty_or_unreadable_keeps_the_server_from_starting() {
    let mut rig = Rig::for_test().unwrap();
    rig.control_plane.stop().unwrap();
    let place = rig.directory().create("other-vendors").unwrap();
    let empty = place.join("empty");
    fs::create_dir(&empty).unwrap();
    let useless = place.join("useless");
    fs::create_dir(&useless).unwrap();
    fs::write(useless.join("README"), "certificates go here").unwrap();
    let dangling = place.join("dangling");
    fs::create_dir(&dangling).unwrap();
    std::os::unix::fs::symlink(place.join("gone.pem"), dangling.join("vendor.pem")).unwrap();
    let cases: [(PathBuf, &str); 4] = [
        (empty, "has no CA certificate that can be used"),
        (useless, "has no CA certificate that can be used"),
        (dangling, "vendor.pem: No such file"),
        (place.join("missing"), "missing: No such file"),
    ];
    for (directory, said) in cases {
        set_vendor_cas(&rig, &directory);
        let output = rig.control_plane.command(&["serve"]).unwrap().output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{}: {told}", directory.display());
        assert!(told.contains("endorsement.vendor_cas") && told.contains(said), "{told}");
    }
}

#[test]
fn a_certificate_on_its_vendors_revocation_list_is_refused_from_the_reload_on() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.device("device", DeviceOptions::default()).unwrap();
    let certificate = Tpm2Tools::on(&device.tpm).run("tpm2_nvread", &["0x01c00016", "-C", "o"]);
    device.start().unwrap();
    // The exception does not help a certificate that was revoked.
    rig.control_plane.enrol_without_certificate(&device.status().unwrap().ek_sha256).unwrap();

    // A directory of this test's own: the factory is shared.
    let directory = rig.directory().create("own-vendors").unwrap();
    set_vendor_cas(&rig, &directory);
    let factory = rig.factory.vendor_cas();
    let imported = rig.control_plane.operator(&["vendor-cas", "import", factory.to_str().unwrap()]).unwrap();
    assert_eq!(imported["imported"].as_array().unwrap().len(), 2, "{imported:#}");
    rig.control_plane.stop().unwrap();
    rig.control_plane.start().unwrap();
    device.pair().unwrap();
    let paired = device.wait_until_entitled().unwrap().pairing.unwrap();
    assert!(paired.endorsement.starts_with("certificate, CA "), "{}", paired.endorsement);

    let place = rig.directory().create("list").unwrap();
    fs::write(place.join("certificate.der"), certificate).unwrap();
    let list = revocation_list(&place, &factory.join("../authority"));
    let imported = rig.control_plane.operator(&["vendor-cas", "import", list.to_str().unwrap()]).unwrap();
    assert_eq!(imported["imported"][0]["revokes"], 1, "{imported:#}");
    let listed = rig.control_plane.operator(&["vendor-cas", "list"]).unwrap();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 3, "{listed:#}");
    assert!(text(&rig, &["vendor-cas", "list"]).contains("revokes 1"));
    rig.control_plane.reload().unwrap();
    let read_again = || {
        ensure!(rig.control_plane.log()?.contains("read the vendors' certificates again"), "not read yet");
        Ok(())
    };
    wait::until("the server reads the list", wait::SOON, read_again).unwrap();
    device.re_pair("look at the certificate again").unwrap();
    let refused = device.wait_for_stage(SessionStage::Failed).unwrap().problem.unwrap();
    assert_eq!(refused.error, "endorsement-key", "{refused:?}");
    assert!(refused.reason.contains("was revoked by swtpm-localca"), "{refused:?}");
}

#[test]
fn an_import_without_a_vendor_directory_or_of_nothing_good_fails_and_says_why() {
    let rig = Rig::for_test_with(&Terms { vendor_cas: false, ..Terms::default() }).unwrap();
    let place = rig.directory().create("sources").unwrap();
    fs::write(place.join("README"), "no certificate").unwrap();
    let source = place.to_str().unwrap();
    let output = rig.control_plane.command(&["vendor-cas", "import", source]).unwrap().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("endorsement.vendor_cas is not set"), "{told}");

    let rig = Rig::for_test().unwrap();
    set_vendor_cas(&rig, &place.join("vendors"));
    let output = rig.control_plane.command(&["vendor-cas", "import", source]).unwrap().output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("README: it is neither") && shown.contains("0 imported"), "{shown}");
}

/// The list, made by OpenSSL, on which the authority revokes the certificate in `certificate.der`.
fn revocation_list(place: &Path, authority: &Path) -> PathBuf {
    let at = |name: &str| place.join(name).display().to_string();
    let serial = openssl(&["x509", "-inform", "DER", "-in", &at("certificate.der"), "-noout", "-serial"]);
    let serial = serial.trim().strip_prefix("serial=").unwrap().to_owned();
    fs::write(place.join("index"), format!("R\t400101000000Z\t250101000000Z\t{serial}\tunknown\t/CN=x\n"))
        .unwrap();
    fs::write(place.join("number"), "01\n").unwrap();
    let configuration = format!(
        "[ca]\ndefault_ca=a\n[a]\ndatabase={}\ncrlnumber={}\ndefault_md=sha256\ndefault_crl_days=30\n",
        at("index"),
        at("number")
    );
    fs::write(place.join("configuration"), configuration).unwrap();
    let (key, certificate) = (authority.join("signkey.pem"), authority.join("issuercert.pem"));
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let (configuration, list) = (at("configuration"), at("vendor.crl"));
    openssl(&[
        "ca",
        "-gencrl",
        "-config",
        &configuration,
        "-keyfile",
        &key,
        "-cert",
        &certificate,
        "-out",
        &list,
    ]);
    list.into()
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A paired device with a certificate, and a person who may approve that another one takes its place.
fn stage() -> (Rig, Device, Approver) {
    let rig = Rig::for_test_with(&Terms::approved_by(1)).unwrap();
    let alice = rig.approver("alice").unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    (rig, device, alice)
}

/// A TPM that anybody makes with the same tools.
fn foreign_tpm(rig: &Rig, device: &Device) -> Swtpm {
    let factory = Factory::build(rig.directory().create("foreign-factory").unwrap()).unwrap();
    let state = rig.directory().create("foreign/tpm").unwrap();
    factory.make_tpm(&state).unwrap();
    Swtpm::start(rig.directory(), "foreign", state, device.tpm.boot_log().map(Path::to_owned)).unwrap()
}

fn replacing(old: DeviceId) -> PairRequest {
    let reason = ShortText::lossy("the board was swapped");
    PairRequest { reason, replaces: Some(old), again: true, ..PairRequest::default() }
}

fn assert_keeps_its_place(rig: &Rig, device: DeviceId) {
    let shown = rig.control_plane.show(device.as_str()).unwrap();
    assert_eq!((&shown["standing"], &shown["replaced_by"]), (&"active".into(), &Value::Null));
    assert_eq!(shown["pairing"]["state"], "live");
}

fn set_vendor_cas(rig: &Rig, directory: &Path) {
    let config = rig.control_plane.config();
    let text = fs::read_to_string(config).unwrap();
    let lines = text.lines().map(|line| match line.starts_with("vendor_cas") {
        true => format!("vendor_cas = {directory:?}\n"),
        false => format!("{line}\n"),
    });
    fs::write(config, lines.collect::<String>()).unwrap();
}

fn text(rig: &Rig, arguments: &[&str]) -> String {
    let output = rig.control_plane.command(arguments).unwrap().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The details of the records of one kind.
fn recorded(rig: &Rig, device: &str, kind: &str) -> Vec<Value> {
    let records = rig.control_plane.records(device).unwrap();
    let found: Vec<Value> = records
        .iter()
        .filter(|record| record["kind"] == kind)
        .map(|record| record["detail"].clone())
        .collect();
    assert!(!found.is_empty(), "no {kind} in {records:#?}");
    found
}
