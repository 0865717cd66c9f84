//! NvPCRs, tested with real boots of systemd 262 under policies that name them.

use std::sync::Arc;

use pawl_evidence::appraise::policy::{Learnt, NVPCRS_MAX, Policy};
use pawl_evidence::appraise::{
    AppraisedEvidence, AttestationResult, BootLogRule, ImaProgress, NvPcrs, Reason, ReferenceValues,
    TrustTier, appraise,
};
use pawl_evidence::attest::{AttestError, VerifiedNvPcr};
use pawl_evidence::eventlog::EventLog;
use pawl_evidence::measure_log::MeasureLog;
use pawl_evidence::tpm::{HashAlgorithm, NvPublic, PcrSelection, PcrValues, TaggedDigest};

use crate::support::boot::{Boot, from_hex};
use crate::support::quoted;

const HARDWARE: u32 = 0x01d1_0200;
const CRYPTSETUP: u32 = 0x01d1_0201;
const LOGIN: u32 = 0x01d1_0203;
/// `tpm2_nvreadpublic` of forky-good.
const POLICY: &str = "94941f5bb3f67c56380a0c3331f08dc18aeed305c3caddcdee08088bf31b5b9b";
const ATTRIBUTES: u32 = 0x2806_0048;
const ORDERLY: u32 = 1 << 26;
const AUTHWRITE: u32 = 1 << 2;

#[test]
fn an_nvpcr_is_affirmed_if_systemds_log_gives_its_value() {
    for name in ["forky-good", "forky-good-2nd-boot", "forky-other-machine", "forky-soft-reboot"] {
        let device = Device::of(name);
        let judged = device.judge(&naming("[nvpcr.0x1d10200]\n[nvpcr.0x1d10201]"));
        assert_eq!(refusals(&judged), [""; 0], "{name}: {judged:#?}");
        let texts = texts(&judged, "nvpcr.unexplained", TrustTier::Affirming);
        assert!(texts.len() == 2 && texts[0].starts_with("NvPCR 0x1d10200 (hardware)"), "{name}: {texts:?}");
    }
}

#[test]
fn a_record_of_an_nvpcr_needs_a_rule_unless_the_policy_allows_all() {
    let device = Device::of("forky-more-events");
    let judge = |section: &str| refusals(&device.judge_nvpcrs(&naming(section)));
    assert_eq!(judge("[nvpcr.0x1d10203]"), ["nvpcr.unexplained", "nvpcr.unexplained"]);
    assert_eq!(judge("[nvpcr.0x1d10203]\nunexplained = 'allow'"), [""; 0]);
    let login = "bfa293b8705b9aaad4e165c97c22cb553a59dc1aac0c67575782f75c814d2286";
    let listed = format!("[nvpcr.0x1d10203]\ndigests = [{{ digest = '{login}' }}]");
    assert_eq!(judge(&listed), ["nvpcr.unexplained"]);
    let value = "a80956d2a6bad01961b5bc5cc7b5e8d703ce29f9670d771274e1b541660e06c8";
    assert_eq!(judge(&format!("[nvpcr.0x1d10203]\nvalues = ['{value}']")), [""; 0]);
    // The product id differs on each machine.
    let mut strict = naming("[nvpcr.0x1d10200]");
    strict.boot.accept_machine_identity = false;
    assert_eq!(refusals(&device.judge_nvpcrs(&strict)), ["nvpcr.unexplained"]);
}

#[test]
fn an_nvpcr_that_lacks_a_record_or_was_set_back_is_contraindicated() {
    let mut device = Device::of("forky-more-events");
    let policy = naming("[nvpcr.0x1d10203]\nunexplained = 'allow'");
    let start = TaggedDigest::filled(HashAlgorithm::Sha256, 0);
    let start = start.extend(start.as_bytes());
    device.certify(LOGIN, ATTRIBUTES | ORDERLY, &start);
    let judged = device.judge_nvpcrs(&policy);
    assert_eq!(refusals(&judged), ["nvpcr.replay"]);
    assert!(judged[0].text.contains("set back") && judged[0].text.contains("has 2"), "{judged:?}");

    let mut device = Device::of("forky-more-events");
    let records = device.measured.split_inclusive(|byte| *byte == b'\n');
    device.measured =
        records.filter(|record| !contains(record, b"into an NvPCR")).flatten().copied().collect();
    let judged = device.judge_nvpcrs(&policy);
    assert_eq!(refusals(&judged), ["nvpcr.replay"]);
    assert!(judged[0].text.contains("records are missing"), "{judged:?}");
}

#[test]
fn an_nvpcr_with_records_after_the_stored_part_of_the_log_is_contraindicated() {
    let mut device = Device::of("forky-more-events");
    let records = device.measured.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<&[u8]> = records.take_while(|record| !contains(record, b"into an NvPCR")).collect();
    let log = EventLog::parse(&device.log).unwrap().replay().unwrap();
    let replayed = MeasureLog::parse(&kept.concat()).unwrap().replay(&log);
    device.measured = kept.concat();
    device.is_cut = true;
    // A PCR with records after the stored part is refused for the same reason.
    let refused = device.judge(&naming(""));
    let refused = refused.reasons.iter().find(|reason| reason.tier == TrustTier::Contraindicated).unwrap();
    assert!(refused.text.contains("longer than what the control plane keeps"), "{refused:?}");
    for pcr in (0..16).filter(|pcr| *pcr != 10) {
        let reset = TaggedDigest::at_reset(HashAlgorithm::Sha256, pcr);
        device.pcrs.insert(pcr, replayed.get(HashAlgorithm::Sha256, pcr).copied().unwrap_or(reset)).unwrap();
    }
    let judged = device.judge_nvpcrs(&naming("[nvpcr.0x1d10203]\nunexplained = 'allow'"));
    assert_eq!(refusals(&judged), ["nvpcr.replay"]);
    assert!(judged[0].text.contains("longer than what the control plane keeps"), "{judged:?}");
    // NvPCRs that the stored part explains are not affected.
    assert_eq!(refusals(&device.judge_nvpcrs(&naming("[nvpcr.0x1d10200]"))), [""; 0]);
}

#[test]
fn an_index_that_is_absent_or_was_defined_again_is_contraindicated() {
    let policy = naming("[nvpcr.0x1d10200]\nunexplained = 'allow'");
    let mut device = Device::of("forky-good");
    device.nvpcrs.clear();
    let judged = device.judge_nvpcrs(&policy);
    assert_eq!(refusals(&judged), ["nvpcr.certified"]);
    assert!(judged[0].text.contains("does not exist"), "{judged:?}");

    let good = Device::of("forky-good");
    let value = *good.nvpcrs[0].value();
    for attributes in [ATTRIBUTES | AUTHWRITE, ATTRIBUTES & !(4 << 4), ATTRIBUTES & !(1 << 27)] {
        let mut device = Device::of("forky-good");
        device.certify(HARDWARE, attributes, &value);
        let judged = device.judge_nvpcrs(&policy);
        assert_eq!(refusals(&judged), ["nvpcr.index"], "{attributes:#x}");
        assert!(judged[0].text.contains("is not an NvPCR of systemd"), "{judged:?}");
    }
    // The attributes are allowed for NvPCRs, but the index has another name than the one that systemd measured.
    let mut device = Device::of("forky-good");
    device.certify(HARDWARE, ATTRIBUTES | ORDERLY, &value);
    let judged = device.judge_nvpcrs(&policy);
    assert_eq!(refusals(&judged), ["nvpcr.index"]);
    assert!(judged[0].text.contains("deleted and defined again"), "{judged:?}");
}

#[test]
fn the_name_of_an_index_can_be_pinned() {
    let name = public(HARDWARE, ATTRIBUTES).name();
    let device = Device::of("forky-good");
    let with = |names: &str| {
        refusals(&device.judge_nvpcrs(&naming(&format!("[nvpcr.0x1d10200]\nindex-names = ['{names}']"))))
    };
    assert_eq!(with(&name.to_string()), [""; 0]);
    assert_eq!(with(&format!("000b{}", "00".repeat(32))), ["nvpcr.index-names"]);
}

#[test]
fn an_nvpcr_that_was_created_after_the_separator_is_contraindicated() {
    let policy = naming("[nvpcr.0x1d10200]\nunexplained = 'allow'");
    let boot = Boot::named("forky-good");
    let (log, measured) = (boot.event_log(), boot.measure_log());
    let records: Vec<&[u8]> = measured.split_inclusive(|byte| *byte == b'\n').collect();
    let hardware = *records.iter().find(|record| contains(record, b"nvpcr-init:hardware")).unwrap();
    let separator = *records.iter().find(|record| contains(record, b"\"nvpcr-separator\"")).unwrap();
    let others = || records.iter().copied().filter(|record| *record != hardware && *record != separator);
    let judge = |order: Vec<&[u8]>| {
        let measured = order.concat();
        let firmware = EventLog::parse(&log).unwrap().replay().unwrap();
        let replayed = MeasureLog::parse(&measured).unwrap().replay(&firmware);
        let mut device = Device::of("forky-good");
        device.pcrs.insert(9, *replayed.get(HashAlgorithm::Sha256, 9).unwrap()).unwrap();
        device.measured = measured;
        let judged = device.judge(&policy);
        (refusals(&judged), judged.reasons)
    };
    assert_eq!(judge(others().chain([hardware, separator]).collect()).0, [""; 0]);
    let after = judge(others().chain([separator, hardware]).collect());
    assert_eq!(after.0, ["nvpcr.index"], "{:#?}", after.1);
    let twice = judge(others().chain([separator, hardware, separator]).collect());
    assert_eq!(twice.0, ["nvpcr.index"], "{:#?}", twice.1);
    let never = judge(others().chain([hardware]).collect());
    assert_eq!(never.0, ["nvpcr.index"], "{:#?}", never.1);
}

#[test]
fn an_nvpcr_of_systemd_259_to_261_is_contraindicated() {
    let boot = Boot::named("forky-good");
    let log = String::from_utf8(boot.measure_log()).unwrap();
    let digest = |text: &str| HashAlgorithm::Sha256.digest(&[text.as_bytes()]).to_string();
    let new = format!("nvpcr-init:hardware:0x1d10200:{}", public(HARDWARE, ATTRIBUTES).name());
    let old = format!("nvpcr-init:hardware:0x1d10200:sha256:{}", "de".repeat(32));
    assert!(log.contains(&new), "the fixture has the name of this public area");
    let measured = log.replace(&new, &old).replace(&digest(&new), &digest(&old)).into_bytes();
    let firmware = EventLog::parse(&boot.event_log()).unwrap().replay().unwrap();
    let replayed = MeasureLog::parse(&measured).unwrap().replay(&firmware);
    let mut device = Device::of("forky-good");
    device.pcrs.insert(9, *replayed.get(HashAlgorithm::Sha256, 9).unwrap()).unwrap();
    device.measured = measured;
    let mut policy = naming("[nvpcr.0x1d10200]\n[pcr.9]\nunexplained = 'allow'");
    policy.boot.initrds.clear();
    let judged = device.judge_nvpcrs(&policy);
    assert_eq!(refusals(&judged), ["nvpcr.index"]);
    assert!(judged[0].text.contains("259 to 261"), "{judged:?}");
}

#[test]
fn an_nvpcr_not_yet_requested_is_a_warning_and_an_unnamed_one_is_ignored() {
    let device = Device::of("forky-good");
    let policy = naming("[nvpcr.0x1d10200]");
    let judged = device.appraise(&policy, NvPcrs::NotAsked);
    assert_eq!(texts(&judged, "nvpcr.certified", TrustTier::Warning).len(), 1, "{judged:#?}");
    let unnamed = device.judge(&naming(""));
    assert!(unnamed.reasons.iter().all(|reason| !reason.rule.starts_with("nvpcr")), "{unnamed:#?}");
}

#[test]
fn a_certification_of_another_index_or_of_no_digest_is_refused() {
    let (public, other) = (public(HARDWARE, ATTRIBUTES), public(CRYPTSETUP, ATTRIBUTES));
    assert!(matches!(quoted::nv_certified(&public, &other, &[0; 32]), Err(AttestError::Name { .. })));
    assert_eq!(quoted::nv_certified(&public, &public, &[0; 31]), Err(AttestError::NvContents));
    assert_eq!(quoted::nv_certified(&public, &public, &[0; 64]), Err(AttestError::NvContents));
    assert!(quoted::nv_certified(&public, &public, &[0; 32]).is_ok());
}

#[test]
fn a_policy_may_name_all_nvpcrs_of_systemd() {
    let names = MeasureLog::parse(&Boot::named("forky-good").measure_log()).unwrap().nvpcr_names();
    assert!(names.len() <= NVPCRS_MAX, "{names:?}");
}

/// The evidence of a device.
struct Device {
    log: Vec<u8>,
    measured: Vec<u8>,
    pcrs: PcrValues,
    nvpcrs: Vec<VerifiedNvPcr>,
    /// Whether the control plane stored only the beginning of the log.
    is_cut: bool,
}

impl Device {
    /// Reads the evidence of a real boot, with the values of its NV indexes.
    fn of(name: &str) -> Self {
        let boot = Boot::named(name);
        let mut device = Self {
            log: boot.event_log(),
            measured: boot.measure_log(),
            pcrs: boot.quoted_pcrs(),
            nvpcrs: Vec::new(),
            is_cut: false,
        };
        let listed = String::from_utf8(boot.read("nvpcrs.txt")).unwrap();
        for part in listed.split("== 0x").skip(1) {
            let (index, rest) = part.split_once('\n').unwrap();
            let index = u32::from_str_radix(index, 16).unwrap();
            let value = from_hex(rest.trim().lines().next_back().unwrap());
            let attributes = if index == HARDWARE { ATTRIBUTES } else { ATTRIBUTES | ORDERLY };
            device.certify(index, attributes, &TaggedDigest::new(HashAlgorithm::Sha256, &value).unwrap());
        }
        assert_eq!(device.nvpcrs.len(), 4, "{name}");
        if name == "forky-more-events" {
            // This boot extended PCR 8 without a log entry; another test covers that.
            device.pcrs.insert(8, TaggedDigest::filled(HashAlgorithm::Sha256, 0)).unwrap();
        }
        device
    }

    /// Replaces the certification of the index at this handle.
    fn certify(&mut self, index: u32, attributes: u32, value: &TaggedDigest) {
        let public = public(index, attributes);
        self.nvpcrs.retain(|nvpcr| nvpcr.public().index() != index);
        self.nvpcrs.push(quoted::nv_certified(&public, &public, value.as_bytes()).unwrap());
        self.nvpcrs.sort_by_key(|nvpcr| nvpcr.public().index());
    }

    fn judge(&self, policy: &Policy) -> AttestationResult {
        self.appraise(policy, NvPcrs::Certified(&self.nvpcrs))
    }

    /// Returns only the reasons about NvPCRs.
    fn judge_nvpcrs(&self, policy: &Policy) -> Vec<Reason> {
        let mut reasons = self.judge(policy).reasons;
        reasons.retain(|reason| reason.rule.starts_with("nvpcr."));
        reasons
    }

    fn appraise(&self, policy: &Policy, nvpcrs: NvPcrs<'_>) -> AttestationResult {
        let quote = quoted::quote(&self.pcrs);
        let evidence = AppraisedEvidence {
            quote: &quote,
            epoch: 1,
            age_s: 10,
            boot_log: Some(&self.log),
            measure_log: Some(&self.measured),
            measure_log_cut: self.is_cut,
            nvpcrs,
            ima: ImaProgress::Absent,
        };
        let reference = ReferenceValues {
            lease_selection: PcrSelection::lease_default(),
            policy: Some(Arc::new(policy.clone())),
            boot_states: Vec::new(),
            boot_log: BootLogRule::Require,
            high_water: None,
        };
        appraise(&evidence, &reference)
    }
}

/// Returns the public area of an NvPCR with the policy of forky-good and these attributes.
fn public(index: u32, attributes: u32) -> NvPublic {
    let header = [&index.to_be_bytes()[..], &[0, 0x0b], &attributes.to_be_bytes(), &[0, 32]].concat();
    NvPublic::unmarshal(&[header, from_hex(POLICY), vec![0, 32]].concat()).unwrap()
}

/// Returns the policy learnt from forky-good, with these sections added.
fn naming(sections: &str) -> Policy {
    let boot = Boot::named("forky-good");
    let (log, measured) = (boot.event_log(), boot.measure_log());
    let lease = PcrSelection::lease_default();
    let mut policy = Learnt::from_boot(&log, Some(&measured), boot.quote().pcrs(), &lease).unwrap().policy;
    policy.boot.accept_machine_identity = true;
    let named: Policy = toml::from_str(sections).unwrap();
    policy.pcr.extend(named.pcr);
    policy.nvpcr = named.nvpcr;
    policy
}

fn refusals(reasons: impl Reasons) -> Vec<&'static str> {
    let refused = reasons.reasons().iter().filter(|reason| reason.tier == TrustTier::Contraindicated);
    refused.map(|reason| reason.rule).collect()
}

trait Reasons {
    fn reasons(&self) -> &[Reason];
}

impl Reasons for &AttestationResult {
    fn reasons(&self) -> &[Reason] {
        &self.reasons
    }
}

impl Reasons for &Vec<Reason> {
    fn reasons(&self) -> &[Reason] {
        self
    }
}

fn texts<'a>(appraisal: &'a AttestationResult, rule: &str, tier: TrustTier) -> Vec<&'a str> {
    let those = appraisal.reasons.iter().filter(|reason| reason.rule == rule && reason.tier == tier);
    those.map(|reason| reason.text.as_str()).collect()
}

fn contains(record: &[u8], text: &[u8]) -> bool {
    record.windows(text.len()).any(|window| window == text)
}
