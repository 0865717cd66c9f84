//! The action key signs what the control plane authorizes, once. Each refusal is the TPM's own.

use std::{
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant},
};

use pawl_tpm::{ActionStep, Authorization, Error, LeaseStep, PendingAction};

use crate::rig::{ControlPlane, Exchange, Paired, Rig, assert_signed, command};

const DIGEST: [u8; 32] = [0x42; 32];
const OTHER_DIGEST: [u8; 32] = [0x43; 32];
const SOON: u16 = 60;

const POLICY: u32 = 0x126;
/// TPM_RC_POLICY_FAIL of session 1.
const POLICY_FAIL: u32 = 0x99d;
/// The parameters of TPM2_PolicySigned by their numbers: 1 nonceTPM, 4 expiration, 5 auth.
const NONCE_1: u32 = 0x1cf;
const EXPIRED_4: u32 = 0x4e3;
const SIGNATURE_5: u32 = 0x5db;

impl Paired {
    async fn begin(&self) -> PendingAction {
        self.tpm.begin_action().await.unwrap()
    }

    fn authorize(&self, pending: &PendingAction) -> Authorization {
        self.control.authorize(&self.keys.action, pending.nonce_tpm(), SOON, &DIGEST)
    }

    async fn complete(
        &self,
        pending: PendingAction,
        authorization: &Authorization,
    ) -> Result<[u8; 64], Error> {
        let (key, epoch) = (&self.keys.action, self.counter.epoch);
        self.tpm.complete_action(pending, key, epoch, authorization, DIGEST).await
    }

    /// That one that is like those refused, but for the one thing, is taken.
    async fn assert_works(&self) {
        let pending = self.begin().await;
        let authorization = self.authorize(&pending);
        let signature = self.complete(pending, &authorization).await.unwrap();
        assert_signed(&self.keys.action, &DIGEST, &signature);
    }
}

#[track_caller]
fn assert_refused(result: Result<[u8; 64], Error>, step: ActionStep, code: u32) {
    let Err(error) = result else { panic!("the TPM did not refuse") };
    assert_eq!(error.action_step(), Some(step), "{error}");
    assert_eq!(error.response_code().unwrap().raw(), code, "{error}");
    assert!(!error.remedy().is_empty());
}

#[tokio::test]
async fn it_signs_what_was_authorized() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    paired.assert_works().await;
    paired.assert_works().await;
}

/// Root has kept session, keys and every byte.
#[tokio::test]
async fn a_session_is_good_for_one_signature() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let pending = paired.begin().await;
    let authorization = paired.authorize(&pending);
    rig.proxy.take();
    const SUCCESS: u32 = 0;
    for _ in 0..4 {
        rig.proxy.answer(command::FLUSH_CONTEXT, SUCCESS);
    }
    paired.complete(pending, &authorization).await.unwrap();

    let sent = rig.proxy.take();
    let again = |code| {
        let exchange = sent.iter().find(|exchange| exchange.code() == code).unwrap();
        command::response_code(&rig.proxy.send(&exchange.command))
    };
    assert_eq!(sent.iter().filter(|exchange| exchange.code() == command::FLUSH_CONTEXT).count(), 4);
    assert_eq!(again(command::SIGN), POLICY_FAIL);
    assert_eq!(again(command::POLICY_NV), SUCCESS);
    assert_eq!(again(command::POLICY_SIGNED), NONCE_1);
    assert_eq!(again(command::SIGN), POLICY_FAIL);
}

#[tokio::test]
async fn another_session() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let (first, second) = (paired.begin().await, paired.begin().await);
    let for_first = paired.authorize(&first);
    let (first_nonce, second_nonce) = (*first.nonce_tpm(), *second.nonce_tpm());
    assert_refused(paired.complete(second, &for_first).await, ActionStep::Authorization, SIGNATURE_5);

    // Even if the caller names the first session: the TPM knows the nonce of this one.
    let second = paired.begin().await;
    assert_ne!(*second.nonce_tpm(), second_nonce);
    rig.proxy.alter(command::POLICY_SIGNED, second.nonce_tpm(), &first_nonce);
    assert_refused(paired.complete(second, &for_first).await, ActionStep::Authorization, NONCE_1);

    let signature = paired.complete(first, &for_first).await.unwrap();
    assert_signed(&paired.keys.action, &DIGEST, &signature);
    // And used up it is one of another session for every session to come.
    let third = paired.begin().await;
    assert_refused(paired.complete(third, &for_first).await, ActionStep::Authorization, SIGNATURE_5);
}

#[tokio::test]
async fn another_digest() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let pending = paired.begin().await;
    let nonce_tpm = pending.nonce_tpm();
    let other = paired.control.authorize(&paired.keys.action, nonce_tpm, SOON, &OTHER_DIGEST);
    assert_refused(paired.complete(pending, &other).await, ActionStep::Authorization, SIGNATURE_5);

    // Only the command that signs is another one than was authorized (cpHash).
    let pending = paired.begin().await;
    let authorization = paired.authorize(&pending);
    rig.proxy.alter(command::SIGN, &DIGEST, &OTHER_DIGEST);
    assert_refused(paired.complete(pending, &authorization).await, ActionStep::Use, POLICY_FAIL);
    paired.assert_works().await;
}

#[tokio::test]
async fn another_device_or_key() {
    let (here, there) = (Rig::new(), Rig::new());
    let (here, there) = (Paired::new(&here).await, Paired::new(&there).await);
    let pending = here.begin().await;
    let theirs = there.begin().await;
    let authorization = there.authorize(&theirs);
    assert_refused(here.complete(pending, &authorization).await, ActionStep::Authorization, SIGNATURE_5);

    // Their key does not even load.
    let pending = here.begin().await;
    let authorization = here.control.authorize(&there.keys.action, pending.nonce_tpm(), SOON, &DIGEST);
    let (key, epoch) = (&there.keys.action, here.counter.epoch);
    let error = here.tpm.complete_action(pending, key, epoch, &authorization, DIGEST).await.unwrap_err();
    assert!(matches!(error, Error::Tpm { doing: "TPM2_Load", .. }), "{error}");

    // Another key of this device, for which the command was not authorized.
    let again = here.tpm.create_keys(here.binding()).await.unwrap();
    let pending = here.begin().await;
    let authorization = here.control.authorize(&again.action, pending.nonce_tpm(), SOON, &DIGEST);
    assert_refused(here.complete(pending, &authorization).await, ActionStep::Authorization, SIGNATURE_5);
}

#[tokio::test]
async fn an_expired_one() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let pending = paired.begin().await;
    let begun = paired.tpm.clock().await.unwrap().clock_ms;
    let brief = paired.control.authorize(&paired.keys.action, pending.nonce_tpm(), 1, &DIGEST);
    wait_until(&paired, begun + 1001).await;
    assert_refused(paired.complete(pending, &brief).await, ActionStep::Expired, EXPIRED_4);

    // Nor does it help to say that it lasts longer.
    let pending = paired.begin().await;
    let mut longer = paired.control.authorize(&paired.keys.action, pending.nonce_tpm(), 1, &DIGEST);
    longer.expiration_s = SOON.try_into().unwrap();
    assert_refused(paired.complete(pending, &longer).await, ActionStep::Authorization, SIGNATURE_5);
}

/// It is the TPM's clock that counts, and that cannot be set ahead.
async fn wait_until(paired: &Paired, clock_ms: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while paired.tpm.clock().await.unwrap().clock_ms < clock_ms {
        assert!(Instant::now() < deadline, "the TPM's clock stands still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn another_epoch() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let (before, after) = (paired.begin().await, paired.begin().await);
    paired.tpm.revoke().await.unwrap();
    let authorization = paired.authorize(&before);
    assert_refused(paired.complete(before, &authorization).await, ActionStep::Epoch, POLICY);

    let authorization = paired.authorize(&after);
    let (key, epoch) = (&paired.keys.action, paired.counter.epoch + 1);
    let result = paired.tpm.complete_action(after, key, epoch, &authorization, DIGEST).await;
    assert_refused(result, ActionStep::Use, POLICY_FAIL);
}

#[tokio::test]
async fn another_pairing_or_authority() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let mut elsewhere = ControlPlane::new(1);
    elsewhere.policy_ref = [9; 32];
    for other in [elsewhere, ControlPlane::new(2)] {
        let pending = paired.begin().await;
        let authorization = other.authorize(&paired.keys.action, pending.nonce_tpm(), SOON, &DIGEST);
        assert_refused(paired.complete(pending, &authorization).await, ActionStep::Use, POLICY_FAIL);
    }
    // Under the right key's name it is no signature of that key.
    let pending = paired.begin().await;
    let mut forged = paired.authorize(&pending);
    forged.signature =
        ControlPlane::new(2).authorize(&paired.keys.action, pending.nonce_tpm(), SOON, &DIGEST).signature;
    assert_refused(paired.complete(pending, &forged).await, ActionStep::Authorization, SIGNATURE_5);
}

#[tokio::test]
async fn a_key_that_no_tpm_shall_load() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let pending = paired.begin().await;
    let mut authorization = paired.authorize(&pending);
    authorization.authority_public = paired.keys.link.public.clone();
    let error = paired.complete(pending, &authorization).await.unwrap_err();
    assert!(matches!(error, Error::Malformed("authorization key")), "{error}");

    let mut binding = paired.binding();
    binding.action_public = paired.keys.link.public.clone();
    let error = paired.tpm.create_keys(binding).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Malformed("authorization key")), "{error}");
}

#[tokio::test]
async fn there_is_no_other_way_to_use_it() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let (key, epoch) = (&paired.keys.action, paired.counter.epoch);
    let error = paired.tpm.sign_with_link(key, epoch, DIGEST).await.unwrap_err();
    assert_eq!(error.response_code().unwrap().raw(), POLICY_FAIL, "{error}");
    let lease = paired.lease().await;
    let error = paired.tpm.sign_with_device(key, &lease, DIGEST).await.unwrap_err();
    assert_eq!(error.lease_step(), Some(LeaseStep::Use), "{error}");

    // Nor for other keys.
    let pending = paired.begin().await;
    let link = &paired.keys.link;
    let authorization = paired.control.authorize(link, pending.nonce_tpm(), SOON, &DIGEST);
    let result = paired.tpm.complete_action(pending, link, epoch, &authorization, DIGEST).await;
    assert_refused(result, ActionStep::Use, POLICY_FAIL);
}

#[tokio::test]
async fn a_reset_ends_what_was_under_way() {
    let mut rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let pending = paired.begin().await;
    let authorization = paired.authorize(&pending);
    rig.reset();
    let error = paired.complete(pending, &authorization).await.unwrap_err();
    assert_eq!(error.action_step(), Some(ActionStep::Session), "{error}");
    paired.assert_works().await;
}

#[tokio::test]
async fn the_third_waits_for_a_place_and_a_wipe_does_not() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let (first, _second) = (paired.begin().await, paired.begin().await);
    let mut third = Box::pin(paired.tpm.begin_action());
    let waits = poll_fn(|context| Poll::Ready(third.as_mut().poll(context).is_pending())).await;
    assert!(waits);
    rig.proxy.take();
    paired.tpm.revoke().await.unwrap();
    assert_eq!(rig.proxy.take().iter().map(Exchange::code).collect::<Vec<_>>(), [command::NV_INCREMENT]);
    drop(first);
    third.await.unwrap();
}
