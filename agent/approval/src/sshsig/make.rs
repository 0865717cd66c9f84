//! Composes an armored signature from what a key signed. Always uses SHA-512, as `ssh-keygen` does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::format;
use super::format::{BEGIN, END, HashName, MAGIC};
use crate::key::PublicKey;
use crate::wire::put_string;

const HASH: HashName = HashName::Sha512;
/// The line length of `ssh-keygen`.
const LINE_LEN: usize = 70;

/// Returns the bytes that the key must sign.
pub(crate) fn to_be_signed(namespace: &str, message: &[u8]) -> Vec<u8> {
    format::to_be_signed(namespace, HASH, message)
}

/// Returns the armored signature. `signature` is the inner one, in the format of the key's algorithm.
pub(crate) fn assemble(key: &PublicKey, namespace: &str, signature: &[u8]) -> String {
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&super::VERSION.to_be_bytes());
    put_string(&mut blob, key.blob());
    put_string(&mut blob, namespace.as_bytes());
    put_string(&mut blob, b"");
    put_string(&mut blob, HASH.as_str().as_bytes());
    put_string(&mut blob, signature);
    armor(&blob)
}

fn armor(blob: &[u8]) -> String {
    let mut armored = format!("{BEGIN}\n");
    for (at, character) in STANDARD.encode(blob).chars().enumerate() {
        if at > 0 && at % LINE_LEN == 0 {
            armored.push('\n');
        }
        armored.push(character);
    }
    armored + "\n" + END + "\n"
}
