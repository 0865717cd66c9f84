//! SSHSIG signatures taken apart and put together, independently of the crate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha512};

/// The fields of a signature.
#[derive(Clone)]
pub(crate) struct Sshsig {
    pub(crate) version: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) namespace: Vec<u8>,
    pub(crate) reserved: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Sshsig {
    pub(crate) fn from_armored(armored: &str) -> Self {
        let blob = dearmor(armored);
        let rest = blob.strip_prefix(b"SSHSIG").unwrap();
        let (version, rest) = rest.split_at(4);
        let [key, namespace, reserved, hash, signature] = strings(rest).try_into().unwrap();
        let version = u32::from_be_bytes(version.try_into().unwrap());
        Self { version, key, namespace, reserved, hash, signature }
    }

    pub(crate) fn armored(&self) -> String {
        let mut blob = b"SSHSIG".to_vec();
        blob.extend(self.version.to_be_bytes());
        blob.extend(joined(&[&self.key, &self.namespace, &self.reserved, &self.hash, &self.signature]));
        armor(&blob)
    }
}

/// The decoded text between the first and the last line.
pub(crate) fn dearmor(armored: &str) -> Vec<u8> {
    let base64: String = armored.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(base64).unwrap()
}

pub(crate) fn armor(blob: &[u8]) -> String {
    let base64 = STANDARD.encode(blob).into_bytes();
    let lines: Vec<_> = base64.chunks(70).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

/// What a key signs for a message, with SHA-512.
pub(crate) fn to_be_signed(namespace: &str, message: &[u8]) -> Vec<u8> {
    let digest = Sha512::digest(message);
    [&b"SSHSIG"[..], &joined(&[namespace.as_bytes(), b"", b"sha512", digest.as_slice()])].concat()
}

/// Strings, one behind the other.
pub(crate) fn joined(strings: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for string in strings {
        out.extend(u32::try_from(string.len()).unwrap().to_be_bytes());
        out.extend_from_slice(string);
    }
    out
}

/// The strings that `bytes` consists of.
pub(crate) fn strings(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (string, rest) = rest.split_at(usize::try_from(u32::from_be_bytes(*len)).unwrap());
        out.push(string.to_vec());
        bytes = rest;
    }
    out
}
