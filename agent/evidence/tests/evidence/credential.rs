use pawl_evidence::credential::{CredentialError, make_credential};
use pawl_evidence::endorsement::EkTemplate;
use pawl_evidence::rand_core::OsRng;
use pawl_evidence::tpm::{Name, Public};

use crate::support::swtpm::Swtpm;

const SECRET: &[u8] = b"thirty-two bytes, and no more!!!";

#[test]
fn the_tpm_activates_a_credential_for_its_rsa_key() {
    let tpm = Swtpm::manufacture();
    assert_activates(&tpm, "0x81010001", EkTemplate::Rsa2048);
}

#[test]
fn the_tpm_activates_a_credential_for_its_p384_key() {
    let tpm = Swtpm::manufacture();
    assert_activates(&tpm, "0x81010016", EkTemplate::EccP384);
}

#[test]
fn the_tpm_activates_a_credential_for_its_p256_key() {
    let tpm = Swtpm::start();
    tpm.tool("tpm2_createek", &["-G", "ecc", "-c", "ek.ctx"]);
    assert_activates(&tpm, "ek.ctx", EkTemplate::EccP256);
}

#[test]
fn a_secret_that_is_empty_or_too_long_is_refused() {
    let tpm = Swtpm::start();
    tpm.tool("tpm2_createek", &["-G", "ecc", "-c", "ek.ctx"]);
    let ek = Public::unmarshal(&tpm.public("ek.ctx")).unwrap();
    for secret in [&[][..], &[0; 33]] {
        let made = make_credential(&ek, &ek.name(), secret, &mut OsRng);
        assert_eq!(made, Err(CredentialError::SecretLength));
    }
}

#[test]
fn an_rsa_key_with_an_impossible_modulus_is_refused() {
    let policy = EkTemplate::Rsa2048.auth_policy();
    let header = [0x00, 0x01, 0x00, 0x0b, 0x00, 0x03, 0x00, 0xb2, 0, 32];
    let scheme = [0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10, 0x08, 0x00, 0, 0, 0, 0, 0x01, 0x00];
    let with_modulus = |modulus: &[u8; 256]| {
        let ek = Public::unmarshal(&[&header[..], policy, &scheme, modulus].concat()).unwrap();
        make_credential(&ek, &ek.name(), SECRET, &mut OsRng)
    };
    assert!(with_modulus(&[0xff; 256]).is_ok());
    let mut even = [0xff; 256];
    even[255] = 0xfe;
    let mut short = [0xff; 256];
    short[0] = 0x7f;
    for modulus in [[0; 256], even, short] {
        assert_eq!(with_modulus(&modulus), Err(CredentialError::InvalidKey));
    }
}

fn assert_activates(tpm: &Swtpm, ek: &str, template: EkTemplate) {
    let ek_public = Public::unmarshal(&tpm.public(ek)).unwrap();
    assert_eq!(EkTemplate::of(&ek_public), Ok(template));
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
    tpm.tool(
        "tpm2_createprimary",
        &["-C", "e", "-G", "ecc256:ecdsa-sha256:null", "-a", attributes, "-c", "ak.ctx"],
    );
    let ak = Public::unmarshal(&tpm.public("ak.ctx")).unwrap().name();

    assert_eq!(activate(tpm, ek, &ek_public, &ak), Some(SECRET.to_vec()));
    let mut other = ak.as_bytes().to_vec();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(activate(tpm, ek, &ek_public, &Name::from_bytes(&other).unwrap()), None);
}

/// Returns the secret; `None` if the TPM refuses.
fn activate(tpm: &Swtpm, ek: &str, ek_public: &Public, ak: &Name) -> Option<Vec<u8>> {
    let credential = make_credential(ek_public, ak, SECRET, &mut OsRng).unwrap();
    let mut blob = vec![0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];
    for part in [&credential.id_object, &credential.secret].map(|part| part.as_bytes()) {
        blob.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend(part);
    }
    tpm.write("credential", &blob);
    tpm.tool("tpm2_startauthsession", &["--policy-session", "-S", "session.ctx"]);
    tpm.tool("tpm2_policysecret", &["-S", "session.ctx", "-c", "e"]);
    let mut arguments = vec!["-c", "ak.ctx", "-C", ek, "-i", "credential", "-o", "secret"];
    // High-range keys permit use by their auth value, which is empty.
    if ek_public.auth_policy().len() == 32 {
        arguments.extend(["-P", "session:session.ctx"]);
    }
    let activated = tpm.try_tool("tpm2_activatecredential", &arguments);
    tpm.tool("tpm2_flushcontext", &["session.ctx"]);
    activated.then(|| tpm.read("secret"))
}
