//! A TPM has three slots for objects and three for sessions: nothing may stay in them.

use std::{
    future::{Future, poll_fn},
    task::Poll,
};

use pawl_proto::message::Credential;
use pawl_tpm::Error;

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
    operation: impl Future<Output = Result<T, Error>>,
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
    let junk =
        Credential { id_object: vec![0; 60].try_into().unwrap(), secret: vec![1; 100].try_into().unwrap() };

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

#[tokio::test]
async fn no_action_leaves_anything_behind() {
    let rig = Rig::new();
    let p = Paired::new(&rig).await;
    p.tpm.identity().await.unwrap();
    let signature_over = |digest| act(&p, &p.control, p.counter.epoch, digest);
    leaves_nothing(&rig, "action", false, signature_over(DIGEST)).await;
    leaves_nothing(&rig, "action, not authorized", true, signature_over([2; 32])).await;
    leaves_nothing(&rig, "action, other epoch", true, act(&p, &p.control, 0, DIGEST)).await;
    let stranger = ControlPlane::new(2);
    leaves_nothing(&rig, "action, other authority", true, act(&p, &stranger, p.counter.epoch, DIGEST)).await;

    let pending = p.tpm.begin_action().await.unwrap();
    assert_eq!(taken(&rig), (1, 1));
    leaves_nothing(&rig, "action, given up", false, async {
        drop(pending);
        p.tpm.clock().await
    })
    .await;
    leaves_nothing(&rig, "action, not waited for", false, async {
        let mut begin = Box::pin(p.tpm.begin_action());
        let pending = poll_fn(|context| Poll::Ready(begin.as_mut().poll(context).is_pending())).await;
        assert!(pending);
        drop(begin);
        p.tpm.clock().await
    })
    .await;

    let _under_way = p.tpm.begin_action().await.unwrap();
    p.tpm.close();
    assert_eq!(taken(&rig), (0, 0), "closing left something behind");
}

const DIGEST: [u8; 32] = [1; 32];

/// A signature over `digest`, where one over [`DIGEST`] is authorized.
async fn act(p: &Paired, control: &ControlPlane, epoch: u64, digest: [u8; 32]) -> Result<[u8; 64], Error> {
    let pending = p.tpm.begin_action().await?;
    let authorization = control.authorize(&p.keys.action, pending.nonce_tpm(), 60, &DIGEST);
    p.tpm.complete_action(pending, &p.keys.action, epoch, &authorization, digest).await
}

#[tokio::test]
async fn nothing_is_left_behind_wherever_it_fails() {
    let rig = Rig::new();
    let p = Paired::new(&rig).await;
    p.tpm.identity().await.unwrap();
    let lease = p.lease().await;
    wherever_it_fails(&rig, &p, async || p.tpm.unseal(&p.keys.vault, &lease).await.map(drop)).await;
    wherever_it_fails(&rig, &p, async || act(&p, &p.control, p.counter.epoch, DIGEST).await.map(drop)).await;
    p.tpm.close();
    assert_eq!(taken(&rig), (0, 0));
}

/// Whichever command of a long operation fails.
async fn wherever_it_fails(rig: &Rig, p: &Paired, operation: impl AsyncFn() -> Result<(), Error>) {
    rig.proxy.take();
    operation().await.unwrap();
    let mut codes: Vec<_> = rig.proxy.take().iter().map(crate::rig::Exchange::code).collect();
    codes.sort_unstable();
    codes.dedup();
    const CONTEXT_LOAD: u32 = 0x161;
    assert!(codes.len() >= 8, "{codes:x?}");
    for code in codes {
        // TPM_RC_HANDLE; a failed flush is distinguished below, and a context that cannot be loaded is made again.
        rig.proxy.answer(code, 0x18b);
        match code {
            command::FLUSH_CONTEXT => {
                // The connection is given up, and what it held goes with it.
                let _ = operation().await;
                p.tpm.identity().await.unwrap();
                assert_eq!(taken(rig).1, 0);
            }
            CONTEXT_LOAD => {
                operation().await.unwrap();
                assert_eq!(taken(rig), (1, 0), "{code:x}");
            }
            _ => leaves_nothing(rig, &format!("{code:x}"), true, operation()).await,
        }
    }
}
