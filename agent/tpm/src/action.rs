use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::{Authorization, Error, KeyBlob, Tpm, device::Device, queue::Lane};

/// The smallest TPMs have three slots for sessions: one stays free for all other work.
///
/// The sessions are not saved out of the TPM meanwhile. The kernel's resource manager does that by itself; and
/// tss-esapi would remember the handle of each session that was ever saved, since ESYS closes it at the save and
/// refuses to close or flush it once more.
pub(crate) const MAX_ACTIONS: usize = 2;

impl Tpm {
    /// Opens the policy session in which the action key will sign once, and draws the nonce that the control plane
    /// has to sign for it.
    ///
    /// Nothing is checked yet, so that a revocation in between ends the action. The session holds one of the TPM's
    /// few slots until the result is dropped: ask the control plane at once, and not for long. Two actions can be
    /// under way; who comes third waits for one of them to end.
    ///
    /// # Errors
    /// What the TPM answers.
    pub async fn begin_action(&self) -> Result<PendingAction, Error> {
        let permit = self.action_permit().await?;
        // Before the session, so that it ends even where nobody waits for the answer any more.
        let place = Place { held: Arc::new(()), _forget: Forget(self.clone()), _permit: permit };
        let holder = Arc::downgrade(&place.held);
        let nonce_tpm = self.ask(Lane::Ordinary, move |device| device.begin_action(holder)).await?;
        Ok(PendingAction { nonce_tpm, _place: place })
    }

    /// Signs a SHA-256 digest with the action key of `epoch`, as the control plane has authorized for this session
    /// and this digest; r and s of 32 bytes each. The session is spent whatever comes of it.
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

/// An action that waits for the control plane's authorization. Dropping it ends its session in the TPM.
pub struct PendingAction {
    nonce_tpm: [u8; 32],
    _place: Place,
}

impl PendingAction {
    /// What the TPM drew for this session (`nonceTPM`), for the control plane to sign.
    pub fn nonce_tpm(&self) -> &[u8; 32] {
        &self.nonce_tpm
    }
}

/// One of the few places for sessions. Its fields are dropped in this order: it is given up, the TPM's thread is told,
/// and the next in line may ask for a session.
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
        // A full queue or a stopped thread: the next action that begins, or the end of the thread, sees to it.
        let _ = self.0.submit(Lane::Ordinary, forget, drop);
    }
}
