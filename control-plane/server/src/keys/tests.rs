use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::testing::{Device, Rig, request_for};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_made_once_is_found_again_and_private() {
    let rig = Rig::new();
    let dir = &rig.plane.config.state_dir;
    let again = Keys::load_or_create(&rig.plane.config).unwrap();
    assert!(rig.plane.keys.created && !again.created);
    assert_eq!(again.authority.certificate(), rig.plane.keys.authority.certificate());
    assert_eq!(again.signing.lease.name(), rig.plane.keys.signing.lease.name());
    assert_eq!(mode(dir), 0o700);
    for entry in std::fs::read_dir(dir).unwrap().chain(std::fs::read_dir(dir.join("broker")).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_file() && !path.display().to_string().contains("sqlite") {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    let rig = Rig::new();
    let dir = &rig.plane.config.state_dir;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o750)).unwrap();
    let error = Keys::load_or_create(&rig.plane.config).err().unwrap().to_string();
    assert!(error.contains("chmod 0700"), "{error}");
}

#[test]
fn a_damaged_key_is_named() {
    let rig = Rig::new();
    let path = rig.plane.config.state_dir.join("order.key");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let error = Keys::load_or_create(&rig.plane.config).err().unwrap().to_string();
    assert!(error.contains("order.key"), "{error}");
}

#[test]
fn a_link_certificate_is_for_the_certified_key_alone() {
    let rig = Rig::new();
    let authority = &rig.plane.keys.authority;
    let device = Device::new();
    let (link, other) = (&device.link_key, &device.device_key);
    let name = device.id().to_string();

    let request = request_for(link);
    assert!(authority.link_certificate(&name, link.verifying_key(), request.as_bytes()).is_ok());
    let foreign = authority.link_certificate(&name, other.verifying_key(), request.as_bytes());
    assert!(matches!(foreign, Err(LinkRequestError::OtherKey)));
    let mut altered = request.into_vec();
    *altered.last_mut().unwrap() ^= 1;
    let forged = authority.link_certificate(&name, link.verifying_key(), &altered);
    assert!(matches!(forged, Err(LinkRequestError::Signature)));
}
