use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::Value;

/// A compact JWS of any header and claims.
pub(crate) fn jws(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let input = pawl_jose::signing_input(header.to_string(), claims.to_string());
    let signature: Signature = key.sign(input.as_bytes());
    pawl_jose::signed(&input, &signature.to_bytes().into())
}
