//! The vectors, by conversation.

use super::*;

/// All vectors.
pub(in super::super) fn samples() -> Vec<Vector> {
    let mut samples = over_mqtt();
    samples.extend(pairings());
    samples.extend(actions());
    samples.extend(records());
    samples
}

fn over_mqtt() -> Vec<Vector> {
    vec![
        vector(
            "status",
            "status",
            Status {
                version: Version,
                device: device(),
                online: true,
                state: DeviceState::Entitled,
                epoch: Epoch(7),
            },
        ),
        order("event-revoke", Channel::Event, event(EventKind::Revoke)),
        order("event-refresh", Channel::Event, event(EventKind::Refresh)),
        order("event-unknown-kind", Channel::Event, event(unknown("rotate-keys"))),
        order("verdict", Channel::Verdict, verdict()),
        order("verdict-short", Channel::Verdict, short_verdict()),
        vector("evidence", "evidence", evidence()),
        vector("evidence-short", "evidence", short_evidence()),
        vector("report", "report", report()),
        vector("receipt", "receipt", receipt(Cause::Revoke)),
        vector(
            "receipt-unknown-cause",
            "receipt",
            Receipt { event: None, ..receipt(unknown("tamper-switch")) },
        ),
        vector(
            "signed-receipt",
            "signed-receipt",
            SignedReceipt {
                version: Version,
                receipt: encoded(&receipt(Cause::Revoke)),
                attest: bytes("TPMS_ATTEST of TPM2_NV_Certify"),
                signature: bytes("TPMT_SIGNATURE of it"),
            },
        ),
    ]
}

fn pairings() -> Vec<Vector> {
    let verdict = signed::sign(&verdict(), &Topic::new(device(), Channel::Verdict), &order_key()).unwrap();
    vec![
        vector("pairing-request", "pairing-request", request()),
        vector(
            "pairing-offer",
            "pairing-offer",
            PairingOffer {
                version: Version,
                session: session(),
                credential: credential(),
                nonce: Nonce([19; 32]),
                expires: TIME + 600,
            },
        ),
        vector(
            "session-proof",
            "session-proof",
            SessionProof {
                version: Version,
                request: request(),
                expires: TIME + 600,
                secret: bytes("secret"),
                counter_attest: bytes("TPMS_ATTEST of TPM2_NV_Certify"),
                counter_signature: bytes("TPMT_SIGNATURE of it"),
                report: report(),
            },
        ),
        vector(
            "approval-step",
            "approval-step",
            ApprovalStep {
                version: Version,
                secret: bytes("secret"),
                approval: Some(GivenApproval {
                    statement: statement_bytes(),
                    signature: bytes("an armored SSHSIG"),
                }),
                confirmation: Some(text("BCDF-GHJK")),
            },
        ),
        vector("statement", "statement", statement()),
        vector("waiting", "waiting", waiting()),
        vector(
            "pairing-approved",
            "pairing-approved",
            PairingApproved {
                version: Version,
                statement: statement_bytes(),
                approvals: approvals(),
                credential: credential(),
                nonce: Nonce([20; 32]),
                lease_key: bytes("TPMT_PUBLIC of the lease key"),
                authorization_key: bytes("TPMT_PUBLIC of the authorization key"),
                policy_ref: Digest([21; 32]),
                above: Epoch(6),
            },
        ),
        vector(
            "pairing-proof",
            "pairing-proof",
            PairingProof {
                version: Version,
                secret: bytes("secret"),
                link_key: certified("TPMT_PUBLIC of the link key"),
                device_key: certified("TPMT_PUBLIC of the device key"),
                vault_key: certified("TPMT_PUBLIC of the vault key"),
                action_key: certified("TPMT_PUBLIC of the action key"),
                counter_attest: bytes("TPMS_ATTEST of TPM2_NV_Certify"),
                counter_signature: bytes("TPMT_SIGNATURE of it"),
                report: report(),
                link_request: bytes("a PKCS #10 request"),
            },
        ),
        vector(
            "pairing-grant",
            "pairing-grant",
            PairingGrant {
                version: Version,
                pairing: pairing(),
                device: device(),
                epoch: Epoch(7),
                control_plane: text("Example fleet"),
                endorsement: text("certificate of Example TPMs"),
                link_certificates: vec![bytes("a certificate")],
                broker: Broker {
                    host: text("control.example"),
                    port: 8883,
                    authority: bytes("a certificate"),
                },
                scopes: vec![text("telemetry")],
                order_keys: vec![OrderKey::from(&order_key())],
                verdict: Blob::new(verdict).unwrap(),
            },
        ),
        vector(
            "pairing-refusal",
            "pairing-refusal",
            PairingRefusal {
                version: Version,
                code: RefusalCode::NotEnrolled,
                message: text("nobody enrolled this device"),
            },
        ),
    ]
}

fn actions() -> Vec<Vector> {
    vec![
        vector("action-offer-waiting", "action-offer", action_offer(ActionState::Waiting(waiting()))),
        vector(
            "action-offer-approved",
            "action-offer",
            action_offer(ActionState::Approved(action_approved())),
        ),
        vector("action-approved", "action-approved", action_approved()),
        vector(
            "authorization-request",
            "authorization-request",
            AuthorizationRequest { version: Version, secret: bytes("secret"), nonce_tpm: bytes("nonceTPM") },
        ),
        vector(
            "authorization",
            "authorization",
            Authorization {
                version: Version,
                signing_input: text("eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiIwMiJ9"),
                expiration: -60,
                signature: SignatureBytes([5; 64]),
            },
        ),
    ]
}

fn records() -> Vec<Vector> {
    let newer = r#"{"kind": "moon-phase", "detail": {"moons": 2}}"#;
    let facts = [
        ("device-record-began", DeviceFact::Began { device: device() }),
        (
            "device-record-opened",
            DeviceFact::Opened {
                session: session(),
                origin: text("uid 0"),
                action: text("re-pair"),
                statement: Digest([22; 32]),
            },
        ),
        (
            "device-record-approved",
            DeviceFact::Approved { session: session(), by: vec![text("alice@example.com")] },
        ),
        ("device-record-refused", DeviceFact::Refused { session: Some(session()), code: text("declined") }),
        ("device-record-paired", DeviceFact::Paired { pairing: pairing(), scopes: vec![text("telemetry")] }),
        (
            "device-record-verdict",
            DeviceFact::Verdict {
                sequence: 42,
                result: Some(TrustTier::Affirming),
                evidence: Some(Digest([6; 32])),
                lease: Some(86_400_000),
            },
        ),
        ("device-record-token", DeviceFact::Token { name: text("telemetry"), expires: TIME + 600 }),
        (
            "device-record-assurance",
            DeviceFact::Assurance {
                session: session(),
                action: text("firmware-update"),
                digest: Digest([23; 32]),
            },
        ),
        (
            "device-record-wiped",
            DeviceFact::Wiped {
                cause: Cause::Revoke,
                event: Some(event_id()),
                receipt: Some(Digest([24; 32])),
            },
        ),
        ("device-record-missed", DeviceFact::Missed { count: 3 }),
        ("device-record-ignored", DeviceFact::Ignored { event: event_id(), order: unknown("rotate-keys") }),
        ("device-record-unknown", serde_json::from_str(newer).unwrap()),
    ];
    facts.into_iter().map(|(name, fact)| vector(name, "device-record", record(fact))).collect()
}

fn approvals() -> Vec<GrantedApproval> {
    vec![GrantedApproval {
        principal: text("alice@example.com"),
        key: text("SHA256:WtYRm7lNwLRNuFwKeJxzFb9dKmCiDVrTBvRNHBPyLfM"),
        time: TIME + 60,
        signature: bytes("an armored SSHSIG"),
    }]
}

fn certified(key: &str) -> CertifiedKey {
    CertifiedKey {
        public: bytes(key),
        attest: bytes("TPMS_ATTEST of TPM2_Certify"),
        signature: bytes("TPMT_SIGNATURE of it"),
    }
}

fn action_approved() -> ActionApproved {
    ActionApproved { version: Version, statement: statement_bytes(), approvals: approvals() }
}

fn action_offer(state: ActionState) -> ActionOffer {
    ActionOffer { version: Version, session: session(), secret: bytes("secret"), state }
}
