//! FIDO2 security keys, by an authenticator in software that signs what PROTOCOL.u2f says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use pawl_approval::{AllowedSigners, NAMESPACE, Signature, SignatureError, Touch, VerifiedKey};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256};

use crate::keygen::{Claim, Keygen};
use crate::sshsig::{Sshsig, joined, to_be_signed};

const MESSAGE: &[u8] = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;

enum Authenticator {
    Ed25519(Ed25519KeyPair),
    P256(p256::ecdsa::SigningKey),
}

impl Authenticator {
    fn both() -> [Self; 2] {
        let seed = [7; 32];
        [
            Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()),
            Self::P256(p256::ecdsa::SigningKey::from_slice(&seed).unwrap()),
        ]
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Self::P256(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn public(&self, application: &str) -> Vec<u8> {
        let name = self.name().as_bytes();
        match self {
            Self::Ed25519(pair) => joined(&[name, pair.public_key().as_ref(), application.as_bytes()]),
            Self::P256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                joined(&[name, b"nistp256", point.as_bytes(), application.as_bytes()])
            }
        }
    }

    /// The signature that a client makes of what the authenticator returned.
    fn sign(&self, made: &Made) -> Sshsig {
        let application = Sha256::digest(made.application);
        let message = Sha256::digest(to_be_signed(NAMESPACE, MESSAGE));
        let counter = made.counter.to_be_bytes();
        let signed = [&application[..], &[made.flags], &counter, &message].concat();
        let value = match self {
            Self::Ed25519(pair) => pair.sign(&signed).as_ref().to_vec(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&signed);
                let (r, s) = signature.split_bytes();
                joined(&[&mpint(&r), &mpint(&s)])
            }
        };
        let mut signature = joined(&[self.name().as_bytes(), &value]);
        signature.push(made.flags);
        signature.extend(counter);
        Sshsig {
            version: 1,
            key: self.public(made.application),
            namespace: NAMESPACE.into(),
            reserved: Vec::new(),
            hash: b"sha512".to_vec(),
            signature,
        }
    }

    fn allowed_signers(&self) -> String {
        format!("alice {} {}\n", self.name(), STANDARD.encode(self.public("ssh:")))
    }
}

struct Made {
    application: &'static str,
    flags: u8,
    counter: u32,
}

impl Made {
    fn with(flags: u8) -> Self {
        Self { application: "ssh:", flags, counter: 41 }
    }
}

fn mpint(number: &[u8]) -> Vec<u8> {
    let digits = &number[number.iter().take_while(|digit| **digit == 0).count()..];
    let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
    [sign, digits].concat()
}

fn verify(signature: &Sshsig, touch: Touch) -> Result<VerifiedKey, SignatureError> {
    Signature::parse(&signature.armored())?.verify(NAMESPACE, MESSAGE, touch)
}

fn ssh_keygen_verifies(by: &Authenticator, signature: &Sshsig) -> bool {
    let allowed_signers = by.allowed_signers();
    let claim =
        Claim { allowed_signers: &allowed_signers, principal: "alice", namespace: NAMESPACE, time: None };
    Keygen::new().verifies(&claim, &signature.armored(), MESSAGE)
}

#[test]
fn a_touched_key_counts_for_both() {
    for authenticator in Authenticator::both() {
        for flags in [PRESENT, PRESENT | VERIFIED] {
            let signature = authenticator.sign(&Made::with(flags));
            let key = verify(&signature, Touch::Require).unwrap();
            assert_eq!(key.algorithm(), authenticator.name());
            assert!(key.key().is_security_key());
            let signers = AllowedSigners::parse(&authenticator.allowed_signers()).unwrap();
            assert_eq!(signers.approver(&key, NAMESPACE, 0).unwrap().principal.as_str(), "alice");
            assert!(ssh_keygen_verifies(&authenticator, &signature), "{}", authenticator.name());
        }
    }
}

/// Where we are stricter: `ssh-keygen -Y verify` does not look at the flag.
#[test]
fn an_untouched_key_counts_only_where_that_is_waived() {
    for authenticator in Authenticator::both() {
        let signature = authenticator.sign(&Made::with(0));
        assert_eq!(verify(&signature, Touch::Require), Err(SignatureError::Untouched));
        assert!(verify(&signature, Touch::Waive).is_ok());
        assert!(ssh_keygen_verifies(&authenticator, &signature));
    }
}

#[test]
fn flags_and_counter_are_signed() {
    for authenticator in Authenticator::both() {
        let untouched = authenticator.sign(&Made::with(0));
        for from_end in 1..=5 {
            let mut altered = untouched.clone();
            let at = altered.signature.len() - from_end;
            altered.signature[at] ^= PRESENT;
            assert_eq!(verify(&altered, Touch::Waive), Err(SignatureError::Invalid), "{from_end}");
            assert!(!ssh_keygen_verifies(&authenticator, &altered), "{from_end}");
        }
    }
}

#[test]
fn a_signature_for_another_application_is_refused_by_both() {
    for authenticator in Authenticator::both() {
        let made = Made { application: "ssh:other", ..Made::with(PRESENT) };
        let other = authenticator.sign(&made);
        // To SSH it is another key, which the list does not contain.
        let key = verify(&other, Touch::Require).unwrap();
        let signers = AllowedSigners::parse(&authenticator.allowed_signers()).unwrap();
        assert_eq!(signers.approver(&key, NAMESPACE, 0).unwrap_err().binding(), "key");
        assert!(!ssh_keygen_verifies(&authenticator, &other));

        let renamed = Sshsig { key: authenticator.public("ssh:"), ..other };
        assert_eq!(verify(&renamed, Touch::Require), Err(SignatureError::Invalid));
        assert!(!ssh_keygen_verifies(&authenticator, &renamed));
    }
}

#[test]
fn flags_and_counter_must_be_there_and_end_it() {
    for authenticator in Authenticator::both() {
        let whole = authenticator.sign(&Made::with(PRESENT));
        let cut =
            Sshsig { signature: whole.signature[..whole.signature.len() - 1].to_vec(), ..whole.clone() };
        let long = Sshsig { signature: [&whole.signature[..], &[0]].concat(), ..whole };
        for signature in [cut, long] {
            assert_eq!(verify(&signature, Touch::Require), Err(SignatureError::Malformed));
            assert!(!ssh_keygen_verifies(&authenticator, &signature));
        }
    }
}

#[test]
fn a_signature_through_a_browser_is_named_as_one() {
    let [_, p256] = Authenticator::both();
    let mut signature = p256.sign(&Made::with(PRESENT));
    signature.signature = joined(&[b"webauthn-sk-ecdsa-sha2-nistp256@openssh.com", b"", b"", b""]);
    assert_eq!(verify(&signature, Touch::Require), Err(SignatureError::WebAuthn));
}
