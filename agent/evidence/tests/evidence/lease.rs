//! A TPM computes the same policy digests, and accepts the lease key and its signatures.

use p256::ecdsa::SigningKey;
use pawl_evidence::lease::{LeaseKey, LeaseTerms, key_policy, link_policy, to_be_signed};
use pawl_evidence::rand_core::OsRng;
use pawl_evidence::tpm::{NvPublic, PcrSelection, Signature};

use crate::support::boot::read_pcr_listing;
use crate::support::swtpm::Swtpm;

const INDEX: u32 = 0x0180_5041;
const HANDLE: &str = "0x01805041";
const POLICY_REF: [u8; 32] = [0x5a; 32];

#[test]
fn policy_digests_equal_those_of_the_tpm() {
    let tpm = Swtpm::start();
    let counter = define_counter(&tpm);
    let terms = terms(&tpm, &counter);
    let key = LeaseKey::new(SigningKey::random(&mut OsRng));

    tpm.write("epoch", &terms.epoch.to_be_bytes());
    let policy_nv = ["-S", "trial.ctx", "-L", "policy", "-i", "epoch", HANDLE, "eq"];
    trial(&tpm, &[("tpm2_policynv", &policy_nv)]);
    assert_eq!(tpm.read("policy"), link_policy(&counter.name(), terms.epoch));

    let (resets, clock) =
        (format!("resets={}", terms.reset_count_max), format!("clock={}", terms.clock_before));
    trial(
        &tpm,
        &[
            ("tpm2_policypcr", &["-S", "trial.ctx", "-l", "sha256:0,2,4,7,8,9,12,14"]),
            ("tpm2_policynv", &policy_nv),
            ("tpm2_policycountertimer", &["-S", "trial.ctx", "--ule", &resets]),
            ("tpm2_policycountertimer", &["-S", "trial.ctx", "-L", "policy", "--ult", &clock]),
        ],
    );
    assert_eq!(tpm.read("policy"), terms.approved_policy());

    tpm.write("approved", &terms.approved_policy());
    tpm.write("reference", &POLICY_REF);
    tpm.write("lease.name", key.name().as_bytes());
    let authorize =
        ["-S", "trial.ctx", "-L", "policy", "-i", "approved", "-q", "reference", "-n", "lease.name"];
    trial(&tpm, &[("tpm2_policyauthorize", &authorize)]);
    assert_eq!(tpm.read("policy"), key_policy(&key.name(), &POLICY_REF));
}

#[test]
fn the_tpm_accepts_the_lease_key_and_its_signature() {
    let tpm = Swtpm::start();
    let counter = define_counter(&tpm);
    let terms = terms(&tpm, &counter);
    let key = LeaseKey::new(SigningKey::random(&mut OsRng));

    let public = key.public().as_bytes();
    let size = u16::try_from(public.len()).unwrap().to_be_bytes();
    tpm.write("lease.pub", &[&size[..], public].concat());
    tpm.tool("tpm2_loadexternal", &["-C", "o", "-u", "lease.pub", "-c", "lease.ctx", "-n", "lease.name"]);
    assert_eq!(tpm.read("lease.name"), key.name().as_bytes());

    let signature = Signature::from_r_s(&key.sign(&terms, &POLICY_REF).unwrap());
    tpm.write("signature", &signature.marshal());
    let verify = ["-c", "lease.ctx", "-d", "digest", "-s", "signature"];
    tpm.write("digest", &to_be_signed(&terms.approved_policy(), &POLICY_REF));
    tpm.tool("tpm2_verifysignature", &verify);

    let longer = LeaseTerms { clock_before: terms.clock_before + 1, ..terms };
    tpm.write("digest", &to_be_signed(&longer.approved_policy(), &POLICY_REF));
    assert!(!tpm.try_tool("tpm2_verifysignature", &verify));
}

fn define_counter(tpm: &Swtpm) -> NvPublic {
    tpm.tool("tpm2_nvdefine", &[HANDLE, "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da|nt=counter"]);
    tpm.tool("tpm2_nvincrement", &["-C", HANDLE, HANDLE]);
    let counter = NvPublic::epoch_counter(INDEX);
    let listed = String::from_utf8(tpm.tool("tpm2_nvreadpublic", &[HANDLE])).unwrap();
    assert!(listed.contains(&format!("name: {}", counter.name())), "{listed}");
    counter
}

fn terms(tpm: &Swtpm, counter: &NvPublic) -> LeaseTerms {
    tpm.tool("tpm2_pcrextend", &[&format!("4:sha256={}", "07".repeat(32))]);
    let listing = String::from_utf8(tpm.tool("tpm2_pcrread", &["sha256"])).unwrap();
    let selection = PcrSelection::lease_default();
    let pcrs = read_pcr_listing(&listing);
    let pcr_digest = pcrs.policy_digest(&selection).unwrap();
    let counter_name = counter.name();
    let epoch = u64::from_be_bytes(tpm.tool("tpm2_nvread", &["-C", HANDLE, HANDLE]).try_into().unwrap());
    LeaseTerms { selection, pcr_digest, counter_name, epoch, reset_count_max: 7, clock_before: 86_400_000 }
}

/// Runs policy commands in a trial session.
fn trial(tpm: &Swtpm, commands: &[(&str, &[&str])]) {
    tpm.tool("tpm2_startauthsession", &["-S", "trial.ctx"]);
    for (tool, arguments) in commands {
        tpm.tool(tool, arguments);
    }
    tpm.tool("tpm2_flushcontext", &["trial.ctx"]);
}
