use pawl_evidence::attest::{AttestError, AttestationKey, KeyError, KeyRole, check_device_bound};
use pawl_evidence::tpm::{Attest, NvPublic, Public};

use crate::support::swtpm::Swtpm;

const HANDLE: &str = "0x01805041";
const BOUND: &str = "fixedtpm|fixedparent|noda";
const AK_TEMPLATE: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign";
const SIGNING: &str = "fixedtpm|fixedparent|noda|sensitivedataorigin|sign";

#[test]
fn a_certification_names_the_certified_key() {
    let tpm = Swtpm::start();
    let ak = make_ak(&tpm);
    let key = make_key(&tpm, SIGNING);
    tpm.tool(
        "tpm2_certify",
        &["-c", "key.ctx", "-C", "ak.ctx", "-g", "sha256", "-o", "attest", "-s", "signature"],
    );
    let message = tpm.read("attest");
    // tpm2_certify does not let its caller choose the qualifying data.
    let extra = Attest::unmarshal(&message).unwrap().extra_data;
    let attest = ak.verify(&message, &tpm.read("signature"), &extra).unwrap();
    assert_eq!(attest.certify(&key.name()), Ok(()));
    assert!(matches!(attest.certify(&ak.name()), Err(AttestError::Name { .. })));
    assert!(matches!(attest.nv_counter(&key.name()), Err(AttestError::Kind { .. })));
}

#[test]
fn the_value_of_a_certified_counter_is_read() {
    let tpm = Swtpm::start();
    let ak = make_ak(&tpm);
    tpm.tool("tpm2_nvdefine", &[HANDLE, "-C", "o", "-s", "8", "-a", "authread|authwrite|no_da|nt=counter"]);
    tpm.tool("tpm2_nvincrement", &["-C", HANDLE, HANDLE]);
    let name = NvPublic::epoch_counter(0x0180_5041).name();
    let certify = |size: &str| {
        let arguments = ["-C", "ak.ctx", "-g", "sha256", "-q", "00112233", "--size", size];
        let files = ["-o", "signature", "--attestation", "attest", HANDLE];
        tpm.tool("tpm2_nvcertify", &[&arguments[..], &files].concat());
        ak.verify(&tpm.read("attest"), &tpm.read("signature"), &[0x00, 0x11, 0x22, 0x33]).unwrap()
    };
    let epoch = certify("8").nv_counter(&name).unwrap();
    assert_eq!(epoch.to_be_bytes().to_vec(), tpm.tool("tpm2_nvread", &["-C", HANDLE, HANDLE]));
    assert_eq!(certify("7").nv_counter(&name), Err(AttestError::Counter));
    assert!(matches!(certify("8").nv_counter(&ak.name()), Err(AttestError::Name { .. })));

    tpm.tool("tpm2_nvincrement", &["-C", HANDLE, HANDLE]);
    assert_eq!(certify("8").nv_counter(&name), Ok(epoch + 1));
}

#[test]
fn keys_with_other_attributes_or_another_policy_are_refused() {
    let tpm = Swtpm::start();
    let policy = [0x77; 32];
    let key = make_key(&tpm, SIGNING);
    for role in [KeyRole::Link, KeyRole::Device, KeyRole::Action] {
        assert_eq!(check_device_bound(&key, role, &policy), Ok(()));
        assert_eq!(check_device_bound(&key, role, &[0; 32]), Err(KeyError::Policy(role)));
    }
    assert!(matches!(check_device_bound(&key, KeyRole::Vault, &policy), Err(KeyError::Kind { .. })));
    for attributes in [
        "noda|sensitivedataorigin|sign",
        "fixedtpm|fixedparent|sensitivedataorigin|sign",
        "fixedtpm|fixedparent|noda|sensitivedataorigin|sign|userwithauth",
        "fixedtpm|fixedparent|noda|sensitivedataorigin|sign|adminwithpolicy",
        "fixedtpm|fixedparent|noda|sensitivedataorigin|sign|restricted",
    ] {
        let key = make_key(&tpm, attributes);
        let checked = check_device_bound(&key, KeyRole::Device, &policy);
        assert!(matches!(checked, Err(KeyError::Attributes { .. })), "{attributes}: {checked:?}");
    }
}

#[test]
fn a_vault_key_is_sealed_and_bound() {
    let tpm = Swtpm::start();
    let policy = [0x77; 32];
    let sealed = make_sealed(&tpm, BOUND);
    assert_eq!(check_device_bound(&sealed, KeyRole::Vault, &policy), Ok(()));
    assert!(matches!(check_device_bound(&sealed, KeyRole::Device, &policy), Err(KeyError::Kind { .. })));
    let by_password = make_sealed(&tpm, "fixedtpm|fixedparent|noda|userwithauth");
    let checked = check_device_bound(&by_password, KeyRole::Vault, &policy);
    assert!(matches!(checked, Err(KeyError::Attributes { .. })));
}

fn make_ak(tpm: &Swtpm) -> AttestationKey {
    make_primary(tpm, "e", AK_TEMPLATE, "ak.ctx", &[]);
    AttestationKey::from_public(Public::unmarshal(&tpm.public("ak.ctx")).unwrap()).unwrap()
}

fn make_key(tpm: &Swtpm, attributes: &str) -> Public {
    tpm.write("key.policy", &[0x77; 32]);
    make_primary(tpm, "o", attributes, "key.ctx", &["-L", "key.policy"]);
    Public::unmarshal(&tpm.public("key.ctx")).unwrap()
}

fn make_primary(tpm: &Swtpm, hierarchy: &str, attributes: &str, context: &str, more: &[&str]) {
    let arguments = ["-C", hierarchy, "-G", "ecc256:ecdsa-sha256:null", "-a", attributes, "-c", context];
    tpm.tool("tpm2_createprimary", &[&arguments[..], more].concat());
}

fn make_sealed(tpm: &Swtpm, attributes: &str) -> Public {
    tpm.write("key.policy", &[0x77; 32]);
    tpm.write("secret", &[1; 32]);
    tpm.tool("tpm2_createprimary", &["-C", "o", "-c", "parent.ctx"]);
    let arguments =
        ["-C", "parent.ctx", "-i", "secret", "-a", attributes, "-L", "key.policy", "-u", "sealed.pub"];
    tpm.tool("tpm2_create", &arguments);
    Public::unmarshal(&tpm.read("sealed.pub")[2..]).unwrap()
}
