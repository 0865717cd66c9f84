//! The parts of the executor that the simulator (`tests/sim`) runs unchanged: store, gate, vault, audit records and the floor of
//! the wall clock, on the simulator's disk and clocks. Feature `simulation`, which no package has.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pawl_local_api::{Problem, Token};
use pawl_proto::message::{self, Entitlement};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Epoch, Text};
use pawl_tpm::{KeyBlob, LeaseGrant};

use crate::action::{Acting, Actions};
use crate::audit::Audit;
use crate::clock::WallClock;
use crate::core::{HeldToken, Input, Moment, Now, OpenGate, PairingRecord, TpmFailure, Write};
use crate::gate::{Gate, Opened};
use crate::jws::Signer;
use crate::problem;
use crate::store::{Disk, PairingKeys, Store, StoreError};
use crate::systemd::Marker;
use crate::vault::{Binding, Vault};

thread_local! {
    /// CLOCK_BOOTTIME, and the wall clock since 1970, of the device whose code runs.
    static CLOCKS: Cell<(Duration, Duration)> = const { Cell::new((Duration::ZERO, Duration::ZERO)) };
}

/// Sets the clocks of the device whose code runs next on this thread.
pub fn set_clocks(boot: Duration, wall: Duration) {
    CLOCKS.set((boot, wall));
}

fn uptime() -> Duration {
    CLOCKS.get().0
}

fn wall() -> SystemTime {
    UNIX_EPOCH + CLOCKS.get().1
}

/// Converts an error of the TPM for the core.
#[must_use]
pub fn failure(error: &pawl_tpm::Error) -> TpmFailure {
    crate::device::failure(error)
}

/// The parts of one process.
pub struct Parts {
    /// The state directory.
    pub store: Store,
    gate: Gate,
    audit: Audit,
    clock: WallClock,
    keys: RefCell<Option<Arc<PairingKeys>>>,
    boot_id: Text<64>,
}

/// The pairing, key and lease of an open gate.
pub struct InUse {
    /// The pairing.
    pub record: Arc<PairingRecord>,
    /// The device key.
    pub key: Arc<KeyBlob>,
    /// The lease.
    pub lease: Arc<LeaseGrant>,
}

impl Parts {
    /// Opens the state directory, as the daemon does at its start.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open(disk: Arc<dyn Disk>, root: &Path, boot_id: Text<64>) -> Result<Self, StoreError> {
        let store = Store::open_on(Arc::clone(&disk), root)?;
        let clock = WallClock::with(wall, uptime);
        if let Ok(Some(known)) = store.time() {
            clock.resume(&known, &boot_id);
        }
        let gate = Gate::closed(problem::unpaired(), Marker::none()).on(uptime);
        let audit = Audit::new(disk, root, clock.clone());
        Ok(Self { store, gate, audit, clock, keys: RefCell::default(), boot_id })
    }

    /// Returns the clocks as the core sees them.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { boot: uptime(), unix: self.clock.unix() }
    }

    /// Carries out one write of the core. For [`Write::Vault`], `sealed` is what [`seal`](Self::seal) returned when the core
    /// requested the write.
    ///
    /// # Errors
    /// The store's error, as text.
    pub fn put(&self, write: Write, sealed: Option<&[u8]>) -> Result<(), String> {
        let outcome = match (write, sealed) {
            (Write::Vault, Some(sealed)) => self.store.put_vault(sealed),
            (Write::Vault, None) => Ok(()),
            (write, _) => self.store.put(write, || self.clock.to_keep(self.boot_id.clone())),
        };
        outcome.map_err(|error| error.to_string())
    }

    /// Returns the sealed tokens of the open gate; none if it is closed.
    #[must_use]
    pub fn seal(&self) -> Option<Vec<u8>> {
        let (_, acting) = self.gate.acting().ok()?;
        let binding = Binding { pairing: acting.record.pairing, epoch: acting.record.epoch };
        self.gate.with_vault(|vault| vault.seal(binding)).ok().flatten()
    }

    /// Loads the keys of a pairing. Returns whether they could be read.
    pub fn use_keys(&self, record: &PairingRecord) -> bool {
        let keys = self.store.keys().ok().flatten().map(Arc::new);
        if keys.is_some() {
            self.audit.identify(record.device);
        }
        let is_read = keys.is_some();
        *self.keys.borrow_mut() = keys;
        is_read
    }

    /// Drops the loaded keys.
    pub fn drop_keys(&self) {
        *self.keys.borrow_mut() = None;
    }

    /// Returns the loaded keys.
    #[must_use]
    pub fn keys(&self) -> Option<Arc<PairingKeys>> {
        self.keys.borrow().clone()
    }

    /// Closes the gate.
    pub fn close_gate(&self, problem: Problem) {
        self.gate.close(problem);
    }

    /// Opens the gate with the tokens that the sealed vault holds.
    pub fn open_gate(&self, open: OpenGate) -> Option<Input> {
        let OpenGate { until, lease, key, entitlement, record } = open;
        let keys = self.keys()?;
        let sealed = self.store.vault().ok().flatten();
        let binding = Binding { pairing: record.pairing, epoch: record.epoch };
        let mut vault = Vault::open(key.0, sealed.as_deref(), binding, entitlement);
        vault.drop_expired(self.clock.unix());
        let held = vault.held().map(|(name, token, audience, kept_at)| HeldToken {
            name: name.to_owned(),
            scope: token.scope.clone(),
            audience: audience.to_owned(),
            kept_at,
            expires_at: token.expires_at,
        });
        let held = held.collect();
        let signer = Signer { key: Arc::new(keys.device.clone()), lease };
        let acting = Acting { record, key: Arc::new(keys.action.clone()) };
        self.gate.open(Opened { until, signer, vault, actions: Actions::new(acting) });
        Some(Input::VaultOpened(held))
    }

    /// Renews an open gate under a newer lease.
    pub fn renew_gate(&self, until: Duration, lease: Arc<LeaseGrant>) {
        if let Some(keys) = self.keys() {
            self.gate.renew(until, &Signer { key: Arc::new(keys.device.clone()), lease });
        }
    }

    /// Drops the tokens outside this entitlement.
    pub fn restrict_gate(&self, entitlement: &Entitlement) {
        self.gate.restrict(entitlement);
    }

    /// Puts a token into the vault.
    pub fn put_token(&self, name: &str, token: Token, audience: &str) {
        let now = self.clock.unix();
        let _ = self.gate.with_vault(|vault| vault.put(name, token, audience, now).is_ok());
    }

    /// Wakes holders with the state of the gate.
    pub fn tell_holders(&self) {
        self.gate.tell_holders();
    }

    /// Returns the pairing, key and lease of the open gate; none if it is closed.
    #[must_use]
    pub fn in_use(&self) -> Option<InUse> {
        let (signer, acting) = self.gate.acting().ok()?;
        Some(InUse { record: Arc::clone(&acting.record), key: signer.key, lease: signer.lease })
    }

    /// Returns the token that a workload would get.
    #[must_use]
    pub fn token(&self, name: &str) -> Option<Token> {
        self.gate.token(name, self.clock.unix()).ok().flatten()
    }

    /// Sets the device that the audit records are about.
    pub fn identify(&self, endorsement_key: &[u8]) {
        self.audit.identify(pawl_proto::DeviceId::from_endorsement_key(endorsement_key));
    }

    /// Adds an audit record.
    pub fn record(&self, epoch: Option<Epoch>, moment: Option<Moment>, fact: DeviceFact) {
        self.audit.record_at(epoch, moment, fact);
    }

    /// Marks the records up to `sequence` as received by the control plane.
    pub fn records_acknowledged(&self, sequence: u64) {
        self.audit.acknowledged(sequence);
    }

    /// Writes the queued audit records.
    pub fn write_records(&self) {
        self.audit.flush();
    }

    /// Returns the audit records that the control plane does not have, for a report.
    #[must_use]
    pub fn report_records(&self) -> Option<message::Audit> {
        self.audit.report_now()
    }

    /// Raises the floor of the wall clock to the time of a signed verdict.
    pub fn raise_clock(&self, time: u64) {
        self.clock.heard(time);
    }
}
