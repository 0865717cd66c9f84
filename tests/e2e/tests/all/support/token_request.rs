//! A token request made in advance, by a device key that may be dead when it is sent (RFC 7523,
//! RFC 9449).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, OldKeys};
use pawl_evidence::tpm::{Public, PublicKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::impostor::Wire;

/// All that the token endpoint requires.
pub(crate) struct TokenRequest {
    assertion: String,
    proof: String,
}

impl TokenRequest {
    /// Has the keys of a disk sign it. The device's daemon must be stopped; `jti` makes it another
    /// one.
    pub(crate) fn sign(rig: &Rig, device: &Device, id: &str, keys: &OldKeys, jti: &str) -> Self {
        let endpoint = endpoint(rig);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let sign = |header: Value, claims: Value| {
            let input = format!("{}.{}", encode(&header), encode(&claims));
            let digest = Sha256::digest(input.as_bytes()).into();
            let signature = keys.sign_with_device(&device.tpm.tcti(), digest).unwrap();
            format!("{input}.{}", BASE64URL.encode(signature))
        };
        let assertion =
            json!({ "iss": id, "sub": id, "aud": endpoint, "jti": jti, "iat": now, "exp": now + 120 });
        let proof = json!({ "htm": "POST", "htu": endpoint, "jti": jti, "iat": now });
        Self {
            assertion: sign(json!({ "alg": "ES256" }), assertion),
            proof: sign(json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": jwk(keys) }), proof),
        }
    }

    /// Sends it: the HTTP status, and the answer.
    pub(crate) fn send(&self, rig: &Rig) -> (u16, Value) {
        self.send_for(rig, "scope=telemetry")
    }

    /// The same for these parameters of the form.
    pub(crate) fn send_for(&self, rig: &Rig, wanted: &str) -> (u16, Value) {
        let form = format!(
            "grant_type=client_credentials&{wanted}&client_assertion={}&client_assertion_type={}",
            self.assertion, "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        );
        Wire::to(&rig.control_plane).post_form("/v1/token", form, &self.proof)
    }
}

fn endpoint(rig: &Rig) -> String {
    format!("{}/v1/token", rig.control_plane.url())
}

fn jwk(keys: &OldKeys) -> Value {
    let PublicKey::Ecc { x, y, .. } = Public::unmarshal(keys.device_public()).unwrap().key().clone() else {
        panic!("the device key is no elliptic curve key")
    };
    json!({ "crv": "P-256", "kty": "EC", "x": BASE64URL.encode(x), "y": BASE64URL.encode(y) })
}

fn encode(json: &Value) -> String {
    BASE64URL.encode(json.to_string())
}
