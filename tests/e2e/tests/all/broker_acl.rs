//! A stranger's certificate reads and writes no device's topics, and a device's only its own.

use pawl_e2e::Rig;
use pawl_e2e::rig::{ClientCertificate, wait};
use pawl_proto::DeviceId;

use crate::support::Client;

const CHANNELS: [&str; 5] = ["status", "posture", "receipt", "verdict", "event"];
const WRITTEN_BY_DEVICE: [&str; 3] = ["status", "posture", "receipt"];
const READ_BY_DEVICE: [&str; 3] = ["verdict", "event", "status"];

#[test]
fn a_certificate_of_another_authority_does_not_get_in() {
    let rig = Rig::for_test().unwrap();
    let victim = id(1);
    let somebody = Client::new(&rig, ClientCertificate::of_stranger(&rig, &victim).unwrap());
    let topic = format!("pawl/v1/{victim}/status");
    Client::observer(&rig).publish(&topic, b"secret", true);

    assert_eq!(refused(&rig), 0);
    assert!(!somebody.publish(&topic, b"forged", false).status.success());
    wait_for_refusals(&rig, 1);
    assert_eq!(somebody.first_message(&[&topic]), None);
    wait_for_refusals(&rig, 2);
}

fn wait_for_refusals(rig: &Rig, count: usize) {
    wait::until("the broker refused the certificate", wait::SOON, || {
        anyhow::ensure!(refused(rig) >= count, "not refused in\n{}", rig.broker.log()?);
        Ok(())
    })
    .unwrap();
}

/// How many connections the broker has ended because of their certificate.
fn refused(rig: &Rig) -> usize {
    let log = rig.broker.log().unwrap();
    let reasons = ["certificate verify failed", "peer did not return a certificate"];
    log.lines().filter(|line| reasons.iter().any(|reason| line.contains(reason))).count()
}

#[test]
fn no_certificate_does_not_get_in() {
    let rig = Rig::for_test().unwrap();
    let device = id(1);
    let topic = format!("pawl/v1/{device}/status");
    let own = ClientCertificate::issued(&rig, &device).unwrap();
    let publish = |certificate: Option<&ClientCertificate>| {
        let mut command = std::process::Command::new("mosquitto_pub");
        command.args(["-V", "5", "-h", "127.0.0.1", "-p", &rig.broker.port().to_string()]);
        command.args(["-q", "1", "-t", &topic, "-m", "x", "--cafile"]).arg(rig.control_plane.ca());
        if let Some(own) = certificate {
            command.arg("--cert").arg(&own.certificate).arg("--key").arg(&own.key);
        }
        command.output().unwrap()
    };
    // The certificate is all that the two differ in.
    let with = publish(Some(&own));
    assert!(with.status.success(), "{with:?}");
    assert_eq!(refused(&rig), 0);
    let without = publish(None);
    assert!(!without.status.success(), "{without:?}");
    wait_for_refusals(&rig, 1);
}

#[test]
fn a_device_writes_its_own_topics_alone() {
    let rig = Rig::for_test().unwrap();
    let (device, victim) = (id(1), id(2));
    let client = Client::new(&rig, ClientCertificate::issued(&rig, &device).unwrap());
    let observer = Client::observer(&rig);
    let everything = observer.subscribe(&rig, "pawl/#");

    // The broker's answer, and no failed connection, keeps what is forged from the others.
    let forge = |topic: &str| {
        let output = client.publish(topic, b"forged", false);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("Not authorized"), "{topic}: {output:?}");
    };
    for channel in CHANNELS {
        forge(&format!("pawl/v1/{victim}/{channel}"));
    }
    for channel in ["verdict", "event"] {
        forge(&format!("pawl/v1/{device}/{channel}"));
    }
    forge("pawl/v1/fleet");
    for channel in WRITTEN_BY_DEVICE {
        let output = client.publish(&format!("pawl/v1/{device}/{channel}"), b"own", false);
        assert!(output.status.success() && output.stderr.is_empty(), "{channel}: {output:?}");
    }
    observer.publish("pawl/v1/end/status", b"end", false);

    let own: Vec<_> =
        WRITTEN_BY_DEVICE.iter().map(|channel| format!("pawl/v1/{device}/{channel} 6f776e")).collect();
    assert_eq!(everything.until("pawl/v1/end/status", b"end"), own);
}

#[test]
fn a_device_reads_its_own_topics_alone() {
    let rig = Rig::for_test().unwrap();
    let (device, victim) = (id(1), id(2));
    let client = Client::new(&rig, ClientCertificate::issued(&rig, &device).unwrap());
    let observer = Client::observer(&rig);
    for channel in CHANNELS {
        observer.publish(&format!("pawl/v1/{victim}/{channel}"), b"another's", true);
    }
    for channel in READ_BY_DEVICE {
        let own = format!("pawl/v1/{device}/{channel}");
        observer.publish(&own, b"own", true);
        // The retained messages come in the order of the filters: another's would come first.
        let message = client.first_message(&["#", &format!("pawl/v1/{victim}/{channel}"), &own]);
        assert_eq!(message.as_deref(), Some(format!("{own} own").as_str()));
        observer.publish(&own, b"", true);
    }
}

fn id(number: u8) -> String {
    DeviceId::from_digest([number; 32]).to_string()
}
