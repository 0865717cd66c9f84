//! NvPCRs: NV indexes of the TPM that systemd 262 extends as if they were PCRs.

use std::fs;
use std::path::PathBuf;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, MeasureLog, boot_log};
use pawl_evidence::tpm::HashAlgorithm;
use pawl_proto::message::TrustTier;
use serde_json::{Value, json};

use crate::support::{Tpm2Tools, judged, judged_anew};

const HARDWARE: u32 = 0x01d1_0200;
const LOGIN: u32 = 0x01d1_0203;
const PRODUCT: &str = "product-id:8a7b6c5d111142228333444455556666";
/// As systemd 262 defines it.
const ATTRIBUTES: &str = "policywrite|nt=extend|ownerread|authread|clear_stclear";
const AUTHWRITE: &str = "authwrite|policywrite|nt=extend|ownerread|authread|clear_stclear";

#[test]
fn an_nvpcr_that_the_policy_names_is_certified_and_judged_and_another_is_shown_as_present() {
    let rig = Rig::for_test().unwrap();
    let (mut device, _tools) = booted(&rig, "device");
    let id = rig.pair(&mut device, "device").unwrap();
    assert_eq!(shown(&rig, &id), json!([nvpcr("hardware", HARDWARE, false), nvpcr("login", LOGIN, false)]));

    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    assert!(learnt.contains("# [nvpcr.0x1d10200] # hardware"), "{learnt}");
    assert!(!learnt.contains(PRODUCT), "{learnt}");
    rig.control_plane.set_policy(&id, &named(&learnt)).unwrap();
    let verdict = judged(&rig, &device, TrustTier::Affirming).verdict.unwrap();
    let reasons = format!("{:?}", verdict.reasons);
    assert!(reasons.contains("NvPCR 0x1d10200 (hardware)") && !reasons.contains("0x1d10203"), "{reasons}");
    assert_eq!(shown(&rig, &id), json!([nvpcr("hardware", HARDWARE, true), nvpcr("login", LOGIN, false)]));
    assert!(device.token().is_ok());
    let explained = rig.control_plane.operator(&["policy", "explain", &id]).unwrap();
    assert_eq!(explained["result"], "affirming", "{explained}");
    assert!(explained.to_string().contains("nvpcr.unexplained"), "{explained}");
}

#[test]
fn a_device_can_be_paired_under_a_policy_that_names_an_nvpcr() {
    let rig = Rig::for_test().unwrap();
    let (mut device, _tools) = booted(&rig, "device");
    let id = rig.pair(&mut device, "device").unwrap();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy("default", &named(&learnt)).unwrap();

    let (mut other, tools) = booted(&rig, "other");
    rig.pair(&mut other, "device").unwrap();
    judged(&rig, &other, TrustTier::Affirming);
    other.stop().unwrap();
    tools.extend(&other, HARDWARE, &digest("an unlogged extend"));
    other.start().unwrap();
    refused(&rig, &other, "nvpcr.replay");
}

#[test]
fn an_nvpcr_that_lacks_a_record_was_set_back_or_made_anew_is_contraindicated() {
    let rig = Rig::for_test().unwrap();
    let (mut device, tools) = booted(&rig, "device");
    let id = rig.pair(&mut device, "device").unwrap();
    let learnt = rig.control_plane.learn_policy(&id).unwrap();
    rig.control_plane.set_policy(&id, &named(&learnt)).unwrap();
    judged(&rig, &device, TrustTier::Affirming);

    device.stop().unwrap();
    tools.extend(&device, HARDWARE, &digest("what nobody logged"));
    device.start().unwrap();
    let reasons = refused(&rig, &device, "nvpcr.replay");
    assert!(reasons.contains("records are missing"), "{reasons}");

    // The same index, without the record of this boot.
    device.stop().unwrap();
    tools.undefine(&device, HARDWARE);
    tools.define(&device, HARDWARE, ATTRIBUTES);
    device.start().unwrap();
    let reasons = refused(&rig, &device, "nvpcr.replay");
    assert!(reasons.contains("it was set back"), "{reasons}");

    // One that anyone who knows its empty authorization value extends, with the right value.
    device.stop().unwrap();
    tools.undefine(&device, HARDWARE);
    tools.define(&device, HARDWARE, AUTHWRITE);
    tools.extend(&device, HARDWARE, &digest(PRODUCT));
    device.start().unwrap();
    refused(&rig, &device, "nvpcr.index");

    device.stop().unwrap();
    tools.undefine(&device, HARDWARE);
    device.start().unwrap();
    let reasons = refused(&rig, &device, "nvpcr.certified");
    assert!(reasons.contains("does not exist"), "{reasons}");

    device.stop().unwrap();
    tools.define(&device, HARDWARE, ATTRIBUTES);
    tools.extend(&device, HARDWARE, &digest(PRODUCT));
    device.start().unwrap();
    judged(&rig, &device, TrustTier::Affirming);
}

/// The learnt policy, with a section for one of the NvPCRs.
fn named(learnt: &str) -> String {
    let digest = HashAlgorithm::Sha256.digest(&[PRODUCT.as_bytes()]);
    format!("{learnt}\n[nvpcr.0x1d10200]\ndigests = [{{ digest = \"{digest}\", name = \"product id\" }}]\n")
}

fn shown(rig: &Rig, id: &str) -> Value {
    rig.control_plane.show(id).unwrap()["nvpcrs"].clone()
}

fn nvpcr(name: &str, index: u32, judged: bool) -> Value {
    json!({ "index": format!("{index:#x}"), "name": name, "judged": judged })
}

/// Waits until the device is refused by this rule; gives all reasons.
fn refused(rig: &Rig, device: &Device, rule: &str) -> String {
    let mut seen = Vec::new();
    for _ in 0..10 {
        let verdict = judged_anew(rig, device).verdict.unwrap();
        let reasons = format!("{:?}", verdict.reasons);
        if verdict.result == Some(TrustTier::Contraindicated) && reasons.contains(rule) {
            return reasons;
        }
        seen.push(reasons);
    }
    panic!("never refused by {rule}: {seen:#?}")
}

/// A device whose systemd has made and extended two NvPCRs.
fn booted(rig: &Rig, name: &str) -> (Device, NvTools) {
    let folder = rig.directory().create(name).unwrap();
    let path = folder.join("tpm2-measure.log");
    let mut log = MeasureLog::create(path.clone()).unwrap();
    let options = DeviceOptions {
        boot_log: Some(boot_log("forky-good")),
        measure_log: Some(path),
        ..DeviceOptions::default()
    };
    let device = rig.device(name, options).unwrap();
    // Those of the fixture have names that no other index can have: they cover a key of the machine that made it.
    log.measure_boot_where(&device.tpm, "forky-good", |record| {
        !record.contains("nvpcr-") && !record.contains("nv_index")
    })
    .unwrap();
    let tools = NvTools { folder };
    for (index, name) in [(HARDWARE, "hardware"), (LOGIN, "login")] {
        tools.define(&device, index, ATTRIBUTES);
        let made = format!("nvpcr-init:{name}:{index:#x}:{}", tools.index_name(&device, index));
        log.measure(&device.tpm, 9, &made).unwrap();
    }
    log.measure(&device.tpm, 9, "nvpcr-separator").unwrap();
    tools.extend(&device, HARDWARE, &digest(PRODUCT));
    log.record_nvpcr(HARDWARE, "hardware", PRODUCT).unwrap();
    (device, tools)
}

fn digest(text: &str) -> [u8; 32] {
    HashAlgorithm::Sha256.digest(&[text.as_bytes()]).as_bytes().try_into().unwrap()
}

/// tpm2-tools, which do to a device's NV indexes what systemd does, and what root can do. Nobody may be connected.
struct NvTools {
    folder: PathBuf,
}

impl NvTools {
    /// Makes an index and extends it for the first time, by zeros.
    fn define(&self, device: &Device, index: u32, attributes: &str) {
        let tools = Tpm2Tools::on(&device.tpm);
        let (session, policy) = (self.file("session"), self.file("policy"));
        tools.run("tpm2_startauthsession", &["-S", &session]);
        tools.run("tpm2_policycommandcode", &["-S", &session, "-L", &policy, "TPM2_CC_NV_Extend"]);
        tools.run("tpm2_flushcontext", &[&session]);
        let index_text = format!("{index:#x}");
        let shape = ["-C", "o", "-g", "sha256", "-a", attributes, "-L", &policy, &index_text];
        tools.run("tpm2_nvdefine", &shape);
        self.extend(device, index, &[0; 32]);
    }

    fn undefine(&self, device: &Device, index: u32) {
        Tpm2Tools::on(&device.tpm).run("tpm2_nvundefine", &["-C", "o", &format!("{index:#x}")]);
    }

    fn extend(&self, device: &Device, index: u32, digest: &[u8; 32]) {
        let tools = Tpm2Tools::on(&device.tpm);
        let (session, data) = (self.file("session"), self.file("data"));
        fs::write(&data, digest).unwrap();
        tools.run("tpm2_startauthsession", &["--policy-session", "-S", &session]);
        tools.run("tpm2_policycommandcode", &["-S", &session, "TPM2_CC_NV_Extend"]);
        let (index, auth) = (format!("{index:#x}"), format!("session:{session}"));
        tools.run("tpm2_nvextend", &["-C", &index, "-P", &auth, "-i", &data, &index]);
        tools.run("tpm2_flushcontext", &[&session]);
    }

    /// What the TPM calls the index, in hexadecimal.
    fn index_name(&self, device: &Device, index: u32) -> String {
        let public = Tpm2Tools::on(&device.tpm).run("tpm2_nvreadpublic", &[&format!("{index:#x}")]);
        let public = String::from_utf8(public).unwrap();
        let name = public.lines().find_map(|line| line.trim().strip_prefix("name:"));
        name.unwrap_or_else(|| panic!("no name in {public}")).trim().to_owned()
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}
