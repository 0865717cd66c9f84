//! An attestation counts only from a key of pawld's template that is a primary of the endorsement hierarchy.

use pawl_evidence::attest::{AkError, AttestError, AttestationKey};
use pawl_evidence::tpm::{Attest, NvPublic, Public};

use crate::support::swtpm::Swtpm;

const COUNTER: &str = "0x01805041";
const TEMPLATE: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign";

#[test]
fn attestations_by_a_key_outside_the_endorsement_hierarchy_are_refused() {
    let tpm = Swtpm::start();
    make_counter(&tpm);
    make_primary(&tpm, "e", TEMPLATE, "ak.ctx", &[]);
    for (what, attested) in attest_all(&tpm, "ak.ctx") {
        attested.unwrap_or_else(|error| panic!("{what} in the endorsement hierarchy: {error}"));
    }
    let true_resets = resets(&tpm);

    // The public area is the same in every hierarchy; only the qualified name differs.
    for hierarchy in ["o", "n"] {
        make_primary(&tpm, hierarchy, TEMPLATE, "ak.ctx", &[]);
        for (what, attested) in attest_all(&tpm, "ak.ctx") {
            assert_eq!(attested, Err(AttestError::Hierarchy), "{what} in the hierarchy {hierarchy}");
        }
        assert_ne!(resets(&tpm), true_resets, "the TPM reports the true counts in the hierarchy {hierarchy}");
    }
}

#[test]
fn attestations_by_a_key_below_another_key_are_refused() {
    let tpm = Swtpm::start();
    make_counter(&tpm);
    tpm.tool("tpm2_createprimary", &["-C", "e", "-c", "parent.ctx"]);
    let arguments = ["-C", "parent.ctx", "-G", "ecc256:ecdsa-sha256:null", "-a", TEMPLATE, "-c", "ak.ctx"];
    tpm.tool("tpm2_create", &arguments);
    for (what, attested) in attest_all(&tpm, "ak.ctx") {
        assert_eq!(attested, Err(AttestError::Hierarchy), "{what}");
    }
}

#[test]
fn a_key_of_another_template_is_refused_as_attestation_key() {
    let tpm = Swtpm::start();
    for attributes in [
        "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign",
        "fixedtpm|fixedparent|sensitivedataorigin|noda|restricted|sign",
        "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|adminwithpolicy|noda|restricted|sign",
    ] {
        make_primary(&tpm, "e", attributes, "ak.ctx", &[]);
        let refused = AttestationKey::from_public(public(&tpm)).unwrap_err();
        assert_eq!(refused, AkError::Template("set of attributes"), "{attributes}");
    }
    tpm.write("ak.policy", &[0x77; 32]);
    make_primary(&tpm, "e", TEMPLATE, "ak.ctx", &["-L", "ak.policy"]);
    assert_eq!(AttestationKey::from_public(public(&tpm)).unwrap_err(), AkError::Template("policy"));
}

/// Lets the key sign each kind of attestation, and verifies each as a control plane does.
fn attest_all(tpm: &Swtpm, key: &str) -> [(&'static str, Result<(), AttestError>); 3] {
    let ak = AttestationKey::from_public(public(tpm)).unwrap();
    let name = NvPublic::epoch_counter(0x0180_5041).name();
    let check = |attest: &str, signature: &str| {
        let message = tpm.read(attest);
        let extra = Attest::unmarshal(&message).unwrap().extra_data;
        ak.verify(&message, &tpm.read(signature), &extra)
    };
    tpm.tool("tpm2_quote", &["-c", key, "-l", "sha256:0,7", "-q", "0011", "-m", "quote", "-s", "quote.sig"]);
    tpm.tool("tpm2_certify", &["-c", key, "-C", key, "-g", "sha256", "-o", "certify", "-s", "certify.sig"]);
    let arguments = ["-C", key, "-g", "sha256", "-q", "0011", "--size", "8"];
    let files = ["-o", "nv.sig", "--attestation", "nv", COUNTER];
    tpm.tool("tpm2_nvcertify", &[&arguments[..], &files].concat());
    [
        ("TPM2_Quote", check("quote", "quote.sig").map(drop)),
        ("TPM2_Certify", check("certify", "certify.sig").and_then(|attest| attest.certify(&ak.name()))),
        ("TPM2_NV_Certify", check("nv", "nv.sig").and_then(|attest| attest.nv_counter(&name)).map(drop)),
    ]
}

/// Returns the reset count in the last quote.
fn resets(tpm: &Swtpm) -> u32 {
    Attest::unmarshal(&tpm.read("quote")).unwrap().clock.reset_count
}

fn public(tpm: &Swtpm) -> Public {
    Public::unmarshal(&tpm.public("ak.ctx")).unwrap()
}

fn make_primary(tpm: &Swtpm, hierarchy: &str, attributes: &str, context: &str, more: &[&str]) {
    let arguments = ["-C", hierarchy, "-G", "ecc256:ecdsa-sha256:null", "-a", attributes, "-c", context];
    tpm.tool("tpm2_createprimary", &[&arguments[..], more].concat());
}

fn make_counter(tpm: &Swtpm) {
    let attributes = "authread|authwrite|no_da|nt=counter";
    tpm.tool("tpm2_nvdefine", &[COUNTER, "-C", "o", "-s", "8", "-a", attributes]);
    tpm.tool("tpm2_nvincrement", &["-C", COUNTER, COUNTER]);
}
