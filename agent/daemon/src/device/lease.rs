//! Leases: each is tried in the TPM, by opening the vault with it.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::limits;
use pawl_proto::message::Verdict;
use pawl_tpm::{Clock, KeyBlob, LeaseGrant, LeaseStep, Tpm};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::paired::{Done, Paired};
use crate::action::{Acting, Actions};
use crate::gate::{Opened as OpenGate, Signer};
use crate::problem;
use crate::shared::Shared;
use crate::store::PairingRecord;
use crate::vault::Vault;

/// What a verdict lets the device do: work in the boot state that was judged, and in those that are
/// approved and still to come.
pub(super) struct Leases {
    present: Arc<LeaseGrant>,
    ahead: Vec<Arc<LeaseGrant>>,
}

impl Leases {
    /// The leases of a verdict, if it brings any. What no TPM can check is left out.
    pub(super) fn of(record: &PairingRecord, verdict: &Verdict) -> Option<Self> {
        let present = record.grant(verdict.lease.as_ref()?).map(Arc::new);
        if present.is_none() {
            tracing::warn!("a lease has terms that no TPM can check");
        }
        let ahead = verdict.ahead.iter().take(limits::LEASES_AHEAD);
        Some(Self {
            present: present?,
            ahead: ahead.filter_map(|lease| record.grant(lease).map(Arc::new)).collect(),
        })
    }

    /// The lease for what the device runs, as far as it is known.
    pub(super) fn present(&self) -> &Arc<LeaseGrant> {
        &self.present
    }

    /// How many are for boot states still to come.
    pub(super) fn ahead(&self) -> usize {
        self.ahead.len()
    }

    /// The device has come to the state that `lease` is for.
    fn arrived(&mut self, lease: &Arc<LeaseGrant>) {
        self.ahead.retain(|ahead| !Arc::ptr_eq(ahead, lease));
        self.present = Arc::clone(lease);
    }
}

/// A lease that the TPM accepted.
pub(super) struct Opened {
    lease: Arc<LeaseGrant>,
    key: Zeroizing<[u8; 32]>,
    clock: Clock,
}

/// Leases that are being tried.
struct Attempt {
    tpm: Tpm,
    vault: Arc<KeyBlob>,
    present: Arc<LeaseGrant>,
    ahead: Vec<Arc<LeaseGrant>>,
}

impl Attempt {
    /// Opens the vault under the present lease, or in another boot state under the one that is for it.
    async fn open(self) -> Result<Opened, pawl_tpm::Error> {
        match self.open_under(&self.present).await {
            Err(error) if error.lease_step() == Some(LeaseStep::Pcrs) => match self.due().await? {
                Some(lease) => self.open_under(lease).await,
                None => Err(error),
            },
            outcome => outcome,
        }
    }

    /// Opens the vault, and reads the clock that the lease is bound to.
    async fn open_under(&self, lease: &Arc<LeaseGrant>) -> Result<Opened, pawl_tpm::Error> {
        let key = self.tpm.unseal(&self.vault, lease).await?;
        let clock = self.tpm.clock().await?;
        Ok(Opened { lease: Arc::clone(lease), key, clock })
    }

    /// The lease ahead for the boot state that the PCRs show. This saves the TPM the others; what counts
    /// is what it makes of the one.
    async fn due(&self) -> Result<Option<&Arc<LeaseGrant>>, pawl_tpm::Error> {
        for lease in &self.ahead {
            let selection = &lease.terms.selection;
            let pcrs = self.tpm.read_pcrs(selection).await?;
            if pcrs.policy_digest(selection) == Ok(lease.terms.pcr_digest) {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }
}

impl Paired {
    /// Begins to try the leases of a verdict. The gate stays as it is until the TPM has answered.
    pub(super) fn try_leases(&mut self, shared: &Shared, leases: Leases) {
        let (present, ahead) = (Arc::clone(&leases.present), leases.ahead.clone());
        self.hold(Some(leases));
        self.set_barred(false);
        let attempt = Attempt {
            tpm: shared.tpm.clone(),
            vault: self.vault_key(),
            present: Arc::clone(&present),
            ahead,
        };
        self.spawn(async move { Done::Lease(present, attempt.open().await) });
    }

    /// The TPM has answered. `tried` was the present lease.
    pub(super) fn lease_tried(
        &mut self,
        shared: &Arc<Shared>,
        tried: &Arc<LeaseGrant>,
        outcome: Result<Opened, pawl_tpm::Error>,
    ) {
        // A verdict that came in the meantime has taken the lease away, or brought another: what the
        // TPM says of this one is no reason for anything any more.
        if !self.works_under(tried) {
            return;
        }
        match outcome {
            Ok(opened) => self.entitle(shared, opened),
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

    fn entitle(&mut self, shared: &Shared, opened: Opened) {
        let Opened { lease, key, clock } = opened;
        if !self.works_under(&lease) {
            tracing::info!("the boot state was approved ahead of time, and its lease is taken up");
            self.leases_mut().into_iter().for_each(|leases| leases.arrived(&lease));
        }
        let left = lease.terms.clock_before.saturating_sub(clock.clock_ms);
        let until = Instant::now() + Duration::from_millis(left);
        let signer = Signer { key: self.device_key(), lease };
        if !shared.gate.renew(until, &signer) {
            let sealed = shared.store.vault().unwrap_or_else(|error| {
                tracing::warn!(%error, "the sealed tokens cannot be read; they are asked for anew");
                None
            });
            let mut vault = Vault::open(key, sealed.as_deref(), self.binding(), self.granted());
            vault.drop_expired(shared.clock.unix());
            let acting = Acting { record: Arc::clone(self.record()), key: self.action_key() };
            shared.gate.open(OpenGate { until, signer, vault, actions: Actions::new(acting) });
        }
        self.plan_tokens(shared);
    }
}
