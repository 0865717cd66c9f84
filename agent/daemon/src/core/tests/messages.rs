use pawl_proto::open::Word;
use pawl_proto::record::DeviceFact;

use super::*;

fn is_verdict(write: &Write) -> bool {
    matches!(write, Write::Verdict { .. })
}

#[test]
fn a_verdict_is_acknowledged_after_it_is_on_the_disk() {
    let mut rig = Rig::paired();
    rig.verdict(|_| {});
    let write = rig.take_write(is_verdict).unwrap();
    assert!(!rig.has(|effect| is_acknowledged(effect, 9)));
    rig.feed(Input::Written(write, Ok(())));
    assert!(rig.has(|effect| is_acknowledged(effect, 9)));
}

#[test]
fn a_verdict_that_the_disk_did_not_take_is_written_again_and_not_acknowledged() {
    let mut rig = Rig::paired();
    rig.verdict(|verdict| verdict.entitlement.standing = Standing::Suspended);
    for _ in 0..5 {
        let write = rig.take_write(is_verdict).expect("the verdict was given up");
        rig.feed(Input::Written(write, Err("no space left".to_owned())));
        assert!(!rig.has(|effect| is_acknowledged(effect, 9)));
        rig.seconds(60);
    }
    // A restart without a network must not find the lease of a suspended device.
    assert!(rig.has(|effect| matches!(effect, Effect::Write(_, Write::RemoveLease))));
    let write = rig.take_write(is_verdict).unwrap();
    rig.feed(Input::Written(write, Ok(())));
    assert!(rig.has(|effect| is_acknowledged(effect, 9)));
}

/// The broker delivers an unacknowledged message again on a new connection, on which the earlier packet ids are void.
#[test]
fn a_verdict_that_is_delivered_again_is_acknowledged_only_once_the_disk_has_it() {
    let mut rig = Rig::paired();
    let message = rig.signed_verdict(|verdict| verdict.entitlement.standing = Standing::Suspended);
    let topic = Topic::new(rig.record.device, Channel::Verdict).to_string();
    let deliver = |rig: &mut Rig, id| {
        let (topic, payload) = (topic.clone(), message.clone());
        rig.feed(Input::Link(LinkInput::Message { topic, payload, id: Some(MessageId(id)) }));
    };
    deliver(&mut rig, 20);
    let write = rig.take_write(is_verdict).unwrap();
    rig.feed(Input::Written(write, Err("no space left".to_owned())));
    rig.feed(Input::Link(LinkInput::Lost("gone".to_owned())));
    rig.feed(Input::Link(LinkInput::Connected));
    deliver(&mut rig, 21);
    assert!(!rig.has(|effect| is_acknowledged(effect, 21)), "acknowledged before it is on the disk");
    assert!(rig.core.status().refused.is_empty(), "a verdict that is delivered again counts as refused");
    rig.seconds(60);
    let write = rig.take_write(is_verdict).unwrap();
    rig.feed(Input::Written(write, Ok(())));
    assert!(rig.has(|effect| is_acknowledged(effect, 21)));
    deliver(&mut rig, 22);
    assert!(rig.has(|effect| is_acknowledged(effect, 22)));
}

#[test]
fn a_verdict_that_waits_for_another_ones_write_is_written_before_the_daemon_stops() {
    let mut rig = Rig::paired();
    rig.verdict(|_| {});
    let first = rig.take_write(is_verdict).unwrap();
    rig.verdict(|verdict| verdict.entitlement.standing = Standing::Suspended);
    assert!(rig.take_write(is_verdict).is_none(), "two verdicts are written at once");
    rig.stop();
    rig.feed(Input::Written(first, Ok(())));
    let second = rig.take_write(is_verdict).expect("the suspension is not on the disk");
    rig.feed(Input::Written(second, Ok(())));
    rig.seconds(3600);
    let is_last = |effect: &Effect| matches!(effect, Effect::Write(..) | Effect::Acknowledge(_));
    assert!(rig.effects.iter().all(is_last), "effects after the stop: {:?}", rig.effects);
}

#[test]
fn an_event_of_an_earlier_epoch_is_ignored() {
    let mut rig = Rig::paired();
    rig.event(EventKind::Revoke, EPOCH - 1);
    assert!(rig.has(|effect| is_acknowledged(effect, 8)));
    assert!(!rig.has(|effect| matches!(effect, Effect::Security(SecurityEvent::ORDER_REFUSED, ..))));
    assert!(!rig.has(is_increment));
    assert!(rig.core.status().refused.is_empty());
}

#[test]
fn an_event_of_a_later_epoch_is_refused() {
    let mut rig = Rig::paired();
    rig.event(EventKind::Revoke, EPOCH + 1);
    assert!(rig.has(|effect| matches!(effect, Effect::Security(SecurityEvent::ORDER_REFUSED, ..))));
    assert_eq!(rig.core.status().refused.get("wrong-epoch"), Some(&1));
}

fn word(name: &str) -> Word {
    name.parse().unwrap()
}

/// A newer control plane may send events of kinds that this version does not know.
#[test]
fn an_event_of_an_unknown_kind_is_acknowledged_recorded_once_and_not_refused() {
    let mut rig = Rig::paired();
    let kind = EventKind::from(word("rotate-keys"));
    for _ in 0..3 {
        rig.event_at(5, kind, EPOCH);
        assert!(rig.take(|effect| is_acknowledged(effect, 8).then_some(())).is_some());
    }
    let count = |rig: &Rig, wanted: fn(&Effect) -> bool| rig.effects.iter().filter(|e| wanted(e)).count();
    assert_eq!(count(&rig, |e| matches!(e, Effect::Security(SecurityEvent::ORDER_UNKNOWN, ..))), 1);
    assert_eq!(count(&rig, |e| matches!(e, Effect::Security(SecurityEvent::ORDER_REFUSED, ..))), 0);
    let is_ignored = |effect: &Effect| match effect {
        Effect::Record { fact: DeviceFact::Ignored { order, .. }, .. } => Some(*order),
        _ => None,
    };
    assert_eq!(rig.take(is_ignored), Some(kind));
    assert_eq!(rig.take(is_ignored), None);
    assert!(!rig.has(is_increment) && rig.core.status().refused.is_empty());
    rig.event_at(6, EventKind::Revoke, EPOCH);
    assert!(rig.has(is_increment), "the next event was not executed");
}

#[test]
fn a_verdict_with_an_unknown_result_or_standing_closes_the_gate_and_destroys_nothing() {
    let changes: [fn(&mut Verdict); 2] = [
        |verdict| verdict.result = Some(word("uncertain").into()),
        |verdict| verdict.entitlement.standing = word("quarantined").into(),
    ];
    for change in changes {
        let mut rig = Rig::paired();
        rig.lease(900);
        assert_eq!(rig.core.state(), DeviceState::Entitled);
        rig.verdict(|verdict| {
            verdict.lease = Some(lease(900_000));
            change(verdict);
        });
        assert_eq!(rig.core.state(), DeviceState::Lapsed);
        let problem = rig.core.status().problem.unwrap();
        assert_eq!(problem.error, "unknown-verdict");
        assert!(!rig.has(is_increment));
        assert!(rig.take_write(is_verdict).is_some());
        rig.lease(900);
        assert_eq!(rig.core.state(), DeviceState::Entitled, "the next verdict has no effect");
    }
}

#[test]
fn a_verdict_with_an_unknown_area_is_accepted() {
    let mut rig = Rig::paired();
    rig.verdict(|verdict| {
        verdict.areas.insert(word("supply-chain").into(), TrustTier::Affirming);
        verdict.lease = Some(lease(900_000));
    });
    assert!(rig.take_tpm(|command| matches!(command, TpmCommand::Unseal(_))).is_some());
}

#[test]
fn without_any_verdict_a_report_still_asks_for_a_nonce() {
    let mut rig = Rig::new();
    let found = Found { verdict: Some(b"damaged".to_vec()), lease: Some(b"damaged".to_vec()), ..rig.found() };
    rig.find(found);
    rig.feed(Input::Link(LinkInput::Connected));
    let ticket = rig.take_report().expect("the device never reports again");
    assert_eq!(rig.make_report(ticket).nonce, Nonce([0; 32]));
}

#[test]
fn a_report_without_a_subscriber_is_followed_by_another() {
    let mut rig = Rig::paired();
    rig.verdict(|_| {});
    let ticket = rig.take_report().unwrap();
    let evidence = rig.make_report(ticket);
    let digest = Digest::of(&pawl_proto::encode(&evidence).unwrap());
    rig.feed(Input::Link(LinkInput::Undelivered(ParcelKind::Posture(digest))));
    rig.seconds(2);
    assert!(rig.take_report().is_some());
}

#[test]
fn a_refused_subscription_is_shown_and_retried() {
    let mut rig = Rig::paired();
    rig.feed(Input::Link(LinkInput::SubscriptionRefused("refused by the ACL".to_owned())));
    let broker = rig.core.status().broker;
    assert!(broker.connected);
    assert_eq!(broker.error.as_deref(), Some("refused by the ACL"));
    for _ in 0..3 {
        rig.seconds(300);
        assert!(rig.take(|effect| matches!(effect, Effect::Subscribe).then_some(())).is_some());
        rig.feed(Input::Link(LinkInput::SubscriptionRefused("refused by the ACL".to_owned())));
    }
    rig.feed(Input::Link(LinkInput::Subscribed));
    assert_eq!(rig.core.status().broker.error, None);
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let run = || {
        let mut rig = Rig::paired();
        rig.lease(900);
        rig.feed(Input::VaultOpened(Vec::new()));
        rig.token(600);
        rig.seconds(500);
        rig.event(EventKind::Repair, EPOCH);
        rig.seconds(60);
        format!("{:?}", rig.effects)
    };
    assert_eq!(run(), run());
}

#[test]
fn messages_for_another_pairing_are_refused_and_counted_by_kind() {
    let mut rig = Rig::entitled(900);
    rig.verdict(|verdict| verdict.device = pawl_proto::DeviceId::from_digest([9; 32]));
    rig.verdict(|verdict| verdict.pairing = pawl_proto::PairingId::from_random([9; 16]));
    rig.verdict(|verdict| verdict.epoch = Epoch(EPOCH + 1));
    rig.verdict(|verdict| verdict.sequence = 0);
    let verdicts = Topic::new(rig.record.device, Channel::Verdict).to_string();
    let elsewhere = Topic::new(pawl_proto::DeviceId::from_digest([9; 32]), Channel::Verdict).to_string();
    let reports = Topic::new(rig.record.device, Channel::Posture).to_string();
    for topic in [verdicts, elsewhere, reports, "pawl/v1/none".to_owned()] {
        let payload = b"no message".to_vec();
        rig.feed(Input::Link(LinkInput::Message { topic, payload, id: Some(MessageId(1)) }));
    }
    let refused = rig.core.status().refused;
    let expected = [
        ("forged", 2),
        ("malformed", 1),
        ("replayed", 1),
        ("wrong-device", 2),
        ("wrong-epoch", 1),
        ("wrong-pairing", 1),
    ];
    assert_eq!(refused.iter().map(|(kind, count)| (kind.as_str(), *count)).collect::<Vec<_>>(), expected);
    assert_eq!(rig.core.state(), DeviceState::Entitled);
}
