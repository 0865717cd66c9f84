//! Tests of approvals on another device: the code goes from the device to the approver, the confirmation the other way.

use pawl_verifier::session::SessionState;

use super::*;

#[tokio::test]
async fn an_approval_from_elsewhere_counts_once_it_is_confirmed_at_the_device() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let code = waiting.approval.user_code.as_str().to_lowercase().replace('-', " ");
    let shown = session_of_code(stage.plane(), &code).await.unwrap();
    assert_eq!((shown.id, &shown.statement), (asked.id, &waiting.statement));

    let given = stage.persons[0].sign(&waiting.statement);
    let given = approve(stage.plane(), &code, given).await.unwrap();
    let waits = asked.poll(stage.plane()).await.unwrap().waits();
    assert_eq!((waits.unconfirmed, waits.approved.len()), (1, 0));
    assert_eq!(stage.pairing().await, PairingState::Live, "it does not count yet");

    let typed = given.confirmation.to_string().to_lowercase();
    let approved = asked.step(stage.plane(), None, Some(&typed)).await.unwrap().approved();
    assert_eq!(approved.approvals.len(), 1);
    assert_eq!(stage.pairing().await, PairingState::Revoking);
}

#[tokio::test]
async fn codes_and_confirmations_of_two_devices_are_not_interchangeable() {
    let mut stage = Stage::new("", &["ann"]).await;
    let mut other = paired(&stage.rig.plane).await;
    let (asked, waiting) = stage.ask().await;
    let request = other.request();
    let (others, others_waiting) = other.ask_persons(&stage.rig.plane, request).await;
    let (code, others_code) =
        (waiting.approval.user_code.as_str(), others_waiting.approval.user_code.as_str());
    let ann = &stage.persons[0];

    // Signed for the one, with the code of the other.
    let error = approve(stage.plane(), others_code, ann.sign(&waiting.statement)).await.err().unwrap();
    assert!(
        matches!(&error, ApproverError::Refused { refused, left: 4 } if refused.binding == Binding::Session),
        "{error}"
    );
    assert_eq!(last_binding(stage.plane(), asked.id).await, None, "the other session was meant");

    let given = approve(stage.plane(), code, ann.sign(&waiting.statement)).await.unwrap();
    let others_given =
        approve(stage.plane(), others_code, ann.sign(&others_waiting.statement)).await.unwrap();
    for (step, confirmation) in [(&asked, &others_given.confirmation), (&others, &given.confirmation)] {
        let refusal = refused(step.step(stage.plane(), None, Some(&confirmation.to_string())).await);
        assert_eq!(refusal.code, RefusalCode::ApprovalRefused);
        assert_eq!(last_binding(stage.plane(), step.id).await, Some(Binding::Confirmation));
    }
    let typed = given.confirmation.to_string();
    asked.step(stage.plane(), None, Some(&typed)).await.unwrap().approved();
    let typed = others_given.confirmation.to_string();
    others.step(stage.plane(), None, Some(&typed)).await.unwrap().approved();
}

#[tokio::test]
async fn an_approver_who_lost_the_confirmation_gets_another_one() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, waiting) = stage.ask().await;
    let code = waiting.approval.user_code.as_str();
    let given = stage.persons[0].sign(&waiting.statement);
    let lost = approve(stage.plane(), code, given.clone()).await.unwrap().confirmation.to_string();
    let found = approve(stage.plane(), code, given).await.unwrap().confirmation.to_string();
    assert_eq!(asked.poll(stage.plane()).await.unwrap().waits().unconfirmed, 1);
    assert_eq!(
        refused(asked.step(stage.plane(), None, Some(&lost)).await).code,
        RefusalCode::ApprovalRefused
    );
    asked.step(stage.plane(), None, Some(&found)).await.unwrap().approved();
}

#[tokio::test]
async fn an_approver_who_was_removed_from_the_list_approves_nothing() {
    let mut stage = Stage::new("", &["ann", "bob"]).await;
    let (asked, waiting) = stage.ask().await;
    let given = stage.persons[0].sign(&waiting.statement);
    let given = approve(stage.plane(), waiting.approval.user_code.as_str(), given).await.unwrap();
    stage.rig.admit(&stage.persons[1].line(""));
    let typed = given.confirmation.to_string();
    let refusal = refused(asked.step(stage.plane(), None, Some(&typed)).await);
    assert_eq!(refusal.code, RefusalCode::ApprovalRefused);
    assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Key));
    assert_eq!(asked.poll(stage.plane()).await.unwrap().waits().unconfirmed, 0);
}

#[tokio::test]
async fn an_approver_may_decline() {
    let mut stage = Stage::new("", &["ann"]).await;
    let (asked, _) = stage.ask().await;
    decline(stage.plane(), asked.id, "nobody called".to_owned()).await.unwrap();
    let refusal = refused(asked.poll(stage.plane()).await);
    assert_eq!(refusal.code, RefusalCode::Declined);
    assert!(refusal.message.contains("nobody called"), "{refusal}");
    assert_eq!(stage.pairing().await, PairingState::Live);
    let again = decline(stage.plane(), asked.id, String::new()).await;
    assert!(matches!(again, Err(ApproverError::NotOpen)));
}

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
        let error = session_of_code(stage.plane(), &wrong).await.unwrap_err();
        assert!(matches!(error, ApproverError::WrongCode { left: reported } if reported == left), "{error}");
    }
    assert_eq!(last_binding(stage.plane(), asked.id).await, Some(Binding::Code));
    let error = session_of_code(stage.plane(), &code).await.unwrap_err();
    assert!(matches!(error, ApproverError::UnknownCode), "{error}");
    assert_eq!(refused(asked.poll(stage.plane()).await).code, RefusalCode::Declined);
}

#[tokio::test]
async fn one_person_with_two_keys_counts_once() {
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
