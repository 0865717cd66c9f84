use std::num::NonZeroU16;

use p256::ecdsa::Signature;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use pawl_evidence::assurance::{Approved, SigningInput, cp_hash_of_sign, to_be_signed};
use pawl_evidence::tpm::Public;
use pawl_proto::Text;
use pawl_proto::message::{ActionState, ApprovalStep, EventKind, RefusalCode, ShortText};
use serde_json::json;

use super::{Outcome, Progress, Question, Reason, verify};
use crate::orders;
use crate::posture;
use crate::refusal::RequestError;
use crate::session;
use crate::testing::{ActionAttempt, Approver, Device, Rig, SUBJECT, action_step, authorization, jws};
use pawl_verifier::pairing::verifying_key;
use pawl_verifier::record::Fact;

const ACTIONS: &str = "re_pair = 0\n\
    [[action]]\nname = \"restart\"\napprovals = 0\nseconds = 120\n\
    [[action]]\nname = \"firmware-update\"\napprovals = 1\n";
const NONCE: [u8; 32] = [0x4e; 32];

async fn paired() -> (Rig, Device, Vec<Approver>) {
    let (rig, persons) = Rig::approved_by(ACTIONS, &["alice"]);
    let mut device = Device::enrolled(&rig.plane).await;
    device.pair(&rig.plane).await.unwrap();
    (rig, device, persons)
}

fn code<T>(result: Result<T, RequestError>) -> RefusalCode {
    match result.map(drop) {
        Err(RequestError::Refused(refusal)) => refusal.code,
        other => panic!("{other:?}"),
    }
}

async fn assurance(rig: &Rig, device: &Device) -> String {
    let offer = ActionAttempt::of(device, &rig.plane, "restart").ask(device, &rig.plane).await.unwrap();
    device.assurance(&authorization(&rig.plane, &offer, &NONCE).await.unwrap())
}

fn question(assurance: &str) -> Question {
    Question {
        assurance: assurance.to_owned(),
        action: "restart".to_owned(),
        resource: "gate-4".to_owned(),
        digest: hex::encode(SUBJECT),
        session: "job-17".to_owned(),
        device: None,
        consume: false,
    }
}

async fn answer(rig: &Rig, question: Question) -> Option<Reason> {
    verify(&rig.plane, question).await.unwrap().reason()
}

#[tokio::test]
async fn an_action_that_needs_no_approval_is_authorized_for_one_signature() {
    let (rig, device, _) = paired().await;
    let offer = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await.unwrap();
    let ActionState::Approved(approved) = &offer.state else { panic!("{:?}", offer.state) };
    let statement = approved.statement.decode().unwrap();
    assert_eq!((statement.action.as_str(), statement.subject.unwrap().0), ("restart", SUBJECT));

    let given = authorization(&rig.plane, &offer, &NONCE).await.unwrap();
    let input = SigningInput::parse(given.signing_input.as_str()).unwrap();
    let claims = input.claims();
    assert_eq!((claims.exp - claims.iat, &claims.pawl.approved), (120, &Approved::Policy));
    assert_eq!(claims.pawl.statement, approved.statement.digest().0);
    assert_eq!((claims.pawl.boot, claims.pawl.evidence), (statement.boot.0, statement.evidence.0));

    // Checks the authorization as the TPM does.
    let (id, pairing) = (device.id(), device.pairing.unwrap());
    let stored = rig.plane.store.transaction(move |tx| tx.pairing(pairing)).await.unwrap().unwrap();
    let key = Public::unmarshal(&stored.action_key.unwrap()).unwrap();
    let expiration = NonZeroU16::new(u16::try_from(given.expiration).unwrap()).unwrap();
    let cp_hash = cp_hash_of_sign(&key.name(), &input.digest());
    let digest = to_be_signed(&NONCE, expiration, &cp_hash, &stored.policy_ref.0);
    let signature = Signature::from_slice(given.signature.as_bytes()).unwrap();
    let authority = verifying_key(rig.plane.keys.signing.authorization.public()).unwrap();
    authority.verify_prehash(&digest, &signature).unwrap();

    assert_eq!(code(authorization(&rig.plane, &offer, &NONCE).await), RefusalCode::Stale, "once");
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await.unwrap();
    let recorded = records.iter().any(|(record, _)| match &record.fact {
        Fact::Assurance { session, digest, .. } => {
            *session == offer.session.to_string() && *digest == hex::encode(input.digest())
        }
        _ => false,
    });
    assert!(recorded);
}

#[tokio::test]
async fn the_assurance_names_the_person_who_approved_the_action() {
    let (rig, device, persons) = paired().await;
    let attempt = ActionAttempt::of(&device, &rig.plane, "firmware-update");
    let offer = attempt.ask(&device, &rig.plane).await.unwrap();
    let ActionState::Waiting(waiting) = &offer.state else { panic!("{:?}", offer.state) };
    assert_eq!((waiting.needed, waiting.known.ends.is_none()), (1, true));
    assert_eq!(code(authorization(&rig.plane, &offer, &NONCE).await), RefusalCode::Stale, "not approved yet");

    let signed = persons[0].sign(&waiting.statement);
    let progress = action_step(&rig.plane, &offer, Some(signed)).await.unwrap();
    let Progress::Approved(approved) = progress else { panic!("{progress:?}") };
    assert_eq!(approved.approvals.len(), 1);
    let given = authorization(&rig.plane, &offer, &NONCE).await.unwrap();
    let input = SigningInput::parse(given.signing_input.as_str()).unwrap();
    let Approved::Persons(by) = &input.claims().pawl.approved else { panic!() };
    assert_eq!(by[0].by, "alice");
}

#[tokio::test]
async fn an_approval_from_elsewhere_counts_once_the_device_has_confirmed_it() {
    let (rig, device, persons) = paired().await;
    let attempt = ActionAttempt::of(&device, &rig.plane, "firmware-update");
    let offer = attempt.ask(&device, &rig.plane).await.unwrap();
    let ActionState::Waiting(waiting) = &offer.state else { panic!() };
    let code = waiting.approval.user_code.as_str();
    let given =
        session::approve(&rig.plane, code, persons[0].sign(&waiting.statement)).await.unwrap().confirmation;
    assert_eq!(self::code(authorization(&rig.plane, &offer, &NONCE).await), RefusalCode::Stale);
    let step = ApprovalStep {
        version: Default::default(),
        secret: offer.secret.clone(),
        approval: None,
        confirmation: Some(Text::new(given.to_string()).unwrap()),
    };
    let progress = super::step(&rig.plane, offer.session, step).await.unwrap();
    assert!(matches!(progress, Progress::Approved(_)), "{progress:?}");
    authorization(&rig.plane, &offer, &NONCE).await.unwrap();
}

#[tokio::test]
async fn an_approval_for_one_action_does_not_count_for_another() {
    let (rig, device, persons) = paired().await;
    let attempt = ActionAttempt::of(&device, &rig.plane, "firmware-update");
    let first = attempt.ask(&device, &rig.plane).await.unwrap();
    let second =
        ActionAttempt::of(&device, &rig.plane, "firmware-update").ask(&device, &rig.plane).await.unwrap();
    let ActionState::Waiting(waiting) = &first.state else { panic!() };
    let signed = persons[0].sign(&waiting.statement);
    let refused = action_step(&rig.plane, &second, Some(signed)).await;
    assert_eq!(code(refused), RefusalCode::ApprovalRefused);
}

#[tokio::test]
async fn a_request_with_any_wrong_claim_is_refused() {
    let (rig, device, _) = paired().await;
    let now = rig.plane.clock.now();
    let cases = [
        ("iss", json!("somebody"), RefusalCode::Malformed),
        ("aud", json!("https://localhost:8443/v1/token"), RefusalCode::Malformed),
        ("exp", json!(now - 61), RefusalCode::Malformed),
        ("exp", json!(now + 3600), RefusalCode::Malformed),
        ("jti", json!(""), RefusalCode::Malformed),
        ("digest", json!("d1"), RefusalCode::Malformed),
        ("nonce", json!(1), RefusalCode::Malformed),
        ("resource", json!("gate\u{1b}[2J"), RefusalCode::Malformed),
        ("epoch", json!(8), RefusalCode::Stale),
        ("pairing", json!("00".repeat(16)), RefusalCode::Stale),
        ("action", json!("open-the-gate"), RefusalCode::ActionUnknown),
    ];
    for (claim, value, expected) in cases {
        let mut attempt = ActionAttempt::of(&device, &rig.plane, "restart");
        attempt.claims[claim] = value;
        assert_eq!(code(attempt.ask(&device, &rig.plane).await), expected, "{claim}");
    }
    let mut attempt = ActionAttempt::of(&device, &rig.plane, "restart");
    attempt.header["typ"] = json!("JWT");
    assert_eq!(code(attempt.ask(&device, &rig.plane).await), RefusalCode::Malformed);

    let attempt = ActionAttempt::of(&device, &rig.plane, "restart");
    let foreign = jws(&attempt.header, &attempt.claims, &device.link_key);
    assert_eq!(code(super::ask(&rig.plane, foreign).await), RefusalCode::Malformed);
    attempt.ask(&device, &rig.plane).await.unwrap();
    assert_eq!(code(attempt.ask(&device, &rig.plane).await), RefusalCode::Stale, "made before");
}

#[tokio::test]
async fn a_device_that_is_not_entitled_gets_no_action() {
    let (rig, device, _) = paired().await;
    let offer = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await.unwrap();
    orders::suspend(&rig.plane, device.id(), "audit".to_owned()).await.unwrap();
    let again = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await;
    assert_eq!(code(again), RefusalCode::Suspended);
    assert_eq!(code(authorization(&rig.plane, &offer, &NONCE).await), RefusalCode::Suspended);

    let (rig, device, _) = paired().await;
    let offer = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await.unwrap();
    orders::order(&rig.plane, device.id(), EventKind::Revoke, ShortText::lossy("sold")).await.unwrap();
    assert_eq!(code(authorization(&rig.plane, &offer, &NONCE).await), RefusalCode::Stale);

    let (rig, device, _) = paired().await;
    rig.clock.advance(900);
    let late = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await;
    assert_eq!(code(late), RefusalCode::Posture, "the lease has run out");
}

#[tokio::test]
async fn an_approval_ends_with_the_approved_boot_state() {
    let (rig, mut device, _) = paired().await;
    let offer = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await.unwrap();
    device.tpm.pcrs.insert(9, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    report(&rig, &mut device).await;
    assert_eq!(code(authorization(&rig.plane, &offer, &NONCE).await), RefusalCode::Posture, "no lease");
    let state = rig.reported(device.id()).await;
    orders::accept(&rig.plane, device.id(), state).await.unwrap();
    report(&rig, &mut device).await;
    assert_eq!(code(authorization(&rig.plane, &offer, &NONCE).await), RefusalCode::PostureChanged);
}

/// Sends a whole report with the nonce of the newest verdict.
async fn report(rig: &Rig, device: &mut Device) {
    let (id, pairing) = (device.id(), device.pairing.unwrap());
    let stored = rig.plane.store.transaction(move |tx| tx.pairing(pairing)).await.unwrap().unwrap();
    let report = device.report(stored.nonce, None);
    posture::receive(&rig.plane, id, pawl_proto::encode(&report).unwrap()).await.unwrap();
}

#[tokio::test]
async fn the_tpm_nonce_has_32_bytes() {
    let (rig, device, _) = paired().await;
    let offer = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await.unwrap();
    assert_eq!(code(authorization(&rig.plane, &offer, &[1; 16]).await), RefusalCode::Malformed);
    authorization(&rig.plane, &offer, &NONCE).await.unwrap();
}

#[tokio::test]
async fn an_assurance_is_valid_only_for_its_own_action() {
    let (rig, device, _) = paired().await;
    let assurance = assurance(&rig, &device).await;
    let good = question(&assurance);
    let Outcome::Valid { claims, .. } = verify(&rig.plane, good.clone()).await.unwrap() else { panic!() };
    assert_eq!((claims.sub, claims.pawl.epoch), (device.id().to_string(), device.tpm.epoch));
    let named = Question { device: Some(device.id().to_string()), ..good.clone() };
    assert_eq!(answer(&rig, named).await, None);

    let other = || "other".to_owned();
    let cases = [
        (Question { action: other(), ..good.clone() }, Reason::Action),
        (Question { resource: other(), ..good.clone() }, Reason::Resource),
        (Question { session: other(), ..good.clone() }, Reason::Session),
        (Question { device: Some(other()), ..good.clone() }, Reason::Device),
        (Question { digest: "00".repeat(32), ..good.clone() }, Reason::Digest),
        (Question { digest: other(), ..good.clone() }, Reason::Malformed),
        (Question { assurance: other(), ..good.clone() }, Reason::Malformed),
    ];
    for (question, reason) in cases {
        assert_eq!(answer(&rig, question).await, Some(reason));
    }
    rig.clock.advance(120 + 61);
    let over = answer(&rig, good).await;
    assert!(matches!(over, Some(Reason::Expired | Reason::Certificate)), "{over:?}");
}

#[tokio::test]
async fn an_assurance_of_another_control_plane_is_refused() {
    let (rig, device, _) = paired().await;
    let (other, stranger, _) = paired().await;
    assert_eq!(answer(&rig, question(&assurance(&other, &stranger).await)).await, Some(Reason::Certificate));
    // Signed by another key than the certified one.
    let offer = ActionAttempt::of(&device, &rig.plane, "restart").ask(&device, &rig.plane).await.unwrap();
    let given = authorization(&rig.plane, &offer, &NONCE).await.unwrap();
    assert_eq!(answer(&rig, question(&stranger.assurance(&given))).await, Some(Reason::Signature));
}

#[tokio::test]
async fn an_assurance_is_used_up_once() {
    let (rig, device, _) = paired().await;
    let assurance = assurance(&rig, &device).await;
    let consume = || Question { consume: true, ..question(&assurance) };
    assert_eq!(answer(&rig, question(&assurance)).await, None, "looking does not use it up");
    assert_eq!(answer(&rig, consume()).await, None);
    assert_eq!(answer(&rig, consume()).await, Some(Reason::AlreadyUsed));
    assert_eq!(answer(&rig, question(&assurance)).await, Some(Reason::AlreadyUsed));
}

#[tokio::test]
async fn an_assurance_ends_with_its_pairing() {
    let (rig, device, _) = paired().await;
    let assurance = assurance(&rig, &device).await;
    orders::suspend(&rig.plane, device.id(), "audit".to_owned()).await.unwrap();
    assert_eq!(answer(&rig, question(&assurance)).await, Some(Reason::Suspended));
    orders::resume(&rig.plane, device.id(), 1).await.unwrap();
    orders::order(&rig.plane, device.id(), EventKind::Revoke, ShortText::lossy("sold")).await.unwrap();
    assert_eq!(answer(&rig, question(&assurance)).await, Some(Reason::PairingOver));
}

#[tokio::test]
async fn a_refused_action_is_recorded() {
    let (rig, device, _) = paired().await;
    let attempt = ActionAttempt::of(&device, &rig.plane, "open-the-gate");
    assert_eq!(code(attempt.ask(&device, &rig.plane).await), RefusalCode::ActionUnknown);
    let id = device.id();
    let records = rig.plane.store.transaction(move |tx| tx.records(id)).await.unwrap();
    let Fact::Refused { code, action, .. } = &records.last().unwrap().0.fact else { panic!() };
    assert_eq!((code.as_str(), action.as_deref()), ("action-unknown", Some("open-the-gate")));
}
