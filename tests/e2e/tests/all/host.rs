//! What a device says of its host, and how operators find devices by it.

use pawl_e2e::Rig;
use pawl_e2e::rig::DeviceOptions;

#[test]
fn a_report_tells_how_the_host_is_doing_and_devices_are_found_by_it() {
    let rig = Rig::for_test().unwrap();
    let device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let id = device.status().unwrap().device.to_string();

    let shown = rig.control_plane.show(&id).unwrap();
    for field in ["uptime", "memory", "state", "root"] {
        assert!(shown["health"][field].as_u64().unwrap() > 0, "{field}: {shown}");
    }
    assert_eq!(shown["host"]["agent"], env!("CARGO_PKG_VERSION"));

    let found = |conditions: &[&str]| {
        let conditions = conditions.iter().flat_map(|condition| ["--where", condition]);
        let arguments: Vec<&str> = std::iter::once("devices").chain(conditions).collect();
        let lines = rig.control_plane.operator(&arguments).unwrap();
        lines.as_array().unwrap().iter().map(|line| line["device"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["memory>0", "agent=0.*"]), [format!("\"{id}\"")]);
    assert_eq!(found(&["memory>0", "agent!=0.*"]), [""; 0]);
    let error = rig.control_plane.operator(&["devices", "--where", "disk<5"]).unwrap_err().to_string();
    assert!(error.contains("the fields are label"), "{error}");
}
