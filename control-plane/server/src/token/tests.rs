use std::sync::Arc;

use p256::ecdsa::SigningKey;
use pawl_proto::message::{EventKind, ShortText};
use serde_json::{Value, json};

use super::*;
use crate::entitlement::AccessChange;
use crate::orders;
use crate::testing::{Device, Rig, jws};

const ENDPOINT: &str = "https://localhost:8443/v1/token";
const NOW: u64 = 1_700_000_000;

/// A token request, which a test can alter before it is signed.
struct Asking {
    header: Value,
    assertion: Value,
    proof_header: Value,
    proof: Value,
    scope: Option<&'static str>,
    resource: Option<&'static str>,
}

impl Asking {
    fn of(device: &Device) -> Self {
        let (id, jti) = (device.id().to_string(), hex::encode(crate::random::bytes::<16>()));
        let jwk = serde_json::to_value(jwk(device.device_key.verifying_key())).unwrap();
        Self {
            header: json!({"alg": "ES256"}),
            assertion: json!({"iss": id, "sub": id, "aud": ENDPOINT, "jti": jti, "exp": NOW + 60}),
            proof_header: json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": jwk}),
            proof: json!({"htm": "POST", "htu": ENDPOINT, "iat": NOW, "jti": jti}),
            scope: Some("telemetry"),
            resource: Some("https://api.example"),
        }
    }

    async fn send(&self, plane: &Arc<ControlPlane>, key: &SigningKey) -> Result<TokenResponse, TokenError> {
        let request = TokenRequest {
            grant_type: "client_credentials".to_owned(),
            client_assertion_type: super::ASSERTION_TYPE.to_owned(),
            client_assertion: jws(&self.header, &self.assertion, key),
            scope: self.scope.map(str::to_owned),
            resource: self.resource.map(str::to_owned),
        };
        issue(plane, request, jws(&self.proof_header, &self.proof, key)).await
    }
}

async fn paired() -> (Rig, Device) {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    (rig, device)
}

async fn refusal(rig: &Rig, device: &Device, asking: &Asking) -> TokenError {
    asking.send(&rig.plane, &device.device_key).await.err().unwrap()
}

#[tokio::test]
async fn a_token_is_bound_to_the_device_key_and_ends_with_the_lease() {
    let (rig, device) = paired().await;
    rig.clock.advance(50);
    let mut asking = Asking::of(&device);
    asking.assertion["exp"] = json!(NOW + 200);
    asking.proof["iat"] = json!(NOW + 50);
    let response = asking.send(&rig.plane, &device.device_key).await.unwrap();
    assert_eq!((response.token_type, response.scope.as_str()), ("DPoP", "telemetry"));
    assert_eq!(response.expires_in, 600);

    let key = rig.plane.keys.signing.token.verifying_key();
    let token = super::jws::verify::<Value>(&response.access_token, key).unwrap();
    assert_eq!(token.header.typ.as_deref(), Some("at+jwt"));
    let claims = token.claims;
    assert_eq!(claims["cnf"]["jkt"], jwk(device.device_key.verifying_key()).thumbprint());
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("https://localhost:8443"), &json!("https://api.example"))
    );
    assert_eq!((&claims["sub"], &claims["pawl:epoch"]), (&json!(device.id().to_string()), &json!(7)));

    rig.clock.advance(400);
    asking = Asking::of(&device);
    asking.assertion["exp"] = json!(NOW + 500);
    asking.proof["iat"] = json!(NOW + 450);
    let response = asking.send(&rig.plane, &device.device_key).await.unwrap();
    assert_eq!(response.expires_in, 450, "the lease has 900 seconds, of which 450 are over");
}

#[tokio::test]
async fn a_thumbprint_is_that_of_rfc_7638() {
    // RFC 9449, section 6.1, and the key of its section 4.1.
    let key: pawl_jose::Jwk = serde_json::from_value(json!({
        "kty": "EC", "crv": "P-256",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"
    }))
    .unwrap();
    assert_eq!(key.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}

#[tokio::test]
async fn an_assertion_that_is_wrong_anywhere_is_refused() {
    let (rig, device) = paired().await;
    let cases: [(&str, Value); 5] = [
        ("iss", json!("somebody")),
        ("aud", json!("https://elsewhere/v1/token")),
        ("exp", json!(NOW - 61)),
        ("exp", json!(NOW + 3600)),
        ("jti", json!("")),
    ];
    for (claim, value) in cases {
        let mut asking = Asking::of(&device);
        asking.assertion[claim] = value;
        let error = refusal(&rig, &device, &asking).await;
        assert_eq!(error.code, TokenErrorCode::InvalidClient, "{claim}");
        assert!(error.description.contains(claim), "{error}");
    }
    for algorithm in ["none", "HS256"] {
        let mut asking = Asking::of(&device);
        asking.header["alg"] = json!(algorithm);
        assert!(refusal(&rig, &device, &asking).await.description.contains("algorithm"));
    }
}

#[tokio::test]
async fn a_proof_that_is_wrong_anywhere_is_refused() {
    let (rig, device) = paired().await;
    let cases: [(&str, Value); 5] = [
        ("htm", json!("GET")),
        ("htu", json!("https://elsewhere/v1/token")),
        ("iat", json!(NOW - 61)),
        ("iat", json!(NOW + 61)),
        ("jti", json!("")),
    ];
    for (claim, value) in cases {
        let mut asking = Asking::of(&device);
        asking.proof[claim] = value;
        let error = refusal(&rig, &device, &asking).await;
        assert_eq!(error.code, TokenErrorCode::InvalidDpopProof, "{claim}");
    }
    let mut asking = Asking::of(&device);
    asking.proof_header["typ"] = json!("JWT");
    assert_eq!(refusal(&rig, &device, &asking).await.code, TokenErrorCode::InvalidDpopProof);
    let mut asking = Asking::of(&device);
    asking.proof_header["jwk"] = serde_json::to_value(jwk(device.link_key.verifying_key())).unwrap();
    assert_eq!(refusal(&rig, &device, &asking).await.code, TokenErrorCode::InvalidDpopProof);
}

#[tokio::test]
async fn no_proof_is_accepted_twice_or_by_another_key() {
    let (rig, device) = paired().await;
    let asking = Asking::of(&device);
    asking.send(&rig.plane, &device.device_key).await.unwrap();
    assert!(refusal(&rig, &device, &asking).await.description.contains("twice"));
    let foreign = Asking::of(&device).send(&rig.plane, &device.link_key).await.err().unwrap();
    assert_eq!(foreign.code, TokenErrorCode::InvalidClient);
}

#[tokio::test]
async fn a_scope_that_was_not_granted_is_refused() {
    let (rig, device) = paired().await;
    let asking = Asking { scope: Some("telemetry admin"), ..Asking::of(&device) };
    let error = refusal(&rig, &device, &asking).await;
    assert_eq!(error.code, TokenErrorCode::InvalidScope);
    assert!(error.description.contains("admin"), "{error}");
}

#[tokio::test]
async fn an_audience_that_was_not_granted_is_refused() {
    let (rig, device) = paired().await;
    for (resource, word) in
        [("https://other.example", "entitle --audience"), ("https://api.example#a", "URI")]
    {
        let asking = Asking { resource: Some(resource), ..Asking::of(&device) };
        let error = refusal(&rig, &device, &asking).await;
        assert_eq!(error.code, TokenErrorCode::InvalidTarget);
        assert!(error.description.contains(word), "{error}");
    }
    let own = Asking { resource: None, ..Asking::of(&device) };
    own.send(&rig.plane, &device.device_key).await.unwrap();
    let remove = parse(&[], &["https://localhost:8443".to_owned()]).unwrap();
    let change = AccessChange { remove, ..AccessChange::default() };
    orders::entitle(&rig.plane, device.id(), change).await.unwrap();
    let own = Asking { resource: None, ..Asking::of(&device) };
    assert_eq!(refusal(&rig, &device, &own).await.code, TokenErrorCode::InvalidTarget);
}

#[tokio::test]
async fn tokens_follow_the_grant_of_the_moment() {
    let (rig, device) = paired().await;
    let change = |scope: &str| parse(&[scope.to_owned()], &[]).unwrap();
    let admin = || Asking { scope: Some("admin"), ..Asking::of(&device) };
    let add = AccessChange { add: change("admin"), ..AccessChange::default() };
    orders::entitle(&rig.plane, device.id(), add).await.unwrap();
    admin().send(&rig.plane, &device.device_key).await.unwrap();
    let all = Asking { scope: None, ..Asking::of(&device) };
    assert_eq!(all.send(&rig.plane, &device.device_key).await.unwrap().scope, "admin telemetry");
    let remove = AccessChange { remove: change("admin"), ..AccessChange::default() };
    orders::entitle(&rig.plane, device.id(), remove).await.unwrap();
    assert_eq!(refusal(&rig, &device, &admin()).await.code, TokenErrorCode::InvalidScope);
    let nothing = AccessChange { exactly: true, ..AccessChange::default() };
    orders::entitle(&rig.plane, device.id(), nothing).await.unwrap();
    let all = Asking { scope: None, resource: None, ..Asking::of(&device) };
    assert_eq!(refusal(&rig, &device, &all).await.code, TokenErrorCode::InvalidScope);
}

#[tokio::test]
async fn who_is_not_entitled_gets_no_token() {
    let (rig, device) = paired().await;
    orders::suspend(&rig.plane, device.id(), "audit".to_owned()).await.unwrap();
    assert!(refusal(&rig, &device, &Asking::of(&device)).await.description.contains("suspended"));
    orders::resume(&rig.plane, device.id(), 1).await.unwrap();
    Asking::of(&device).send(&rig.plane, &device.device_key).await.unwrap();

    orders::order(&rig.plane, device.id(), EventKind::Revoke, ShortText::lossy("sold")).await.unwrap();
    assert!(refusal(&rig, &device, &Asking::of(&device)).await.description.contains("revoked"));
}

#[tokio::test]
async fn a_lease_that_has_run_out_brings_no_token() {
    let (rig, device) = paired().await;
    rig.clock.advance(900);
    let mut asking = Asking::of(&device);
    asking.assertion["exp"] = json!(NOW + 960);
    asking.proof["iat"] = json!(NOW + 900);
    assert!(refusal(&rig, &device, &asking).await.description.contains("lease"));
}
