//! The state that all parts of the daemon share.

use std::sync::{Arc, Mutex, PoisonError};

use pawl_config::Config;
use pawl_proto::DeviceId;
use pawl_tpm::{CounterTest, Identity, Tpm};
use tokio::sync::OnceCell;

use crate::audit::Audit;
use crate::clock::WallClock;
use crate::control_plane::ControlPlane;
use crate::gate::Gate;
use crate::posture::Logs;
use crate::store::{PairingKeys, Store};
use crate::telemetry::event;

/// The parts that the executor, its jobs and the local API share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tpm: Tpm,
    pub(crate) store: Store,
    pub(crate) audit: Audit,
    pub(crate) gate: Gate,
    pub(crate) logs: Logs,
    pub(crate) control_plane: ControlPlane,
    pub(crate) clock: WallClock,
    /// The keys of the live pairing.
    keys: Mutex<Option<Arc<PairingKeys>>>,
    identity: OnceCell<Arc<Identity>>,
    certificate_needs_owner: OnceCell<bool>,
    counter_test: OnceCell<CounterTest>,
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
        let audit = Audit::new(store.disk(), &config.state_dir, clock.clone());
        Self {
            config,
            tpm,
            store,
            audit,
            gate,
            logs,
            control_plane,
            clock,
            keys: Mutex::default(),
            identity: OnceCell::new(),
            certificate_needs_owner: OnceCell::new(),
            counter_test: OnceCell::new(),
        }
    }

    /// Returns whether only the TPM's owner may read the certificate of the endorsement key.
    ///
    /// # Errors
    /// The TPM's error.
    pub(crate) async fn certificate_needs_owner(&self) -> Result<bool, pawl_tpm::Error> {
        let kind = self.identity().await?.endorsement;
        self.certificate_needs_owner.get_or_try_init(|| self.tpm.certificate_needs_owner(kind)).await.copied()
    }

    /// Sets the keys of the live pairing; none if there is no live pairing.
    pub(crate) fn use_keys(&self, keys: Option<Arc<PairingKeys>>) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Returns the keys of the live pairing.
    pub(crate) fn keys(&self) -> Option<Arc<PairingKeys>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the TPM's identity, if it has been read.
    pub(crate) fn known_identity(&self) -> Option<Arc<Identity>> {
        self.identity.get().cloned()
    }

    /// Returns the result of the self-test of the TPM's counters. Runs it once, at the first call.
    ///
    /// # Errors
    /// The TPM's error.
    pub(crate) async fn counter_test(&self) -> Result<CounterTest, pawl_tpm::Error> {
        self.counter_test.get_or_try_init(|| self.tpm.test_counter()).await.copied()
    }

    /// Returns the TPM's identity. Reads it once, at the first call: creating an RSA endorsement key from its seed takes seconds on
    /// some TPMs, and must not delay a start.
    ///
    /// # Errors
    /// The TPM's error.
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
