//! The end of Pawl on this device: the pairing is wiped, then the counter is removed from the TPM.

use pawl_proto::Text;
use pawl_proto::local::{Deprovisioned, Problem, WipeRequest};

use super::idle::Idle;
use super::{Device, Phase, tpm_problem};
use crate::problem;

impl Device {
    /// Until this process ends, no pairing is begun any more: it would define the counter again.
    pub(super) async fn deprovision(&mut self) -> Result<Deprovisioned, Problem> {
        let asks = self.session.is_some() || self.granted.is_some();
        if asks || matches!(self.phase, Phase::Paired(_) | Phase::Pairing(_)) {
            self.wipe_on_request(WipeRequest { reason: Text::lossy("deprovisioned") }).await?;
        }
        let removed = self.shared.tpm.deprovision().await.map_err(|error| tpm_problem(&error))?;
        self.deprovisioned = true;
        // The counter is gone, and with it every epoch that the disk could speak of.
        if let Err(error) = self.shared.store.forget_pairing() {
            tracing::error!(%error, "the record of a dead pairing stays on the disk");
        }
        self.become_idle(Idle::unpaired(problem::deprovisioned()));
        self.deliver_receipts();
        Ok(Deprovisioned { counter: self.shared.config.tpm.counter, removed })
    }
}
