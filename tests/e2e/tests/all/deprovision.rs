//! A device that leaves Pawl: nothing stays in its TPM, and it may come back.

use pawl_e2e::Rig;
use pawl_e2e::rig::DeviceOptions;

use crate::revocation::verified_receipt;
use crate::support::{Tpm2Tools, refusal};

#[test]
fn a_deprovisioned_tpm_holds_nothing_and_comes_back_in_a_later_epoch() {
    let rig = Rig::for_test().unwrap();
    let mut device = rig.paired_device("device", DeviceOptions::default()).unwrap();
    let status = device.status().unwrap();
    let (id, ended) = (status.device.to_string(), status.counter.unwrap());

    let answer = device.pawlctl(&["deprovision", "--yes"]).unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    assert_eq!(refusal(&device), "deprovisioned");
    verified_receipt(&rig, &id, ended.0);
    // Otherwise the counter would be back before anybody has taken the package away.
    let refused = device.pair().unwrap_err().to_string();
    assert!(refused.contains("deprovisioned"), "{refused}");

    device.stop().unwrap();
    let indices = Tpm2Tools::on(&device.tpm).run("tpm2_getcap", &["handles-nv-index"]);
    let indices = String::from_utf8(indices).unwrap().to_lowercase();
    assert!(!indices.contains("0x1805041"), "{indices}");

    device.start().unwrap();
    device.pair().unwrap();
    let status = device.wait_until_entitled().unwrap();
    assert!(status.pairing.unwrap().epoch > ended);
}
