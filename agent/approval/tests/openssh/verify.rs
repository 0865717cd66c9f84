//! What `ssh-keygen -Y sign` makes.

use std::fs;

use pawl_approval::{KeyError, NAMESPACE, PublicKey, Signature, SignatureError, Touch};
use ring::signature::{RSA_PKCS1_SHA512, RsaKeyPair};

use crate::keygen::{Claim, KINDS, Keygen, public_key, public_line, run, ssh_keygen};
use crate::sshsig::{Sshsig, dearmor, joined, strings, to_be_signed};

const MESSAGE: &[u8] = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn verify(armored: &str, namespace: &str, message: &[u8]) -> Result<PublicKey, SignatureError> {
    let verified = Signature::parse(armored)?.verify(namespace, message, Touch::Require)?;
    Ok(verified.key().clone())
}

#[test]
fn signatures_of_every_kind_verify() {
    let keygen = Keygen::new();
    for (kind, bits) in KINDS {
        let key = keygen.key(kind, bits);
        let signature = keygen.sign(&key, NAMESPACE, MESSAGE);
        assert_eq!(verify(&signature, NAMESPACE, MESSAGE), Ok(public_key(&key)), "{kind} {bits}");
    }
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    let keygen = Keygen::new();
    let key = keygen.key("ed25519", "256");
    let listed = run(&mut ssh_keygen(&["-l", "-f", key.to_str().unwrap()]), b"").stdout;
    let listed = String::from_utf8(listed).unwrap();
    assert_eq!(listed.split(' ').nth(1), Some(&*public_key(&key).fingerprint().to_string()));
}

#[test]
fn both_digests_count() {
    let keygen = Keygen::new();
    let key = keygen.key("rsa", "2048");
    for hash in ["hashalg=sha256", "hashalg=sha512"] {
        let signature = keygen.sign_with(&key, NAMESPACE, MESSAGE, &["-O", hash]);
        assert_eq!(verify(&signature, NAMESPACE, MESSAGE), Ok(public_key(&key)), "{hash}");
    }
}

#[test]
fn another_message_or_namespace_is_refused() {
    let keygen = Keygen::new();
    for (kind, bits) in KINDS {
        let key = keygen.key(kind, bits);
        let signature = keygen.sign(&key, NAMESPACE, MESSAGE);
        assert_eq!(verify(&signature, NAMESPACE, b"something else"), Err(SignatureError::Invalid));
        let other = SignatureError::Namespace { expected: "file".into(), found: NAMESPACE.into() };
        assert_eq!(verify(&signature, "file", MESSAGE), Err(other));

        // A namespace is not only named but signed.
        let mut renamed = Sshsig::from_armored(&keygen.sign(&key, "file", MESSAGE));
        renamed.namespace = NAMESPACE.into();
        assert_eq!(verify(&renamed.armored(), NAMESPACE, MESSAGE), Err(SignatureError::Invalid));
    }
}

#[test]
fn a_signature_with_any_bit_of_it_altered_is_refused_by_both() {
    let keygen = Keygen::new();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "521"), ("rsa", "2048")] {
        let key = keygen.key(kind, bits);
        let allowed_signers = format!("alice {}\n", public_line(&key));
        let whole = Sshsig::from_armored(&keygen.sign(&key, NAMESPACE, MESSAGE));
        // ssh-keygen is asked about a few of them: it takes a process each.
        for at in 0..whole.signature.len() {
            let mut altered = whole.clone();
            altered.signature[at] ^= 1;
            let altered = altered.armored();
            assert!(verify(&altered, NAMESPACE, MESSAGE).is_err(), "{kind}, byte {at}");
            let claim = claim(&allowed_signers);
            assert!(at % 16 != 0 || !keygen.verifies(&claim, &altered, MESSAGE), "{kind}, byte {at}");
        }
    }
}

#[test]
fn a_signature_under_another_key_is_refused() {
    let keygen = Keygen::new();
    let [mine, other] = [keygen.key("ed25519", "256"), keygen.key("ed25519", "256")];
    let mut swapped = Sshsig::from_armored(&keygen.sign(&mine, NAMESPACE, MESSAGE));
    swapped.key = public_key(&other).blob().to_vec();
    assert_eq!(verify(&swapped.armored(), NAMESPACE, MESSAGE), Err(SignatureError::Invalid));
    swapped.key = public_key(&keygen.key("ecdsa", "256")).blob().to_vec();
    let mixed = SignatureError::Algorithm { key: "ecdsa-sha2-nistp256", signature: "ssh-ed25519".into() };
    assert_eq!(verify(&swapped.armored(), NAMESPACE, MESSAGE), Err(mixed));
}

#[test]
fn armor_may_be_pasted_but_not_cut() {
    let keygen = Keygen::new();
    let key = keygen.key("ecdsa", "384");
    let armored = keygen.sign(&key, NAMESPACE, MESSAGE);
    let pasted = format!("\n  {}  \r\n", armored.trim().replace('\n', "\r\n   "));
    assert_eq!(verify(&pasted, NAMESPACE, MESSAGE), Ok(public_key(&key)));
    for len in 0..armored.trim_end().len() {
        let cut = armored.get(..len).unwrap();
        assert_eq!(verify(cut, NAMESPACE, MESSAGE), Err(SignatureError::NotArmored), "{len}");
    }
    let long = format!("{armored}{}", " ".repeat(Signature::MAX_LEN));
    assert_eq!(verify(&long, NAMESPACE, MESSAGE), Err(SignatureError::TooLong));
}

#[test]
fn what_is_not_supported_is_named() {
    let keygen = Keygen::new();
    let key = keygen.key("rsa", "2048");
    let whole = Sshsig::from_armored(&keygen.sign(&key, NAMESPACE, MESSAGE));
    let with = |change: &dyn Fn(&mut Sshsig)| {
        let mut changed = whole.clone();
        change(&mut changed);
        verify(&changed.armored(), NAMESPACE, MESSAGE).unwrap_err()
    };
    assert_eq!(with(&|it| it.version = 2), SignatureError::Version(2));
    assert_eq!(with(&|it| it.hash = b"sha1".to_vec()), SignatureError::Hash("sha1".into()));
    assert_eq!(with(&|it| it.namespace = b"\x1b[2J".to_vec()), SignatureError::Malformed);
    assert_eq!(with(&|it| it.signature.push(0)), SignatureError::Malformed);
    let value = strings(&whole.signature)[1].clone();
    assert_eq!(with(&|it| it.signature = joined(&[b"ssh-rsa", &value])), SignatureError::Sha1);
    let dsa = SignatureError::Algorithm { key: "ssh-rsa", signature: "ssh-dss".into() };
    assert_eq!(with(&|it| it.signature = joined(&[b"ssh-dss", &value])), dsa);
}

#[test]
fn a_certificate_in_the_place_of_the_key_is_refused() {
    let keygen = Keygen::new();
    let [ca, key] = [keygen.key("ed25519", "256"), keygen.key("ed25519", "256")];
    let arguments = ["-q", "-s", ca.to_str().unwrap(), "-I", "id", "-n", "alice"];
    run(ssh_keygen(&arguments).arg(key.with_extension("pub")), b"");
    let certificate = keygen.path(&format!("{}-cert.pub", key.file_name().unwrap().to_str().unwrap()));
    let line = fs::read_to_string(certificate).unwrap();
    assert_eq!(line.parse::<PublicKey>(), Err(KeyError::Certificate));
}

#[test]
fn rsa_keys_below_2048_bits_are_refused() {
    let keygen = Keygen::new();
    let key = keygen.key("rsa", "1024");
    let refused = Err(KeyError::RsaSize(1024));
    assert_eq!(public_line(&key).parse::<PublicKey>(), refused);
}

/// Some agents leave leading zeros of an RSA signature out. ssh-keygen accepts that, and so do we.
#[test]
fn an_rsa_signature_may_lack_its_leading_zero() {
    let keygen = Keygen::new();
    let key = keygen.key_with("rsa", "2048", &["-N", "", "-m", "PKCS8"]);
    let pem = fs::read_to_string(&key).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&dearmor(&pem)).unwrap();
    let random = ring::rand::SystemRandom::new();
    let (message, value) = (0..10_000_u32)
        .find_map(|count| {
            let message = count.to_string().into_bytes();
            let mut value = vec![0; pair.public().modulus_len()];
            let signed = to_be_signed(NAMESPACE, &message);
            pair.sign(&RSA_PKCS1_SHA512, &random, &signed, &mut value).unwrap();
            (value[0] == 0).then_some((message, value))
        })
        .expect("one in 256 begins with a zero");

    let short = Sshsig {
        version: 1,
        key: public_key(&key).blob().to_vec(),
        namespace: NAMESPACE.into(),
        reserved: Vec::new(),
        hash: b"sha512".to_vec(),
        signature: joined(&[b"rsa-sha2-512", &value[1..]]),
    };
    assert_eq!(verify(&short.armored(), NAMESPACE, &message), Ok(public_key(&key)));
    let allowed_signers = format!("alice {}\n", public_line(&key));
    assert!(keygen.verifies(&claim(&allowed_signers), &short.armored(), &message));
}

fn claim(allowed_signers: &str) -> Claim<'_> {
    Claim { allowed_signers, principal: "alice", namespace: NAMESPACE, time: None }
}
