use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::device::Device;
use crate::queue::Lane;
use crate::{Authorization, Error, KeyBlob, Tpm};

/// The number of actions that may be open at once. The smallest TPMs have three slots for sessions; one stays
/// free for all other work.
///
/// Open sessions are not saved out of the TPM (TPM2_ContextSave). The kernel's resource manager does that by
/// itself. Besides, tss-esapi keeps the handle of every session that was saved, because ESYS closes the handle
/// at the save and refuses to close or flush it afterwards.
pub(crate) const MAX_ACTIONS: usize = 2;

impl Tpm {
    /// Opens the policy session in which the action key signs once, and returns it with the session's nonce,
    /// which the control plane has to sign.
    ///
    /// No policy command runs yet, so that a revocation before [`Tpm::complete_action`] ends the action. The
    /// session occupies one of the TPM's few session slots until the result is dropped: ask the control plane at
    /// once. Two actions can be open; a third call waits until one of them ends.
    ///
    /// # Errors
    /// [`Error::Tpm`] with the TPM's refusal.
    pub async fn begin_action(&self) -> Result<PendingAction, Error> {
        let permit = self.action_permit().await?;
        // Made before the session exists: if the caller drops this future, the drop ends the session.
        let place = Place { held: Arc::new(()), _forget: Forget(self.clone()), _permit: permit };
        let holder = Arc::downgrade(&place.held);
        let nonce_tpm = self.ask(Lane::Ordinary, move |device| device.begin_action(holder)).await?;
        Ok(PendingAction { nonce_tpm, _place: place })
    }

    /// Signs a SHA-256 digest with the action key of `epoch`, as the control plane authorized for this session
    /// and this digest. Returns r ‖ s, 32 bytes each. The session ends, whether the TPM signs or not.
    ///
    /// # Errors
    /// [`Error::Action`] with the step that the TPM refused.
    pub async fn complete_action(
        &self,
        pending: PendingAction,
        key: &KeyBlob,
        epoch: u64,
        authorization: &Authorization,
        digest: [u8; 32],
    ) -> Result<[u8; 64], Error> {
        let (key, authorization, nonce_tpm) = (key.clone(), authorization.clone(), pending.nonce_tpm);
        let work =
            move |device: &mut Device| device.complete_action(nonce_tpm, &key, epoch, &authorization, digest);
        self.ask(Lane::Ordinary, work).await
    }
}

/// An open action: a policy session that waits for the control plane's authorization. Dropping it ends the
/// session in the TPM.
pub struct PendingAction {
    nonce_tpm: [u8; 32],
    _place: Place,
}

impl PendingAction {
    /// Returns the session's `nonceTPM`, for the control plane to sign.
    pub fn nonce_tpm(&self) -> &[u8; 32] {
        &self.nonce_tpm
    }
}

/// One of the [`MAX_ACTIONS`] places. Rust drops the fields in this order: `held` marks the action as abandoned,
/// `_forget` asks the TPM's thread to flush abandoned sessions, `_permit` admits the next action.
struct Place {
    held: Arc<()>,
    _forget: Forget,
    _permit: OwnedSemaphorePermit,
}

struct Forget(Tpm);

impl Drop for Forget {
    fn drop(&mut self) {
        let forget = |device: &mut Device| {
            device.forget_actions();
            Ok(())
        };
        // If the queue is full or the thread has stopped, the next `begin_action` or the end of the thread
        // flushes the session.
        let _ = self.0.submit(Lane::Ordinary, forget, drop);
    }
}
