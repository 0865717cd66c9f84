//! Tests that a lease names the PCRs of the device's boot chain, and that a boot chain which measures too little gets
//! no lease.

use pawl_evidence::eventlog::EventLog;
use pawl_evidence::tpm::HashAlgorithm;
use pawl_proto::PcrValue;
use pawl_proto::message::{RefusalCode, TrustTier};

use crate::orders::{self, OrderError};
use crate::refusal::RequestError;
use crate::testing::{Device, Reporting, Rig};

const GOOD: &[u8] = include_bytes!("../../../../tests/fixtures/uboot-bootm-real.bin");
const CHANGED: &[u8] = include_bytes!("../../../../tests/fixtures/uboot-bootm-real-cmdline-changed.bin");
const LEASED: [u8; 9] = [0, 1, 2, 4, 7, 8, 9, 12, 14];

#[tokio::test]
async fn the_lease_of_a_u_boot_device_names_the_pcr_of_its_command_line() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    boot(&mut device, GOOD);
    let request = device.request();
    let (mut reporting, verdict) = Reporting::pair(&rig, device, request).await;
    assert_eq!(verdict.result, Some(TrustTier::Affirming), "{:?}", verdict.reasons);
    assert_eq!(verdict.lease.unwrap().pcrs, LEASED);
    assert_eq!(reporting.steady().await.lease.unwrap().pcrs, LEASED);

    boot(&mut reporting.device, CHANGED);
    let verdict = reporting.report().await;
    assert_eq!((verdict.result, verdict.lease), (Some(TrustTier::Contraindicated), None));
    assert!(verdict.reasons[0].as_str().contains("PCR 1 "), "{:?}", verdict.reasons);

    // If the device withholds its log, the control plane compares the same PCRs.
    reporting.device.boot_log = None;
    let verdict = reporting.report().await;
    assert_eq!((verdict.result, verdict.lease), (Some(TrustTier::Contraindicated), None));
    boot(&mut reporting.device, GOOD);
    assert_eq!(reporting.report().await.lease.unwrap().pcrs, LEASED);
}

#[tokio::test]
async fn a_boot_chain_that_does_not_measure_the_command_line_is_neither_paired_nor_accepted() {
    let rig = Rig::new();
    let mut device = Device::enrolled(&rig.plane).await;
    boot(&mut device, &without_bootargs());
    let Err(RequestError::Refused(refusal)) = device.pair(&rig.plane).await else { panic!("paired") };
    assert_eq!(refusal.code, RefusalCode::Posture);
    assert!(refusal.message.contains("covers the kernel's command line"), "{}", refusal.message);
    let id = device.id();
    let states = rig.plane.store.transaction(move |tx| tx.boot_states(id)).await.unwrap();
    assert_eq!(states, [], "no state was stored as a reference");
    let accepted = orders::accept(&rig.plane, id, rig.reported(id).await).await;
    assert!(matches!(accepted, Err(OrderError::Uncovered(_))), "{accepted:?}");

    boot(&mut device, GOOD);
    device.pair(&rig.plane).await.unwrap();
    assert_eq!(
        orders::accept(&rig.plane, id, rig.reported(id).await).await.unwrap().0,
        1,
        "the operator accepts the state of the first pairing"
    );
}

/// The operator may choose a policy that leaves the command line open; the verdict then has a warning.
#[tokio::test]
async fn under_a_policy_an_uncovered_command_line_is_a_warning() {
    let rig = Rig::new();
    rig.set_policy(
        "secure-boot.required = false\n[firmware]\naccept-any-version = true\naccept-any-content = true\n\
         [pcr.8]\nunexplained = 'allow'\n[pcr.9]\nunexplained = 'allow'\n",
    );
    let mut device = Device::enrolled(&rig.plane).await;
    boot(&mut device, &without_bootargs());
    let request = device.request();
    let (_, verdict) = Reporting::pair(&rig, device, request).await;
    assert_eq!(verdict.result, Some(TrustTier::Warning), "{:?}", verdict.reasons);
    assert!(verdict.reasons[0].as_str().contains("boot.coverage"), "{:?}", verdict.reasons);
}

/// Sets the TPM's PCRs to their values after this boot.
fn boot(device: &mut Device, log: &[u8]) {
    let replayed = EventLog::parse(log).unwrap().replay().unwrap();
    device.tpm.reset_count += 1;
    for (index, value) in &mut device.tpm.pcrs {
        let extended = replayed.get(HashAlgorithm::Sha256, *index);
        *value = extended.map_or(PcrValue::Sha256([0; 32]), |value| PcrValue::new(value.as_bytes()).unwrap());
    }
    device.boot_log = Some(log.to_vec());
}

/// Returns the log `GOOD` without the event of the command line.
fn without_bootargs() -> Vec<u8> {
    let offsets: Vec<(usize, u8)> = EventLog::parse(GOOD)
        .unwrap()
        .events()
        .map(|event| event.unwrap())
        .map(|event| (event.offset, event.pcr))
        .collect();
    let at = offsets.iter().position(|(_, pcr)| *pcr == 1).unwrap();
    [&GOOD[..offsets[at].0], &GOOD[offsets[at + 1].0..]].concat()
}
