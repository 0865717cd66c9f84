//! Errors that are no fault of a lease: retried, or told with their remedy.

use pawl_tpm::{Class, EndorsementChoice, EndorsementKind, Error, Options, Tpm};

use crate::endorsement::credential;
use crate::rig::{Paired, Rig, command, selection, verify};

#[tokio::test]
async fn a_busy_tpm_is_asked_again() {
    const RETRY: u32 = 0x922;
    const TESTING: u32 = 0x90a;
    const YIELDED: u32 = 0x908;
    const NV_RATE: u32 = 0x920;
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    // The TSS itself asks again a few times, without a pause.
    for code in [[RETRY; 7], [TESTING; 7], [YIELDED; 7]].concat() {
        rig.proxy.answer(command::QUOTE, code);
    }
    paired.tpm.quote(&selection(), [1; 32]).await.unwrap();
    rig.proxy.answer(command::NV_INCREMENT, NV_RATE);
    paired.tpm.revoke().await.unwrap();
    assert_eq!(paired.tpm.counter().await.unwrap().unwrap().epoch, paired.counter.epoch + 1);
}

#[tokio::test]
async fn lockout_does_not_touch_our_keys() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let lease = paired.lease().await;
    rig.tool("tpm2_dictionarylockout -s -n 1 -t 1000 -l 1000");
    rig.tool("tpm2_nvdefine -C o 0x01800001 -s 8 -a authread|authwrite -p right");
    rig.try_tool("tpm2_nvread -C 0x01800001 -P wrong 0x01800001").unwrap_err();
    let properties = rig.tool("tpm2_getcap properties-variable");
    assert!(properties.lines().any(|line| line.split_whitespace().eq(["inLockout:", "1"])), "{properties}");

    paired.tpm.sign_with_device(&paired.keys.device, &lease, [1; 32]).await.unwrap();
    paired.tpm.unseal(&paired.keys.vault, &lease).await.unwrap();
    paired.tpm.quote(&selection(), [1; 32]).await.unwrap();
    paired.tpm.certify_counter([1; 32]).await.unwrap();
    paired.tpm.revoke().await.unwrap();

    // Nor does it touch the endorsement keys, which are under the lockout's protection but for their policy.
    for kind in [EndorsementKind::Rsa2048, EndorsementKind::EccP256, EndorsementKind::EccP384] {
        let tpm =
            Tpm::start(Options { endorsement: EndorsementChoice::Only(kind), ..rig.options() }).unwrap();
        let identity = tpm.identity().await.unwrap();
        let sent = credential(&identity.ek_public, &identity.ak_name, &[0xa5; 32]);
        assert_eq!(*tpm.activate_credential(sent).await.unwrap(), [0xa5; 32], "{kind}");
        tpm.close();
    }
}

#[tokio::test]
async fn lockout_is_told() {
    const LOCKOUT: u32 = 0x921;
    const CREATE_PRIMARY: u32 = 0x131;
    let rig = Rig::new();
    let tpm = rig.open();
    rig.proxy.answer(CREATE_PRIMARY, LOCKOUT);
    let error = tpm.identity().await.unwrap_err();
    assert_eq!(error.response_code().unwrap().class(), Class::Lockout, "{error}");
    assert!(error.to_string().contains("TPM_RC_LOCKOUT (0x921)"), "{error}");
    assert!(error.remedy().contains("tpm2_dictionarylockout"));
}

#[tokio::test]
async fn full_slots_are_told() {
    const OBJECT_MEMORY: u32 = 0x902;
    const CREATE_PRIMARY: u32 = 0x131;
    let rig = Rig::new();
    let tpm = rig.open();
    rig.proxy.answer(CREATE_PRIMARY, OBJECT_MEMORY);
    let error = tpm.identity().await.unwrap_err();
    assert_eq!(error.response_code().unwrap().class(), Class::Memory, "{error}");
    assert!(error.remedy().contains("tpmrm0"));
}

#[tokio::test]
async fn a_tpm_that_is_not_there() {
    let tcti: pawl_tpm::Tcti = "swtpm:path=/nonexistent/tpm.sock".parse().unwrap();
    let error = Tpm::start(Options::new(tcti)).map(drop).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/tpm.sock"), "{error}");
}

#[tokio::test]
async fn a_tpm_that_was_reset_is_used_again() {
    let mut rig = Rig::new();
    let paired = Paired::new(&rig).await;
    paired.tpm.quote(&selection(), [1; 32]).await.unwrap();
    rig.reset();
    let attestation = paired.tpm.quote(&selection(), [1; 32]).await.unwrap();
    verify(&paired.tpm, &attestation, [1; 32]).await;
    rig.reset();
    paired.tpm.revoke().await.unwrap();
}

#[tokio::test]
async fn a_tpm_that_is_gone_for_a_while_is_used_again() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    rig.unplug();
    let error = paired.tpm.clock().await.unwrap_err();
    assert_eq!(error.response_code().unwrap().class(), Class::Transport, "{error}");
    let error = paired.tpm.clock().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    rig.plug();
    paired.tpm.clock().await.unwrap();
    paired.tpm.revoke().await.unwrap();
}
