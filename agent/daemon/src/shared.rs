//! What every part of the daemon works with.

use std::sync::Arc;

use pawl_config::Config;
use pawl_proto::DeviceId;
use pawl_tpm::{Identity, Tpm};
use tokio::sync::OnceCell;

use crate::audit::Audit;
use crate::clock::WallClock;
use crate::control_plane::ControlPlane;
use crate::gate::Gate;
use crate::posture::Logs;
use crate::store::Store;
use crate::telemetry::event;

/// The parts that do not change while the daemon runs, shared by the state machine, its tasks
/// and the local API.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tpm: Tpm,
    pub(crate) store: Store,
    pub(crate) audit: Audit,
    pub(crate) gate: Gate,
    pub(crate) logs: Logs,
    pub(crate) control_plane: ControlPlane,
    pub(crate) clock: WallClock,
    identity: OnceCell<Arc<Identity>>,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        tpm: Tpm,
        store: Store,
        gate: Gate,
        control_plane: ControlPlane,
        clock: WallClock,
    ) -> Self {
        let logs = Logs::new(config.logs.clone(), tpm.tcti().number());
        let audit = Audit::new(&config.state_dir, clock);
        Self { config, tpm, store, audit, gate, logs, control_plane, clock, identity: OnceCell::new() }
    }

    /// The TPM's identity. It is asked for once, when it is first needed: making an RSA
    /// endorsement key again from its seed takes seconds on some TPMs, and a start must not.
    ///
    /// # Errors
    /// What the TPM says.
    pub(crate) async fn identity(&self) -> Result<Arc<Identity>, pawl_tpm::Error> {
        let ask = || async {
            let identity = self.tpm.identity().await?;
            let device = DeviceId::from_endorsement_key(&identity.ek_public);
            self.audit.identify(device);
            event::identify(device);
            Ok(Arc::new(identity))
        };
        self.identity.get_or_try_init(ask).await.cloned()
    }
}
