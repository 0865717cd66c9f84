//! How often something wrong may be given, and by how many persons something right.

use super::*;
use pawl_verifier::session::SessionState;

#[tokio::test]
async fn five_refused_approvals_end_the_session() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let stranger = stage.rig.person("stranger").sign(&waiting.statement);
    for left in (1..5).rev() {
        let refusal = refused(asked.approve(stage.plane(), stranger.clone()).await);
        assert_eq!(refusal.code, RefusalCode::ApprovalRefused);
        assert_eq!(asked.poll(stage.plane()).await.unwrap().waits().tries_left, left);
    }
    assert_eq!(refused(asked.approve(stage.plane(), stranger).await).code, RefusalCode::Declined);
    let right = stage.persons[0].sign(&waiting.statement);
    assert_eq!(refused(asked.approve(stage.plane(), right).await).code, RefusalCode::Declined);
    assert_eq!(session(stage.plane(), asked.id).await.state, SessionState::Declined);
    assert_eq!(stage.pairing().await, PairingState::Live);
}

#[tokio::test]
async fn five_wrong_confirmations_end_the_session() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let given = stage.persons[0].sign(&waiting.statement);
    let given = approve(stage.plane(), waiting.approval.user_code.as_str(), given).await.unwrap();
    for code in [RefusalCode::ApprovalRefused; 4].into_iter().chain([RefusalCode::Declined]) {
        let refusal = refused(asked.step(stage.plane(), None, Some("BBBB-BBBB")).await);
        assert_eq!(refusal.code, code);
        assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Confirmation));
    }
    let right = given.confirmation.to_string();
    assert_eq!(refused(asked.step(stage.plane(), None, Some(&right)).await).code, RefusalCode::Declined);
}

#[tokio::test]
async fn five_wrong_codes_end_the_session() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let code = waiting.approval.user_code.as_str().to_owned();
    let wrong = format!("{}-BBBB-BBBB", code.split('-').next().unwrap());
    for left in (0..5).rev() {
        let error = request(stage.plane(), &wrong).await.unwrap_err();
        assert!(matches!(error, ApproverError::WrongCode { left: told } if told == left), "{error}");
    }
    assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Code));
    let error = request(stage.plane(), &code).await.unwrap_err();
    assert!(matches!(error, ApproverError::UnknownCode), "{error}");
    assert_eq!(refused(asked.poll(stage.plane()).await).code, RefusalCode::Declined);
}

#[tokio::test]
async fn two_persons_are_two_persons() {
    let mut stage = Stage::new("re_pair = 2", &["ann", "bob"]).await;
    // Ann has a second key.
    let second = stage.rig.person("second");
    let lines: String = stage.persons.iter().map(|person| person.line("")).collect();
    stage.rig.admit(&(lines + &second.line("").replacen("second", "ann", 1)));

    let (asked, waiting) = stage.ask().await;
    let ann = stage.persons[0].sign(&waiting.statement);
    let waits = asked.approve(stage.plane(), ann.clone()).await.unwrap().waits();
    assert_eq!((waits.needed, waits.approved.len()), (2, 1));
    for again in [ann, second.sign(&waiting.statement)] {
        assert_eq!(refused(asked.approve(stage.plane(), again).await).code, RefusalCode::ApprovalRefused);
        assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Person));
        assert_eq!(stage.pairing().await, PairingState::Live);
    }
    let bob = stage.persons[1].sign(&waiting.statement);
    let approved = asked.approve(stage.plane(), bob).await.unwrap().approved();
    let by: Vec<&str> = approved.approvals.iter().map(|approval| approval.principal.as_str()).collect();
    assert_eq!(by.len(), 2);
    assert!(by.contains(&"ann") && by.contains(&"bob"), "{by:?}");
}
