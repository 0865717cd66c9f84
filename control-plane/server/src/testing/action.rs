use std::sync::Arc;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use pawl_evidence::assurance::SigningInput;
use pawl_proto::Blob;
use pawl_proto::message::{ActionOffer, ApprovalStep, Authorization, AuthorizationRequest, GivenApproval};
use serde_json::{Value, json};

use super::device::Device;
use crate::action::{self, Progress};
use crate::control_plane::ControlPlane;
use crate::refusal::RequestError;

/// SHA-256 of the data of the tests' actions.
pub(crate) const SUBJECT: [u8; 32] = [0xd1; 32];

/// A request for an action, which a test may alter before it is signed.
pub(crate) struct ActionAttempt {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl ActionAttempt {
    pub(crate) fn of(device: &Device, plane: &ControlPlane, action: &str) -> Self {
        let id = device.id().to_string();
        let now = plane.clock.now();
        let claims = json!({
            "iss": id, "sub": id, "aud": "https://localhost:8443/v1/actions",
            "jti": hex::encode(crate::random::bytes::<16>()), "iat": now, "exp": now + 60,
            "pairing": device.pairing.unwrap().to_string(), "epoch": device.tpm.epoch,
            "action": action, "resource": "gate-4", "digest": hex::encode(SUBJECT),
            "session": "job-17", "origin": "uid 1000 (updater.service)", "reason": "release 5",
            "nonce": "01".repeat(32),
        });
        Self { header: json!({"alg": "ES256", "typ": "pawl-action+jwt"}), claims }
    }

    pub(crate) async fn ask(
        &self,
        device: &Device,
        plane: &Arc<ControlPlane>,
    ) -> Result<ActionOffer, RequestError> {
        action::ask(plane, jws(&self.header, &self.claims, &device.device_key)).await
    }
}

/// Sends a step of the device in the session of an action.
pub(crate) async fn action_step(
    plane: &Arc<ControlPlane>,
    offer: &ActionOffer,
    approval: Option<GivenApproval>,
) -> Result<Progress, RequestError> {
    let secret = offer.secret.clone();
    let step = ApprovalStep { version: Default::default(), secret, approval, confirmation: None };
    action::step(plane, offer.session, step).await
}

/// Requests the authorization for an open TPM policy session.
pub(crate) async fn authorization(
    plane: &Arc<ControlPlane>,
    offer: &ActionOffer,
    nonce_tpm: &[u8],
) -> Result<Authorization, RequestError> {
    let request = AuthorizationRequest {
        version: Default::default(),
        secret: offer.secret.clone(),
        nonce_tpm: Blob::new(nonce_tpm.to_vec()).unwrap(),
    };
    action::authorize(plane, offer.session, request).await
}

impl Device {
    /// Signs an assurance as the TPM would.
    pub(crate) fn assurance(&self, authorization: &Authorization) -> String {
        let input = SigningInput::parse(authorization.signing_input.as_str()).unwrap();
        let signature: Signature = self.action_key.sign_prehash(&input.digest()).unwrap();
        input.signed(&signature.to_bytes().into())
    }
}

/// Signs a compact JWS of any header and claims.
pub(crate) fn jws(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let input = pawl_jose::signing_input(header.to_string(), claims.to_string());
    let signature: Signature = key.sign(input.as_bytes());
    pawl_jose::signed(&input, &signature.to_bytes().into())
}
