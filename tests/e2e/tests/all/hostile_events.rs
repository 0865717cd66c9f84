//! Hostile events: the daemon refuses, counts and logs each once, and keeps working.

mod forgery;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions, TokenAnswer};
use pawl_proto::message::{DeviceState, Event, EventKind};
use pawl_proto::{Channel, DeviceId, Epoch, Topic};

use crate::support::Client;
use forgery::Forger;

#[test]
fn hostile_events_are_refused_counted_and_survived() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let pid = device.pid().unwrap();
    let id = device.status().unwrap().device;
    let epoch = device.status().unwrap().counter.unwrap();
    let elsewhere = DeviceId::from_digest([9; 32]);
    let topic = Topic::new(id, Channel::Event);
    // The broker and everybody who can write to it may be hostile; the order key is not theirs.
    let broker = Client::observer(&rig);
    let send = |payload: &[u8]| assert!(broker.publish(&topic.to_string(), payload, false).status.success());
    let forger = Forger::with_order_key(&rig);
    let revoke = forger.event(id, epoch, EventKind::Revoke);

    // A genuine order: the daemon must refuse its replay.
    let reports = device.status().unwrap().verdict.unwrap().reports;
    let ordered = rig.control_plane.refresh(id.as_str()).unwrap();
    device.wait_until("it reports", |s| s.verdict.as_ref().is_some_and(|v| v.reports > reports)).unwrap();
    let sequence = ordered["sequence"].as_u64().unwrap();
    let genuine = forger.sign(&Event { sequence, ..forger.event(id, epoch, EventKind::Refresh) }, topic);

    let mut tampered = forger.sign(&revoke, topic);
    *tampered.last_mut().unwrap() ^= 1;
    let hostile = [
        ("forged", Forger::with_own_key().sign(&revoke, topic)),
        ("forged", tampered),
        ("forged", forger.sign(&revoke, Topic::new(id, Channel::Verdict))),
        (
            "forged",
            forger.sign(
                &forger.event(elsewhere, epoch, EventKind::Revoke),
                Topic::new(elsewhere, Channel::Event),
            ),
        ),
        ("wrong-device", forger.sign(&forger.event(elsewhere, epoch, EventKind::Revoke), topic)),
        // The broker retains the event that ended an earlier epoch: that is no attack, and is not counted.
        ("history", forger.sign(&forger.event(id, Epoch(epoch.0 - 1), EventKind::Revoke), topic)),
        ("wrong-epoch", forger.sign(&forger.event(id, Epoch(epoch.0 + 1), EventKind::Revoke), topic)),
        ("replayed", genuine.clone()),
        ("replayed", forger.sign(&Event { sequence, ..revoke.clone() }, topic)),
        ("oversize", vec![0xa0; pawl_proto::limits::ORDER + 1]),
        ("malformed", b"".to_vec()),
        ("malformed", vec![0x81; 4000]),
        ("malformed", forger.sign_payload(&[0x81; 4000], topic)),
        ("malformed", genuine[..genuine.len() / 2].to_vec()),
        ("malformed", forger.sign_payload(&forgery::not_canonical(&revoke), topic)),
        ("malformed", forger.sign_payload(&forgery::of_another_version(&revoke), topic)),
    ];
    for round in 1..=3 {
        for (_, payload) in &hostile {
            send(payload);
        }
        for kind in ["forged", "wrong-device", "wrong-epoch", "replayed", "oversize", "malformed"] {
            let sent = round * u64::try_from(hostile.iter().filter(|(k, _)| *k == kind).count()).unwrap();
            let counted = device.wait_until(&format!("{sent} are counted as {kind}"), |status| {
                status.refused.get(kind).is_some_and(|count| *count >= sent)
            });
            assert_eq!(counted.unwrap().refused[kind], sent, "{kind}");
        }
    }
    assert_unharmed(&device, pid);
    assert_eq!(device.status().unwrap().refused.len(), 6, "history was refused");
    assert_logged_once_a_kind(&device);

    rig.control_plane.revoke(id.as_str(), "a genuine order").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
}

fn assert_unharmed(device: &Device, pid: u32) {
    assert_eq!(device.pid(), Some(pid));
    assert_eq!(device.status().unwrap().state, DeviceState::Entitled);
    assert!(matches!(device.token().unwrap(), TokenAnswer::Granted(_)));
}

fn assert_logged_once_a_kind(device: &Device) {
    let log = device.log().unwrap();
    let refusals: Vec<_> = log.lines().filter(|line| line.contains("a message was refused")).collect();
    for kind in ["forged", "wrong-device", "wrong-epoch", "replayed", "oversize", "malformed"] {
        let lines = refusals.iter().filter(|line| line.contains(kind)).count();
        assert_eq!(lines, 1, "{kind}: {refusals:#?}");
    }
}
