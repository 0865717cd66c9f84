//! SSH signatures of simulated persons (OpenSSH, PROTOCOL.sshsig), with ECDSA keys on P-256 that follow from their names.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use pawl_approval::NAMESPACE;
use ring::digest::{SHA512, digest};

use crate::rng::Rng;

const ALGORITHM: &[u8] = b"ecdsa-sha2-nistp256";

/// Somebody who may approve.
pub struct Person {
    name: &'static str,
    key: SigningKey,
}

impl Person {
    /// Returns the person of this name.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        Self { name, key: SigningKey::random(&mut Rng::new(seed)) }
    }

    /// Returns their line in a list of approvers.
    #[must_use]
    pub fn line(&self) -> String {
        let algorithm = String::from_utf8_lossy(ALGORITHM);
        format!("{} {algorithm} {}\n", self.name, BASE64_STANDARD.encode(self.public()))
    }

    fn public(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_encoded_point(false);
        [string(ALGORITHM), string(b"nistp256"), string(point.as_bytes())].concat()
    }

    /// Signs a message for approvals, in armor.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        let (namespace, reserved, hash) = (string(NAMESPACE.as_bytes()), string(b""), string(b"sha512"));
        let hashed = string(digest(&SHA512, message).as_ref());
        let signed = [b"SSHSIG".as_slice(), &namespace, &reserved, &hash, &hashed].concat();
        let signature: Signature = self.key.sign(&signed);
        let (r, s) = signature.split_bytes();
        let signature = [string(ALGORITHM), string(&[mpint(&r), mpint(&s)].concat())].concat();
        let blob = [
            b"SSHSIG\0\0\0\x01".as_slice(),
            &string(&self.public()),
            &namespace,
            &reserved,
            &hash,
            &string(&signature),
        ];
        let encoded = BASE64_STANDARD.encode(blob.concat());
        let mut armor = String::from("-----BEGIN SSH SIGNATURE-----\n");
        for (position, letter) in encoded.chars().enumerate() {
            if position > 0 && position % 70 == 0 {
                armor.push('\n');
            }
            armor.push(letter);
        }
        armor.push_str("\n-----END SSH SIGNATURE-----\n");
        armor
    }
}

/// RFC 4251, section 5: `string`.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes(), bytes].concat()
}

/// RFC 4251, section 5: `mpint`, of a positive number.
fn mpint(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    string(&[sign, digits].concat())
}
