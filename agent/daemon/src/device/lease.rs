//! Leases: each is tried in the TPM, by opening the vault with it.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::message::Lease;
use pawl_tpm::{Clock, KeyBlob, LeaseGrant, LeaseStep, Tpm};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::paired::{Done, Paired};
use crate::action::{Acting, Actions};
use crate::gate::{Entitlement, Signer};
use crate::problem;
use crate::shared::Shared;
use crate::vault::Vault;

/// A lease that the TPM accepted.
pub(super) struct Opened {
    key: Zeroizing<[u8; 32]>,
    clock: Clock,
}

/// Opens the vault under a lease, and reads the clock that the lease is bound to.
pub(super) async fn open(
    tpm: Tpm,
    vault: Arc<KeyBlob>,
    grant: &LeaseGrant,
) -> Result<Opened, pawl_tpm::Error> {
    let key = tpm.unseal(&vault, grant).await?;
    let clock = tpm.clock().await?;
    Ok(Opened { key, clock })
}

impl Paired {
    /// Begins to try a lease. The gate stays as it is until the TPM has answered.
    pub(super) fn try_lease(&mut self, shared: &Shared, lease: &Lease) {
        let Some(grant) = self.record().grant(lease).map(Arc::new) else {
            tracing::warn!("a lease has terms that no TPM can check");
            return;
        };
        self.set_grant(Arc::clone(&grant));
        self.set_barred(false);
        let (tpm, vault) = (shared.tpm.clone(), self.vault_key());
        self.spawn(async move {
            let outcome = open(tpm, vault, &grant).await;
            Done::Lease(grant, outcome)
        });
    }

    /// The TPM has answered.
    pub(super) fn lease_tried(
        &mut self,
        shared: &Arc<Shared>,
        grant: Arc<LeaseGrant>,
        outcome: Result<Opened, pawl_tpm::Error>,
    ) {
        // A verdict that came in the meantime has taken the lease away, or brought another: what the
        // TPM says of this one is no reason for anything any more.
        if !self.works_under(&grant) {
            return;
        }
        match outcome {
            Ok(opened) => self.entitle(shared, grant, opened),
            Err(error) => {
                shared.gate.close(problem::tpm_refused(&error));
                shared.gate.tell_holders();
                // Moved on by somebody else, or not the TPM that made these keys: look at once.
                if matches!(error.lease_step(), None | Some(LeaseStep::Epoch)) {
                    self.look_at_tpm(shared);
                }
            }
        }
    }

    fn entitle(&mut self, shared: &Shared, lease: Arc<LeaseGrant>, opened: Opened) {
        let left = lease.terms.clock_before.saturating_sub(opened.clock.clock_ms);
        let until = Instant::now() + Duration::from_millis(left);
        let signer = Signer { key: self.device_key(), lease };
        if !shared.gate.renew(until, &signer) {
            let sealed = shared.store.vault().unwrap_or_else(|error| {
                tracing::warn!(%error, "the sealed tokens cannot be read; they are asked for anew");
                None
            });
            let mut vault = Vault::open(opened.key, sealed.as_deref(), self.binding());
            vault.drop_expired(shared.clock.unix());
            let acting = Acting { record: Arc::clone(self.record()), key: self.action_key() };
            shared.gate.open(Entitlement { until, signer, vault, actions: Actions::new(acting) });
        }
        self.plan_tokens(shared);
    }
}
