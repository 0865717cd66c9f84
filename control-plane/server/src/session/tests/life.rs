//! Tests of a session's effects, from its request to its end.

use pawl_proto::message::{EventKind, SessionProof, Statement};

use super::*;
use crate::orders;
use pawl_verifier::session::SessionState;

#[tokio::test]
async fn a_request_changes_nothing_and_the_approval_ends_the_old_pairing_at_once() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    assert_eq!(waiting.statement.decode().unwrap().action.as_str(), Statement::RE_PAIR);
    assert_eq!((waiting.needed, waiting.tries_left, waiting.expires_in), (1, 5, 600));
    assert_eq!(waiting.approval.url.as_str(), "https://localhost:8443/approve");
    assert_eq!(waiting.known.ends.as_ref().map(|ends| ends.pairing), stage.device.pairing);
    assert_eq!(stage.pairing().await, PairingState::Live);
    let events = |stage: &Stage| {
        let (plane, id) = (stage.rig.plane.clone(), stage.device.id());
        async move { plane.store.transaction(move |tx| tx.events(id)).await.unwrap() }
    };
    assert!(events(&stage).await.is_empty());

    let given = stage.persons[0].sign(&waiting.statement);
    let approved: PairingApproved = asked.approve(stage.plane(), given.clone()).await.unwrap().approved();
    assert_eq!(stage.pairing().await, PairingState::Revoking, "before anything is issued");
    let [event] = &events(&stage).await[..] else { panic!("one order") };
    assert_eq!((event.kind, event.epoch.0, event.session), (EventKind::Repair, 7, Some(asked.id)));
    assert_eq!((approved.above.0, &approved.statement), (7, &waiting.statement));
    let [by] = &approved.approvals[..] else { panic!("one approval") };
    assert_eq!((by.principal.as_str(), &by.signature), ("ann", &given.signature));

    let proof = stage.device.proof(asked.id, &approved);
    let grant = pairing::prove(stage.plane(), asked.id, proof).await.unwrap();
    assert_eq!((grant.pairing, grant.epoch.0), (PairingId::from(asked.id), 8));
    assert_eq!(stage.pairing().await, PairingState::Live);
    assert_eq!(session(stage.plane(), asked.id).await.state, SessionState::Spent);

    assert_eq!(refused(asked.approve(stage.plane(), given).await).code, RefusalCode::Stale);
    assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Used));
}

#[tokio::test]
async fn a_session_expires() {
    let mut stage = Stage::new("seconds = 60", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    stage.rig.clock.advance(59);
    assert_eq!(asked.poll(stage.plane()).await.unwrap().waits().expires_in, 1);
    stage.rig.clock.advance(1);
    let given = stage.persons[0].sign(&waiting.statement);
    assert_eq!(refused(asked.approve(stage.plane(), given).await).code, RefusalCode::Stale);
    assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Expired));
    assert_eq!(stage.pairing().await, PairingState::Live);
}

#[tokio::test]
async fn a_newer_session_supersedes_a_waiting_one() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (first, waiting) = stage.ask().await;
    let (second, _) = stage.ask().await;
    let given = stage.persons[0].sign(&waiting.statement);
    let refusal = refused(first.approve(stage.plane(), given).await);
    assert_eq!(refusal.code, RefusalCode::Stale);
    assert_eq!(last_binding(stage.plane(), first.id).await, Some(Binding::Session));
    assert_eq!(session(stage.plane(), first.id).await.state, SessionState::Superseded);
    assert!(second.poll(stage.plane()).await.is_ok());
}

#[tokio::test]
async fn a_newer_session_supersedes_an_approved_one() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (first, waiting) = stage.ask().await;
    let given = stage.persons[0].sign(&waiting.statement);
    let approved = first.approve(stage.plane(), given).await.unwrap().approved();
    stage.ask().await;
    let proof = stage.device.proof(first.id, &approved);
    assert_eq!(refused(pairing::prove(stage.plane(), first.id, proof).await).code, RefusalCode::Stale);
    assert_eq!(refused(first.poll(stage.plane()).await).code, RefusalCode::Stale);
}

#[tokio::test]
async fn a_restart_of_the_control_plane_loses_nothing() {
    let mut stage = Stage::new("", &["ann"]).await;
    let offered = pairing::offer(stage.plane(), stage.request()).await.unwrap();
    stage.rig.restart();
    let proof = SessionProof { request: stage.request(), ..stage.device.session_proof(&offered) };
    let asked = OpenedSession { id: offered.session, secret: proof.secret.as_bytes().to_vec() };
    let waiting =
        pairing::open(stage.plane(), offered.session, proof, stage.device.network).await.unwrap().waits();
    stage.rig.restart();
    assert_eq!(asked.poll(stage.plane()).await.unwrap().waits().approval, waiting.approval);
    let given = stage.persons[0].sign(&waiting.statement);
    let approved = asked.approve(stage.plane(), given).await.unwrap().approved();
    stage.rig.restart();
    assert_eq!(asked.poll(stage.plane()).await.unwrap().approved(), approved);
    let proof = stage.device.proof(asked.id, &approved);
    pairing::prove(stage.plane(), asked.id, proof).await.unwrap();
}

#[tokio::test]
async fn a_device_that_is_suspended_meanwhile_keeps_its_pairing_and_gets_no_other() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let given = stage.persons[0].sign(&waiting.statement);
    orders::suspend(stage.plane(), stage.device.id(), "audit".to_owned()).await.unwrap();
    assert_eq!(refused(asked.approve(stage.plane(), given.clone()).await).code, RefusalCode::Suspended);
    assert_eq!(stage.pairing().await, PairingState::Live);
    orders::resume(stage.plane(), stage.device.id(), 1).await.unwrap();
    asked.approve(stage.plane(), given).await.unwrap().approved();
}

#[tokio::test]
async fn a_step_requires_the_secret_that_opened_the_session() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let thief = OpenedSession { id: asked.id, secret: vec![7; 32] };
    let given = stage.persons[0].sign(&waiting.statement);
    assert_eq!(refused(thief.approve(stage.plane(), given).await).code, RefusalCode::Stale);
    assert_eq!(refused(thief.poll(stage.plane()).await).code, RefusalCode::Stale);
    assert!(session(stage.plane(), asked.id).await.refusals.is_empty(), "it was counted as a failed attempt");
}

#[tokio::test]
async fn without_a_person_at_the_device_or_an_approver_no_session_is_opened() {
    let mut stage = Stage::new("", &["ann"]).await;
    let unattended = PairingRequest { attended: false, ..stage.request() };
    let refusal = refused(stage.device.ask(&stage.rig.plane, unattended).await);
    assert_eq!(refusal.code, RefusalCode::ApprovalRequired);
    for lines in ["# nobody\n", "not a line of that format\n"] {
        stage.rig.admit(lines);
        let request = stage.request();
        let refusal = refused(stage.device.ask(&stage.rig.plane, request).await);
        assert_eq!(refusal.code, RefusalCode::NoApprovers, "{lines}");
    }

    let rig = Rig::with("");
    let mut device = paired(&rig.plane).await;
    let request = device.request();
    let refusal = refused(device.ask(&rig.plane, request).await);
    assert_eq!(refusal.code, RefusalCode::NoApprovers);
    assert!(refusal.message.contains("approvals.allowed_signers"), "{refusal}");
}

#[tokio::test]
async fn the_kind_of_pairing_determines_how_many_persons_must_approve() {
    let (rig, persons) = Rig::approved_by("pair = 1\nafter_repair = 0", &["ann"]);
    let mut device = Device::enrolled(&rig.plane).await;
    let request = device.request();
    let (asked, waiting) = device.ask_persons(&rig.plane, request).await;
    assert_eq!(waiting.statement.decode().unwrap().action.as_str(), Statement::PAIR);
    let approved = asked.approve(&rig.plane, persons[0].sign(&waiting.statement)).await.unwrap().approved();
    assert_eq!(approved.above.0, 6, "the claimed epoch is free");
    let proof = device.proof(asked.id, &approved);
    pairing::prove(&rig.plane, asked.id, proof).await.unwrap();

    // The approval of a re-pair also orders a repair. Only a repair that an operator ordered lowers the number of
    // persons.
    let request = device.request();
    let (asked, waiting) = device.ask_persons(&rig.plane, request.clone()).await;
    asked.approve(&rig.plane, persons[0].sign(&waiting.statement)).await.unwrap().approved();
    let (_, waiting) = device.ask_persons(&rig.plane, request.clone()).await;
    assert_eq!(waiting.needed, 1);
}

#[tokio::test]
async fn a_repair_that_an_operator_ordered_has_a_policy_of_its_own() {
    let mut stage = Stage::new("after_repair = 0", &["ann"]).await;
    let reason = pawl_proto::message::ShortText::lossy("new image");
    orders::order(stage.plane(), stage.device.id(), EventKind::Repair, reason).await.unwrap();
    let unattended = PairingRequest { attended: false, ..stage.request() };
    let (_, progress) = stage.device.ask(&stage.rig.plane, unattended).await.unwrap();
    assert!(progress.approved().approvals.is_empty());
}

#[tokio::test]
async fn each_step_of_a_session_is_recorded() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let given = stage.persons[0].sign(&waiting.statement);
    asked.approve(stage.plane(), given).await.unwrap();
    let kinds: Vec<String> = facts(stage.plane(), &stage.device)
        .await
        .into_iter()
        .map(|fact| serde_json::to_value(fact).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    let first = ["session-opened", "approved", "accepted", "paired", "lease", "verdict"];
    let second = ["session-opened", "approved", "revoke-ordered"];
    assert_eq!(kinds, [&first[..], &second].concat());
}
