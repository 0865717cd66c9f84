//! A device that goes out of service: retired, deleted, and enrolled again.

use pawl_e2e::Rig;
use pawl_e2e::rig::{DeviceOptions, wait};
use pawl_proto::message::DeviceState;
use serde_json::json;

#[test]
fn a_retired_device_wipes_itself_and_leaves_its_records_when_it_is_deleted() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("pump 4", DeviceOptions::default()).unwrap();
    let status = device.status().unwrap();
    let id = status.device.to_string();
    let operator = |arguments: &[&str]| rig.control_plane.operator(arguments).unwrap();
    assert!(rig.control_plane.operator(&["delete", "pump 4", "--yes"]).is_err(), "it is in service");

    operator(&["rename", "pump 4", "pump 4, old"]);
    let retired = operator(&["retire", "pump 4, old", "--reason", "scrapped", "--yes"]);
    assert_eq!((&retired["device"], &retired["order"]["kind"]), (&json!(id), &json!("revoke")));
    device.wait_for(DeviceState::Revoked).unwrap();
    assert_eq!(operator(&["devices"]), json!([]));
    wait::until("the control plane knows that the pairing has ended", wait::SOON, || {
        let line = operator(&["devices", "--retired"])[0].clone();
        assert_eq!((&line["device"], &line["status"]), (&json!(id), &json!("retired")));
        anyhow::ensure!(line["pairing"] == "ended", "{line}");
        Ok(())
    })
    .unwrap();

    // It asks again, and is as unknown as any other device that is not enrolled.
    device.pair().unwrap();
    wait::until("it is pending", wait::SOON, || {
        let pending = operator(&["pending"]);
        anyhow::ensure!(
            pending[0]["device"] == id.as_str() && pending[0]["retired_at"].is_u64(),
            "{pending}"
        );
        Ok(())
    })
    .unwrap();

    operator(&["delete", "pump 4, old", "--yes"]);
    assert_eq!(operator(&["devices", "--retired"]), json!([]));
    assert!(rig.control_plane.show(&id).unwrap_err().to_string().contains("was deleted"));
    let checked = operator(&["records", &id, "--verify"]);
    assert_eq!((&checked["failures"], &checked["receipts"]), (&json!([]), &json!(1)), "{checked:#}");

    operator(&[
        "enrol",
        &id.chars().take(6).collect::<String>(),
        "--label",
        "pump 4",
        "--scope",
        "telemetry",
        "--scope",
        "maintenance",
    ]);
    device.pair().unwrap();
    device.wait_until_entitled().unwrap();
    assert!(device.status().unwrap().pairing.unwrap().epoch > status.pairing.unwrap().epoch);
}
