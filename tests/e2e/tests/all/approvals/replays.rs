//! An approval that was good once, or would be for something else.

use pawl_e2e::Rig;
use pawl_e2e::rig::{ApprovalTerms, DeviceOptions, Terms, wait};
use pawl_local_api::SessionStage;
use pawl_proto::message::{RefusalCode, Scope, ShortText, Statement, StatementBytes};
use pawl_proto::{DeviceId, Digest, Epoch};

use super::{TOLD, asking, waiting};
use crate::support::{
    Impostor, approval_of, approve_here, failed_bindings, seen_by_operator, session_id, turned_away,
};

#[test]
fn an_approval_is_good_for_one_session() {
    let (rig, device, alice) = waiting();
    let used = device.approval_of(&alice).unwrap();
    approve_here(&device, &alice);
    device.re_pair("board repaired").unwrap();
    device.wait_for_approver().unwrap();
    assert_eq!(turned_away(device.hand_in(&used).unwrap()), TOLD);
    assert_eq!(failed_bindings(&rig, &session_id(&device)), ["session"]);
}

#[test]
fn an_approval_is_not_good_for_other_scopes() {
    let (rig, device, alice) = waiting();
    let for_fewer = device.approval_of(&alice).unwrap();
    // The technician asks again, for more.
    device.ask_to_pair(&asking(&["telemetry", "firmware"])).unwrap();
    let more = wait::until("it asks for more", wait::SOON, || {
        let asked = device.wait_for_stage(SessionStage::Waiting)?.asked;
        asked.filter(|asked| asked.scopes.len() == 2).ok_or_else(|| anyhow::anyhow!("it asks for less"))
    });
    assert_ne!(more.unwrap().statement, for_fewer.statement);
    assert_eq!(turned_away(device.hand_in(&for_fewer).unwrap()), TOLD);
    assert_eq!(failed_bindings(&rig, &session_id(&device)), ["session"]);
}

#[test]
fn an_approval_of_anything_else_names_what_differs() {
    /// What an approver was shown otherwise than the session asks for.
    type Change = fn(&mut Statement);

    let rig = Rig::for_test_with(&by_a_person(600)).unwrap();
    let alice = rig.approver("alice").unwrap();
    let tpm = rig.device("device", DeviceOptions::default()).unwrap().tpm;
    let device = Impostor::on(&rig, &tpm);
    rig.control_plane.enrol(&device.ek_sha256(), "device").unwrap();
    // In the same session, an approver was shown something else than what it asks for.
    let others: [(&str, Change); 8] = [
        ("device", |shown| shown.device = DeviceId::from_digest([7; 32])),
        ("origin", |shown| shown.origin = ShortText::lossy("uid 0; the front desk")),
        ("action", |shown| shown.action = ShortText::lossy("re-pair")),
        ("scopes", |shown| shown.scopes = vec![Scope::new("firmware").unwrap()]),
        ("replaces", |shown| shown.replaces = Some(DeviceId::from_digest([7; 32]))),
        ("epoch", |shown| shown.epoch = Epoch(shown.epoch.0 + 1)),
        ("evidence", |shown| shown.evidence = Digest([7; 32])),
        ("boot", |shown| shown.boot = Digest([7; 32])),
    ];
    for others in others.chunks(4) {
        let (session, secret, progress) = device.session();
        let asked = progress.waiting().statement;
        for (binding, change) in others {
            let mut shown = asked.decode().unwrap();
            change(&mut shown);
            let given = approval_of(&alice, StatementBytes::of(&shown).unwrap());
            let refusal = device.step(session, &secret, Some(given), None).unwrap_err();
            assert_eq!((refusal.code, refusal.message.as_str()), (RefusalCode::ApprovalRefused, TOLD));
            let failed = failed_bindings(&rig, &session.to_string());
            assert_eq!(failed.last().unwrap(), binding, "{failed:?}");
        }
        let given = approval_of(&alice, asked);
        device.step(session, &secret, Some(given), None).unwrap().approved();
    }
}

#[test]
fn an_approval_is_good_once() {
    let rig = Rig::for_test_with(&by_a_person(600)).unwrap();
    let alice = rig.approver("alice").unwrap();
    let tpm = rig.device("device", DeviceOptions::default()).unwrap().tpm;
    let device = Impostor::on(&rig, &tpm);
    rig.control_plane.enrol(&device.ek_sha256(), "device").unwrap();

    let (session, secret, progress) = device.session();
    let given = approval_of(&alice, progress.waiting().statement);
    let approved = device.step(session, &secret, Some(given.clone()), None).unwrap().approved();
    device.prove(&approved, &device.proof(&approved)).unwrap();
    let refusal = device.step(session, &secret, Some(given), None).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Stale, "{}", refusal.message);
    assert_eq!(failed_bindings(&rig, &session.to_string()), ["used"]);
}

#[test]
fn a_late_approval_is_refused() {
    let rig = Rig::for_test_with(&by_a_person(1)).unwrap();
    let alice = rig.approver("alice").unwrap();
    let tpm = rig.device("device", DeviceOptions::default()).unwrap().tpm;
    let device = Impostor::on(&rig, &tpm);
    rig.control_plane.enrol(&device.ek_sha256(), "device").unwrap();

    let (session, secret, progress) = device.session();
    let given = approval_of(&alice, progress.waiting().statement);
    let id = session.to_string();
    wait::until("the session is over", wait::SOON, || {
        let state = seen_by_operator(&rig, &id)["state"].clone();
        anyhow::ensure!(state == "expired", "it is {state}");
        Ok(())
    })
    .unwrap();
    let refusal = device.step(session, &secret, Some(given), None).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Stale, "{}", refusal.message);
    assert_eq!(failed_bindings(&rig, &id), ["expired"]);
}

/// Every pairing takes a person, within so many seconds.
fn by_a_person(seconds: u32) -> Terms {
    let approvals = ApprovalTerms { pair: 1, seconds, ..ApprovalTerms::persons(1) };
    Terms { approvals, ..Terms::default() }
}
