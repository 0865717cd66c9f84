//! Tests each binding of an approval by itself.

use pawl_proto::message::{Statement, StatementBytes};
use pawl_proto::{Digest, Epoch, Nonce};

use super::*;
use crate::testing::decode_verdict;

type Alter = fn(&mut Statement);

#[tokio::test]
async fn every_field_of_the_statement_is_a_binding_of_its_own() {
    let cases: [(Binding, Alter); 18] = [
        (Binding::Session, |statement| statement.session = SessionId::from_random([9; 16])),
        (Binding::Device, |statement| statement.device = pawl_proto::DeviceId::from_digest([9; 32])),
        (Binding::Nonce, |statement| statement.nonce = Nonce([9; 32])),
        (Binding::Origin, |statement| statement.origin = text("uid 0; ssh 198.51.100.1")),
        (Binding::Action, |statement| statement.action = text("pair")),
        (Binding::Resource, |statement| statement.resource = Some(text("/dev/mtd0"))),
        (Binding::Subject, |statement| statement.subject = Some(Digest([9; 32]))),
        (Binding::Context, |statement| statement.context = Some(text("update 9"))),
        (Binding::Reason, |statement| statement.reason = text("another")),
        (Binding::Audiences, |statement| {
            statement.audiences.push(pawl_proto::message::Audience::lossy("https://api.example"));
        }),
        (Binding::Granted, |statement| statement.granted = None),
        (Binding::Scopes, |statement| statement.scopes.push(pawl_proto::message::Scope::lossy("admin"))),
        (Binding::Replaces, |statement| statement.replaces = Some(statement.device)),
        (Binding::Epoch, |statement| statement.epoch = Epoch(9)),
        (Binding::Evidence, |statement| statement.evidence = Digest([9; 32])),
        (Binding::Boot, |statement| statement.boot = Digest([9; 32])),
        (Binding::Time, |statement| statement.time += 1),
        (Binding::Time, |statement| statement.expires += 1),
    ];
    let mut stage = Stage::new("", &["ann"]).await;
    for (binding, alter) in cases {
        let (asked, waiting) = stage.ask().await;
        let mut statement = waiting.statement.decode().unwrap();
        alter(&mut statement);
        let given = stage.persons[0].sign(&StatementBytes::of(&statement).unwrap());
        stays_refused(&stage, &asked, asked.approve(stage.plane(), given).await, binding).await;
    }
}

fn text(text: &str) -> pawl_proto::message::ShortText {
    pawl_proto::message::ShortText::lossy(text)
}

/// Checks that the device learns only of the refusal, that the operator sees which binding failed, and that the pairing
/// stays live.
async fn stays_refused(
    stage: &Stage,
    asked: &OpenedSession,
    result: Result<pairing::Progress, RequestError>,
    binding: Binding,
) {
    let refusal = refused(result);
    assert_eq!(refusal.code, RefusalCode::ApprovalRefused, "{binding}");
    let message = "approval rejected; the operator can see the reason with: pawl-control-plane sessions";
    assert_eq!(refusal.message, message, "{binding}");
    assert_eq!(last_binding(stage.plane(), asked.id).await, Some(binding));
    assert_eq!(asked.poll(stage.plane()).await.unwrap().waits().tries_left, 4, "{binding}");
    assert_eq!(stage.pairing().await, PairingState::Live, "{binding}");
    let recorded = facts(stage.plane(), &stage.device).await;
    let last = recorded.iter().rev().find_map(|fact| match fact {
        Fact::ApprovalRefused { session, binding, .. } => Some((session.clone(), *binding)),
        _ => None,
    });
    assert_eq!(last, Some((asked.id.to_string(), binding)));
}

#[tokio::test]
async fn an_approval_given_for_one_device_counts_for_no_other() {
    let mut stage = Stage::new("", &["ann"]).await;
    let mut other = paired(&stage.rig.plane).await;
    let (asked, waiting) = stage.ask().await;
    let request = other.request();
    let (others, others_waiting) = other.ask_persons(&stage.rig.plane, request).await;
    assert_ne!(waiting.approval.user_code, others_waiting.approval.user_code);

    let ann = &stage.persons[0];
    let (own, foreign) = (ann.sign(&waiting.statement), ann.sign(&others_waiting.statement));
    let result = asked.approve(stage.plane(), foreign.clone()).await;
    stays_refused(&stage, &asked, result, Binding::Session).await;
    // The signature of one statement under the other.
    let mixed = pawl_proto::message::GivenApproval { statement: waiting.statement, ..foreign.clone() };
    assert_eq!(
        refused(asked.approve(stage.plane(), mixed).await).code,
        RefusalCode::ApprovalRefused,
        "it was signed for another statement"
    );
    assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Signature));

    asked.approve(stage.plane(), own).await.unwrap().approved();
    others.approve(stage.plane(), foreign).await.unwrap().approved();
}

#[tokio::test]
async fn a_key_that_may_not_approve_is_refused_with_its_own_reason() {
    let mut stage = Stage::new("", &["ann"]).await;
    let stranger = stage.rig.person("stranger");
    let ann = stage.persons[0].line("");
    let admitted = |options: &str| stranger.line(options) + &ann;
    let cases = [
        (ann.clone(), Binding::Key),
        (admitted("namespaces=\"file\""), Binding::Namespace),
        (admitted("valid-before=\"20200101Z\""), Binding::Dates),
        (admitted("valid-after=\"20300101Z\""), Binding::Dates),
    ];
    for (lines, binding) in cases {
        stage.rig.admit(&lines);
        let (asked, waiting) = stage.ask().await;
        let given = stranger.sign(&waiting.statement);
        stays_refused(&stage, &asked, asked.approve(stage.plane(), given).await, binding).await;
        let key = session(stage.plane(), asked.id).await.refusals[0].key.clone();
        assert!(key.is_some_and(|key| key.starts_with("SHA256:")), "{binding}");
    }
    stage.rig.admit(&admitted("namespaces=\"pawl-*\",valid-after=\"20200101Z\""));
    let (asked, waiting) = stage.ask().await;
    asked.approve(stage.plane(), stranger.sign(&waiting.statement)).await.unwrap().approved();
}

#[tokio::test]
async fn a_signature_for_another_purpose_or_an_altered_one_is_refused() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let given = stage.persons[0].sign_for(&waiting.statement, "file");
    stays_refused(&stage, &asked, asked.approve(stage.plane(), given).await, Binding::Namespace).await;

    let (asked, waiting) = stage.ask().await;
    let mut given = stage.persons[0].sign(&waiting.statement);
    let armored = String::from_utf8(given.signature.into_vec()).unwrap();
    let cut: String = armored.lines().filter(|line| !line.contains("END")).collect();
    given.signature = pawl_proto::Blob::new(cut.into_bytes()).unwrap();
    stays_refused(&stage, &asked, asked.approve(stage.plane(), given).await, Binding::Signature).await;
}

#[tokio::test]
async fn a_report_of_another_boot_state_invalidates_the_statement() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let given = stage.persons[0].sign(&waiting.statement);
    // The live pairing reports after another boot.
    let id = stage.device.pairing.unwrap();
    let pairing = stage.plane().store.transaction(move |tx| tx.pairing(id)).await.unwrap().unwrap();
    stage.device.tpm.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    let report = stage.device.report(pairing.nonce, None);
    let message = pawl_proto::encode(&report).unwrap();
    crate::posture::receive(stage.plane(), stage.device.id(), message).await.unwrap();
    stays_refused(&stage, &asked, asked.approve(stage.plane(), given).await, Binding::Boot).await;
}

#[tokio::test]
async fn at_the_proof_the_device_must_be_in_the_approved_boot_state() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let approved =
        asked.approve(stage.plane(), stage.persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let good = stage.device.tpm.pcrs.clone();
    stage.device.tpm.pcrs.insert(4, pawl_proto::PcrValue::Sha256([0xaa; 32]));
    let proof = stage.device.proof(asked.id, &approved);
    let refusal = refused(pairing::prove(stage.plane(), asked.id, proof).await);
    assert_eq!(refusal.code, RefusalCode::PostureChanged);

    stage.device.tpm.pcrs = good;
    let proof = stage.device.proof(asked.id, &approved);
    let grant = pairing::prove(stage.plane(), asked.id, proof).await.unwrap();
    let verdict = decode_verdict(stage.plane(), stage.device.id(), grant.verdict.as_bytes());
    assert!(verdict.lease.is_some());
}
