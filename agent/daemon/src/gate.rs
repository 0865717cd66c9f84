//! The gate: what stands between a workload and the tokens.
//!
//! It is open exactly while a lease is valid, and it alone holds tokens, the key of the vault
//! and the lease in memory. Closing it takes effect at once for every request that has not been
//! answered, and zeroizes what it held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pawl_proto::local::{Problem, Token};
use pawl_tpm::{KeyBlob, LeaseGrant};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::vault::Vault;

/// The gate, shared by the state machine and the local API.
pub(crate) struct Gate {
    state: Mutex<State>,
    holders: watch::Sender<bool>,
}

enum State {
    Open(Box<Entitlement>),
    Closed(Problem),
}

/// What an open gate holds.
pub(crate) struct Entitlement {
    /// When the lease runs out, by this host's clock; the TPM's clock decides.
    pub(crate) until: Instant,
    pub(crate) signer: Signer,
    pub(crate) vault: Vault,
}

/// The device key and the lease that the TPM wants to see beside it.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) key: Arc<KeyBlob>,
    pub(crate) lease: Arc<LeaseGrant>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn closed(problem: Problem) -> Self {
        Self { state: Mutex::new(State::Closed(problem)), holders: watch::Sender::new(false) }
    }

    /// Opens the gate.
    pub(crate) fn open(&self, entitlement: Entitlement) {
        *self.lock() = State::Open(Box::new(entitlement));
        self.tell_holders();
    }

    /// Keeps an open gate open under a newer lease; whether it was open.
    pub(crate) fn renew(&self, until: Instant, signer: &Signer) -> bool {
        match &mut *self.lock() {
            State::Open(entitlement) => {
                entitlement.until = until;
                entitlement.signer = signer.clone();
                true
            }
            State::Closed(_) => false,
        }
    }

    /// Closes the gate: from here on nobody gets a token, a proof or an assurance. Memory is
    /// zeroized before this returns.
    pub(crate) fn close(&self, problem: Problem) {
        *self.lock() = State::Closed(problem);
    }

    /// Tells those that wait in [`Gate::wait`] how the gate stands.
    pub(crate) fn tell_holders(&self) {
        let open = self.is_open();
        self.holders.send_if_modified(|told| std::mem::replace(told, open) != open);
    }

    /// Whether the gate is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.lock(), State::Open(_))
    }

    /// Why the gate is closed; none while it is open.
    pub(crate) fn problem(&self) -> Option<Problem> {
        match &*self.lock() {
            State::Open(_) => None,
            State::Closed(problem) => Some(problem.clone()),
        }
    }

    /// When the lease runs out, while the gate is open.
    pub(crate) fn until(&self) -> Option<Instant> {
        match &*self.lock() {
            State::Open(entitlement) => Some(entitlement.until),
            State::Closed(_) => None,
        }
    }

    /// What it takes to sign with the device key.
    ///
    /// # Errors
    /// The problem, while the gate is closed.
    pub(crate) fn signer(&self) -> Result<Signer, Problem> {
        self.with(|entitlement| entitlement.signer.clone())
    }

    /// The token of this name, none when the vault has none.
    ///
    /// # Errors
    /// The problem, while the gate is closed.
    pub(crate) fn token(&self, name: &str) -> Result<Option<Token>, Problem> {
        self.with(|entitlement| entitlement.vault.token(name).cloned())
    }

    /// Runs `look` on the vault, while the gate is open.
    ///
    /// # Errors
    /// The problem, while the gate is closed.
    pub(crate) fn with_vault<T>(&self, look: impl FnOnce(&mut Vault) -> T) -> Result<T, Problem> {
        self.with(|entitlement| look(&mut entitlement.vault))
    }

    /// Waits until the gate has been told open, or closed.
    pub(crate) async fn wait(&self, open: bool) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.holders.subscribe().wait_for(|told| *told == open).await;
    }

    fn with<T>(&self, look: impl FnOnce(&mut Entitlement) -> T) -> Result<T, Problem> {
        match &mut *self.lock() {
            State::Open(entitlement) if Instant::now() < entitlement.until => Ok(look(entitlement)),
            State::Open(_) => Err(crate::problem::lease_expired()),
            State::Closed(problem) => Err(problem.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
