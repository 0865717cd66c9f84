//! A probe on the bus reads no secret.

use pawl_tpm::{LeaseStep, Options, Tpm};
use zeroize::Zeroizing;

use crate::rig::{ControlPlane, Exchange, Paired, Rig, command};

fn crossed(exchanges: &[Exchange], secret: &[u8]) -> bool {
    let contains = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
    exchanges.iter().any(|exchange| contains(&exchange.command) || contains(&exchange.response))
}

#[tokio::test]
async fn the_vault_key_never_crosses_in_the_clear() {
    let rig = Rig::new();
    // From the making on.
    let paired = Paired::new(&rig).await;
    let good = paired.lease().await;
    let expired = paired.control.grant(paired.control.terms(&paired.tpm, &paired.counter).await);
    let stranger = ControlPlane::new(2).grant(good.terms.clone());
    let unseal = |lease| paired.tpm.unseal(&paired.keys.vault, lease);

    let secret = unseal(&good).await.unwrap();
    // Failures of every kind, each followed by a success: attributes of a session do not survive a failure.
    assert_eq!(unseal(&expired).await.unwrap_err().lease_step(), Some(LeaseStep::Deadline));
    unseal(&good).await.unwrap();
    assert_eq!(unseal(&stranger).await.unwrap_err().lease_step(), Some(LeaseStep::Use));
    unseal(&good).await.unwrap();
    // The command itself fails, and is given again in the same session.
    const NV_RATE: u32 = 0x920;
    rig.proxy.answer(command::UNSEAL, NV_RATE);
    unseal(&good).await.unwrap();
    rig.proxy.interject(0, command::UNSEAL, command::pcr_extend(10));
    assert_eq!(unseal(&good).await.unwrap(), secret);

    let exchanges = rig.proxy.take();
    let answered = exchanges
        .iter()
        .filter(|exchange| exchange.code() == command::UNSEAL && exchange.response.len() > 42);
    assert_eq!(answered.count(), 5, "not the unseals that this test is about");
    assert!(!crossed(&exchanges, secret.as_slice()));
}

/// That the recording would show a secret that does cross.
#[tokio::test]
async fn the_recording_sees_what_crosses() {
    let rig = Rig::new();
    rig.write("plain", b"a secret of thirty-two bytes ....");
    rig.tool("tpm2_createprimary -c primary.ctx");
    rig.tool("tpm2_create -C primary.ctx -i plain -u sealed.pub -r sealed.priv");
    assert!(crossed(&rig.proxy.take(), b"a secret of thirty-two bytes ...."));
}

#[tokio::test]
async fn the_owner_authorization_never_crosses_in_the_clear() {
    let rig = Rig::new();
    let auth = b"the owner's authorization";
    rig.write("auth", auth);
    rig.tool("tpm2_changeauth -c owner file:auth");
    rig.proxy.take();
    let owner_auth = Some(Zeroizing::new(auth.to_vec()));
    let tpm = Tpm::start(Options { owner_auth, ..rig.options() }).unwrap();
    let counter = tpm.provision_counter().await.unwrap();
    tpm.create_keys(ControlPlane::new(1).binding(&counter)).await.unwrap();
    assert!(!crossed(&rig.proxy.take(), auth));
}
