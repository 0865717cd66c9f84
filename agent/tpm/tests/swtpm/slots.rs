//! A TPM has three slots for objects and three for sessions: nothing may stay in them.

use std::future::Future;

use crate::rig::{ControlPlane, Paired, Rig, command, selection};

const TRANSIENT: u32 = 0x8000_0000;
const LOADED_SESSION: u32 = 0x0200_0000;

/// Objects and sessions in the TPM.
fn taken(rig: &Rig) -> (usize, usize) {
    let count = |first| command::count_handles(&rig.proxy.send(&command::handles(first)));
    (count(TRANSIENT), count(LOADED_SESSION))
}

/// Runs an operation and checks that it leaves nothing but the attestation key.
async fn leaves_nothing<T>(
    rig: &Rig,
    what: &str,
    fails: bool,
    operation: impl Future<Output = Result<T, pawl_tpm::Error>>,
) {
    let result = operation.await.map(drop);
    assert_eq!(result.is_err(), fails, "{what}: {result:?}");
    assert_eq!(taken(rig), (1, 0), "{what} left something behind");
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let rig = Rig::certified();
    let p = Paired::new(&rig).await;
    let (tpm, keys) = (&p.tpm, &p.keys);
    tpm.identity().await.unwrap();
    assert_eq!(taken(&rig), (1, 0));

    let good = p.lease().await;
    let expired = p.control.grant(p.control.terms(tpm, &p.counter).await);
    let stranger = ControlPlane::new(2).grant(good.terms.clone());
    let mut forged = good.clone();
    forged.signature[5] ^= 1;
    let mut damaged = keys.vault.clone();
    damaged.private[30] ^= 1;
    let junk = pawl_tpm::Credential { id_object: vec![0; 60], secret: vec![1; 100] };

    leaves_nothing(&rig, "sign", false, tpm.sign_with_device(&keys.device, &good, [1; 32])).await;
    leaves_nothing(&rig, "unseal", false, tpm.unseal(&keys.vault, &good)).await;
    leaves_nothing(&rig, "certify", false, tpm.certify(&keys.link, [1; 32])).await;
    leaves_nothing(&rig, "quote", false, tpm.quote(&selection(), [1; 32])).await;
    leaves_nothing(&rig, "create", false, tpm.create_keys(p.binding())).await;
    leaves_nothing(&rig, "link", false, tpm.sign_with_link(&keys.link, p.counter.epoch, [1; 32])).await;
    for lease in [&expired, &stranger, &forged] {
        leaves_nothing(&rig, "sign, refused", true, tpm.sign_with_device(&keys.device, lease, [1; 32])).await;
        leaves_nothing(&rig, "unseal, refused", true, tpm.unseal(&keys.vault, lease)).await;
    }
    leaves_nothing(&rig, "unseal, damaged", true, tpm.unseal(&damaged, &good)).await;
    leaves_nothing(&rig, "activate, refused", true, tpm.activate_credential(junk)).await;
    leaves_nothing(&rig, "certify, damaged", true, tpm.certify(&damaged, [1; 32])).await;
    leaves_nothing(&rig, "link, other epoch", true, tpm.sign_with_link(&keys.link, 0, [1; 32])).await;

    p.tpm.close();
    assert_eq!(taken(&rig), (0, 0), "closing left something behind");
}

/// Whichever command of a long operation fails.
#[tokio::test]
async fn nothing_is_left_behind_wherever_it_fails() {
    let rig = Rig::new();
    let p = Paired::new(&rig).await;
    p.tpm.identity().await.unwrap();
    let lease = p.lease().await;
    rig.proxy.take();
    p.tpm.unseal(&p.keys.vault, &lease).await.unwrap();
    let mut codes: Vec<_> = rig.proxy.take().iter().map(crate::rig::Exchange::code).collect();
    codes.sort_unstable();
    codes.dedup();
    const FLUSH_CONTEXT: u32 = 0x165;
    const CONTEXT_LOAD: u32 = 0x161;
    assert!(codes.len() >= 9, "{codes:x?}");
    for code in codes {
        // TPM_RC_HANDLE; a failed flush is told apart below, and a context that cannot be loaded is made again.
        rig.proxy.answer(code, 0x18b);
        match code {
            FLUSH_CONTEXT => {
                // The connection is given up, and what it held goes with it.
                let _ = p.tpm.unseal(&p.keys.vault, &lease).await;
                p.tpm.identity().await.unwrap();
                assert_eq!(taken(&rig).1, 0);
            }
            CONTEXT_LOAD => {
                p.tpm.unseal(&p.keys.vault, &lease).await.unwrap();
                assert_eq!(taken(&rig), (1, 0), "{code:x}");
            }
            _ => leaves_nothing(&rig, &format!("{code:x}"), true, p.tpm.unseal(&p.keys.vault, &lease)).await,
        }
    }
    p.tpm.close();
    assert_eq!(taken(&rig), (0, 0));
}
