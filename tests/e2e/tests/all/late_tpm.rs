//! A daemon whose TPM is not there yet waits for it, and says so. That it goes on when the driver comes is
//! shown where there are drivers: `tests/vm`.

use pawl_e2e::Rig;
use pawl_e2e::rig::DeviceOptions;

#[test]
fn a_daemon_without_its_tpm_waits_answers_and_stops_cleanly() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    device.stop().unwrap();
    device.start_without_tpm().unwrap();
    let daemon = device.pid().unwrap();

    for command in [["entitled", "--json"], ["token", "telemetry"], ["status", "--json"]] {
        let output = device.pawlctl(&command).unwrap();
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(69), "{command:?}: {printed}");
        assert!(printed.contains("cannot reach a TPM at device:/nonexistent/tpmrm0"), "{printed}");
    }
    assert_eq!(device.pid(), Some(daemon), "it was started again");
    device.stop().unwrap();

    device.start().unwrap();
    device.wait_until_entitled().unwrap();
}
