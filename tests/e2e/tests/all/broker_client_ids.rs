//! The broker takes the client id from the certificate: no client evicts another one, reads its
//! session or destroys what waits in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pawl_e2e::Rig;
use pawl_e2e::rig::{ClientCertificate, DeviceOptions, wait};
use pawl_proto::DeviceId;
use pawl_proto::message::DeviceState;

use crate::revocation::verified_receipt;
use crate::support::Client;

const CONTROL_PLANE: &str = "pawl-control-plane";
/// Far above what an order takes, and far below what reconnects of an evicted client would add.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_device_does_not_evict_the_control_plane_and_a_revocation_is_not_delayed() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let attacker = attacker(&rig).with_client_id(CONTROL_PLANE);

    let took = during(&attacker, || {
        rig.control_plane.revoke(&id, "reported stolen").unwrap();
        device.wait_for(DeviceState::Revoked).unwrap();
    });

    assert!(took < AT_ONCE, "the revocation took {took:?}");
    assert_not_evicted(&rig, CONTROL_PLANE);
    let log = rig.control_plane.log().unwrap();
    assert!(!log.contains("no connection to the broker"), "{log}");
}

#[test]
fn a_device_does_not_evict_another_device_and_its_suspension_is_not_delayed() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let attacker = attacker(&rig).with_client_id(&id);

    let took = during(&attacker, || {
        rig.control_plane.suspend(&id, "audit").unwrap();
        device.wait_for(DeviceState::Lapsed).unwrap();
    });

    assert!(took < AT_ONCE, "the suspension took {took:?}");
    assert_not_evicted(&rig, &id);
}

#[test]
fn the_control_planes_certificate_evicts_no_device_under_its_id() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let thief = Client::new(&rig, ClientCertificate::of_control_plane(&rig)).with_client_id(&id);
    assert!(thief.connect_clean().status.success());
    assert_not_evicted(&rig, &id);
    assert!(device.status().unwrap().broker.connected);
}

#[test]
fn a_client_that_came_first_under_anothers_id_is_not_evicted_and_keeps_nothing_from_it() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    rig.control_plane.stop().unwrap();
    device.stop().unwrap();
    // The broker has forgotten both of them: the attackers find no session of theirs.
    rig.broker.stop().unwrap();
    rig.broker.forget().unwrap();
    rig.broker.resume().unwrap();
    let squatters = [("1", CONTROL_PLANE), ("2", id.as_str())].map(|(number, offered)| {
        let name = device_id(number.parse().unwrap());
        let certificate = ClientCertificate::issued(&rig, &name).unwrap();
        let client = Client::new(&rig, certificate).with_client_id(offered);
        client.subscribe(&rig, &format!("pawl/v1/{name}/status"))
    });

    rig.control_plane.start().unwrap();
    device.start().unwrap();
    device.wait_until("it is connected", |status| status.broker.connected).unwrap();
    rig.control_plane.suspend(&id, "audit").unwrap();
    device.wait_for(DeviceState::Lapsed).unwrap();

    let log = rig.broker.log().unwrap();
    for name in [CONTROL_PLANE, &id, &device_id(1), &device_id(2)] {
        assert!(!log.contains(&eviction(name)), "{name} was evicted:\n{log}");
    }
    drop(squatters);
}

#[test]
fn a_clean_start_under_the_control_planes_id_destroys_no_queued_receipt() {
    let mut rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();
    let receipts = Client::observer(&rig).subscribe(&rig, &format!("pawl/v1/{id}/receipt"));
    rig.control_plane.kill().unwrap();
    let wiped = device.wipe("nobody listens").unwrap();
    receipts.first();
    // The broker's queue alone has the receipt now.
    device.kill().unwrap();

    assert!(attacker(&rig).with_client_id(CONTROL_PLANE).connect_clean().status.success());
    rig.control_plane.start().unwrap();
    verified_receipt(&rig, &id, wiped.ended.0);
}

#[test]
fn a_clean_start_under_a_devices_id_destroys_nothing_that_waits_for_it() {
    let rig = Rig::for_test().unwrap();
    let name = device_id(1);
    let victim = Client::new(&rig, ClientCertificate::issued(&rig, &name).unwrap()).with_client_id(&name);
    let topic = format!("pawl/v1/{name}/verdict");
    victim.leave_session(&topic);
    Client::observer(&rig).publish(&topic, b"waits", false);

    let control_plane = Client::new(&rig, ClientCertificate::of_control_plane(&rig));
    for other in [attacker(&rig), control_plane] {
        assert!(other.with_client_id(&name).connect_clean().status.success());
    }
    assert_eq!(victim.first_of_session(&topic), Some(format!("{topic} waits")));
}

#[test]
fn the_control_plane_says_what_to_change_where_the_broker_does_not_bind_client_ids() {
    const FREE: &str = "use_username_as_clientid true";
    let mut rig = Rig::for_test().unwrap();
    control_plane_logs(&rig, "the broker takes client ids from certificates");
    assert!(!rig.control_plane.log().unwrap().contains(FREE));

    rig.broker.restart_without("use_username_as_clientid").unwrap();
    let line = control_plane_logs(&rig, FREE);
    assert!(line.contains("ERROR"), "{line}");
    // The check itself disturbs nobody.
    assert_not_evicted(&rig, CONTROL_PLANE);
    // It goes on: a control plane that stopped would deliver no revocation.
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    rig.control_plane.revoke(device.status().unwrap().device.as_str(), "stolen").unwrap();
    device.wait_for(DeviceState::Revoked).unwrap();
}

/// Waits for a line of the control plane's log with this text.
fn control_plane_logs(rig: &Rig, text: &str) -> String {
    wait::until("the control plane has checked the broker", wait::SOON, || {
        let log = rig.control_plane.log()?;
        let line = log.lines().find(|line| line.contains(text)).map(str::to_owned);
        line.ok_or_else(|| anyhow::anyhow!("no `{text}` among\n{log}"))
    })
    .unwrap()
}

/// Connects over and over, with clean starts, while `work` runs. The time that `work` took.
fn during(attacker: &Client, work: impl FnOnce()) -> Duration {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let attack = scope.spawn(|| {
            let mut connections = 0;
            while !over.load(Ordering::Relaxed) {
                assert!(attacker.connect_clean().status.success());
                connections += 1;
            }
            connections
        });
        let start = Instant::now();
        // Ends the attack also when the work panics.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let took = start.elapsed();
        over.store(true, Ordering::Relaxed);
        let connections: u32 = attack.join().unwrap();
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(connections > 0, "nothing was attacked");
        took
    })
}

/// Somebody with the certificate of another device.
fn attacker(rig: &Rig) -> Client {
    Client::new(rig, ClientCertificate::issued(rig, &device_id(7)).unwrap())
}

fn assert_not_evicted(rig: &Rig, client: &str) {
    let log = rig.broker.log().unwrap();
    assert!(!log.contains(&eviction(client)), "{client} was evicted:\n{log}");
}

/// What mosquitto logs before it closes a connection whose client id somebody else came with.
fn eviction(client: &str) -> String {
    format!("Client {client} already connected, closing old connection")
}

fn device_id(number: u8) -> String {
    DeviceId::from_digest([number; 32]).to_string()
}
