//! The gate: it decides whether workloads get tokens.
//!
//! It is open exactly while a lease is valid. Only the gate holds tokens, the vault's key, the lease and the actions in progress in
//! memory. Closing it affects every request that was not answered yet, and zeroizes its contents.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pawl_local_api::{Problem, Token};
use pawl_proto::message::Entitlement;
use tokio::sync::watch;

use crate::action::{Acting, Actions};
use crate::clock;
use crate::jws::Signer;
use crate::systemd::Marker;
use crate::vault::Vault;

/// The gate, shared by the state machine and the local API.
pub(crate) struct Gate {
    state: Mutex<State>,
    holders: watch::Sender<bool>,
    marker: Marker,
    /// CLOCK_BOOTTIME: a lease also expires while the system sleeps.
    uptime: fn() -> Duration,
}

enum State {
    Open(Box<Opened>),
    Closed(Problem),
}

/// The contents of an open gate.
pub(crate) struct Opened {
    /// When the lease expires on CLOCK_BOOTTIME. The TPM decides by its own clock.
    pub(crate) until: Duration,
    pub(crate) signer: Signer,
    pub(crate) vault: Vault,
    pub(crate) actions: Actions,
}

impl Gate {
    /// Returns a closed gate. It keeps `marker` up to date.
    pub(crate) fn closed(problem: Problem, marker: Marker) -> Self {
        let state = Mutex::new(State::Closed(problem));
        Self { state, holders: watch::Sender::new(false), marker, uptime: clock::uptime }
    }

    /// Returns the gate with another CLOCK_BOOTTIME.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn on(self, uptime: fn() -> Duration) -> Self {
        Self { uptime, ..self }
    }

    /// Opens the gate.
    pub(crate) fn open(&self, opened: Opened) {
        *self.lock() = State::Open(Box::new(opened));
        self.tell_holders();
    }

    /// Renews an open gate under a newer lease. Returns whether it was open.
    pub(crate) fn renew(&self, until: Duration, signer: &Signer) -> bool {
        match &mut *self.lock() {
            State::Open(opened) => {
                opened.until = until;
                opened.signer = signer.clone();
                true
            }
            State::Closed(_) => false,
        }
    }

    /// Closes the gate: from now on it gives no token, proof or assurance. Zeroizes its memory before it returns.
    pub(crate) fn close(&self, problem: Problem) {
        *self.lock() = State::Closed(problem);
    }

    /// Wakes the callers that wait in [`Gate::wait`], with the state of the gate.
    pub(crate) fn tell_holders(&self) {
        let open = self.is_open();
        self.holders.send_if_modified(|told| {
            let changed = std::mem::replace(told, open) != open;
            if changed {
                // Remove the marker before waking waiters; otherwise systemd starts the units again.
                self.marker.set(open);
            }
            changed
        });
    }

    /// Returns whether the gate is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.lock(), State::Open(_))
    }

    /// Returns what is needed to sign with the device key.
    ///
    /// # Errors
    /// The problem if the gate is closed.
    pub(crate) fn signer(&self) -> Result<Signer, Problem> {
        self.with(|opened| opened.signer.clone())
    }

    /// Returns what is needed to request a protected action and to sign for it.
    ///
    /// # Errors
    /// The problem if the gate is closed.
    pub(crate) fn acting(&self) -> Result<(Signer, Arc<Acting>), Problem> {
        self.with(|opened| (opened.signer.clone(), opened.actions.acting()))
    }

    /// Runs `look` on the actions in progress.
    ///
    /// # Errors
    /// The problem if the gate is closed.
    pub(crate) fn with_actions<T>(&self, look: impl FnOnce(&mut Actions) -> T) -> Result<T, Problem> {
        self.with(|opened| look(&mut opened.actions))
    }

    /// Returns the token of this name; none if the vault has none that is valid at `now`, in Unix seconds.
    ///
    /// # Errors
    /// The problem if the gate is closed.
    pub(crate) fn token(&self, name: &str, now: u64) -> Result<Option<Token>, Problem> {
        self.with(|opened| opened.vault.token(name, now).cloned())
    }

    /// Drops the tokens outside this entitlement, and returns their names. A closed gate has no tokens. The core closes the gate
    /// for an entitlement that is not active.
    pub(crate) fn restrict(&self, entitlement: &Entitlement) -> Vec<String> {
        match &mut *self.lock() {
            State::Open(opened) => opened.vault.restrict(entitlement.clone()),
            State::Closed(_) => Vec::new(),
        }
    }

    /// Runs `look` on the vault.
    ///
    /// # Errors
    /// The problem if the gate is closed.
    pub(crate) fn with_vault<T>(&self, look: impl FnOnce(&mut Vault) -> T) -> Result<T, Problem> {
        self.with(|opened| look(&mut opened.vault))
    }

    /// Waits until [`Gate::tell_holders`] has announced this state.
    pub(crate) async fn wait(&self, open: bool) {
        // The sender lives in self, so the wait cannot fail.
        let _ = self.holders.subscribe().wait_for(|told| *told == open).await;
    }

    fn with<T>(&self, look: impl FnOnce(&mut Opened) -> T) -> Result<T, Problem> {
        match &mut *self.lock() {
            State::Open(opened) if (self.uptime)() < opened.until => Ok(look(opened)),
            State::Open(_) => Err(crate::problem::lease_expired()),
            State::Closed(problem) => Err(problem.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use pawl_evidence::lease::LeaseTerms;
    use pawl_evidence::tpm::{Name, PcrSelection};
    use pawl_proto::message::Standing;
    use pawl_proto::{Epoch, PairingId, Text};
    use pawl_tpm::{KeyBlob, LeaseGrant};
    use zeroize::Zeroizing;

    use super::*;
    use crate::problem;
    use crate::record::testing::record;
    use crate::vault::Binding;

    fn granted(scope: &str) -> Entitlement {
        let audiences = vec![Text::lossy("https://api.example")];
        Entitlement { standing: Standing::Active, scopes: vec![Text::lossy(scope)], audiences }
    }

    thread_local! {
        /// CLOCK_BOOTTIME of a test.
        static BOOTTIME: Cell<Duration> = const { Cell::new(Duration::from_secs(1000)) };
    }

    fn boottime() -> Duration {
        BOOTTIME.get()
    }

    fn advance(seconds: u64) {
        BOOTTIME.set(BOOTTIME.get() + Duration::from_secs(seconds));
    }

    fn closed() -> Gate {
        Gate::closed(problem::unpaired(), Marker::none()).on(boottime)
    }

    fn opened(lasts: Duration) -> Opened {
        let binding = Binding { pairing: PairingId::from_random([1; 16]), epoch: Epoch(1) };
        let mut vault = Vault::open(Zeroizing::new([1; 32]), None, binding, granted("telemetry"));
        let token = Token {
            access_token: "t".to_owned(),
            token_type: "DPoP".to_owned(),
            expires_at: u64::MAX,
            scope: "telemetry".to_owned(),
            dpop: None,
        };
        vault.put("telemetry", token, "https://api.example", 0).unwrap();
        let key = Arc::new(KeyBlob { public: Vec::new(), private: Vec::new() });
        let actions = Actions::new(Acting { record: Arc::new(record(1)), key });
        Opened { until: boottime() + lasts, signer: signer(), vault, actions }
    }

    fn signer() -> Signer {
        let terms = LeaseTerms {
            selection: PcrSelection::lease_default(),
            pcr_digest: [0; 32],
            counter_name: Name::from_bytes(&[[0, 11].as_slice(), &[0; 32]].concat()).unwrap(),
            epoch: 1,
            reset_count_max: 0,
            clock_before: 0,
        };
        Signer {
            key: Arc::new(KeyBlob { public: Vec::new(), private: Vec::new() }),
            lease: Arc::new(LeaseGrant {
                lease_public: Vec::new(),
                policy_ref: [0; 32],
                terms,
                signature: [0; 64],
            }),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_served_until_the_lease_runs_out() {
        let gate = closed();
        assert_eq!(gate.token("telemetry", 1).err(), Some(problem::unpaired()));
        gate.open(opened(Duration::from_secs(10)));
        assert!(gate.token("telemetry", 1).unwrap().is_some());
        assert!(gate.token("other", 1).unwrap().is_none());
        advance(10);
        assert_eq!(gate.token("telemetry", 1).err(), Some(problem::lease_expired()));
        assert!(gate.signer().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_keeps_the_tokens_and_opens_nothing_that_was_closed() {
        let gate = closed();
        let later = boottime() + Duration::from_secs(60);
        assert!(!gate.renew(later, &signer()), "a closed gate was renewed");
        gate.open(opened(Duration::from_secs(10)));
        assert!(gate.renew(later, &signer()));
        advance(30);
        assert!(gate.token("telemetry", 1).unwrap().is_some());
        gate.close(problem::suspended("lost"));
        assert_eq!(gate.token("telemetry", 1).err(), Some(problem::suspended("lost")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_outside_a_new_entitlement_is_gone_before_the_next_request() {
        let gate = closed();
        assert!(gate.restrict(&granted("door")).is_empty());
        gate.open(opened(Duration::from_secs(10)));
        assert!(gate.restrict(&granted("telemetry")).is_empty());
        assert!(gate.token("telemetry", 1).unwrap().is_some());
        assert_eq!(gate.restrict(&granted("door")), ["telemetry"]);
        assert!(gate.token("telemetry", 1).unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn holders_wake_when_the_core_orders_it_and_not_before() {
        let gate = closed();
        gate.open(opened(Duration::from_secs(10)));
        gate.wait(true).await;
        gate.close(problem::unpaired());
        let early = tokio::time::timeout(Duration::from_secs(1), gate.wait(false)).await;
        assert!(early.is_err(), "told before the core said so");
        gate.tell_holders();
        gate.wait(false).await;
    }
}
