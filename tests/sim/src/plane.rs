//! The control plane: its real transitions on a database in memory, with the simulation's clock and random bytes.

use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use pawl_control_plane::clock::Clock;
use pawl_control_plane::config::Config;
use pawl_control_plane::control_plane::ControlPlane;
use pawl_control_plane::keys::Keys;
use pawl_control_plane::random::Random;
use pawl_control_plane::store::{Outage, Store, StoreError, Tx};
use pawl_evidence::rand_core::RngCore as _;
use tempfile::TempDir;

use crate::rng::Rng;
use crate::sshsig::Person;
use crate::world::Ms;

/// Unix time at which every world begins, ms.
pub const BEGIN: Ms = 1_790_000_000_000;

/// What all lifetimes of a process share: keys, configuration and persons. No decision depends on what is random in them.
pub struct Setup {
    config: Config,
    keys: Arc<Keys>,
    /// Those who may approve.
    pub persons: Vec<Person>,
    _dir: TempDir,
}

/// How many persons must approve.
#[derive(Clone, Copy, Debug)]
pub struct Approvals {
    /// The first pairing.
    pub pair: u8,
    /// Every other one.
    pub re_pair: u8,
    /// One that an operator ordered.
    pub after_repair: u8,
}

impl Setup {
    /// Makes the keys of the control plane, and reads those of the persons.
    ///
    /// # Panics
    /// When the temporary directory cannot be used.
    #[must_use]
    pub fn new() -> Self {
        Self::make().unwrap_or_else(|error| panic!("the simulator's control plane cannot be set up: {error}"))
    }

    fn make() -> Result<Self, Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let signers = dir.path().join("allowed_signers");
        let persons: Vec<Person> = ["alice", "bob", "carol"].map(Person::new).into();
        fs::write(&signers, persons.iter().map(Person::line).collect::<String>())?;
        let file = dir.path().join("control-plane.toml");
        let text = format!(
            "state_dir = {:?}\nlisten = \"127.0.0.1:8443\"\nname = \"simulated fleet\"\nhost_names = [\"localhost\"]\n\
             url = \"https://localhost:8443\"\n[broker]\nhost = \"localhost\"\nport = 8883\n\
             [lease]\nseconds = 1800\n[report]\ninterval = 600\n[token]\nseconds = 1200\n[approvals]\nallowed_signers = {signers:?}\n",
            dir.path().join("state"),
        );
        fs::write(&file, text)?;
        let config = Config::load(&file)?;
        let keys = Arc::new(Keys::load_or_create(&config)?);
        Ok(Self { config, keys, persons, _dir: dir })
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// The clock of the control plane's host.
#[derive(Debug, Default)]
struct SimClock {
    now: AtomicU64,
    offset: AtomicI64,
}

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        let wall = BEGIN + self.now.load(Ordering::Relaxed);
        wall.saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }

    fn monotonic_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

/// A database that fails.
#[derive(Debug, Default)]
struct Trouble {
    left: u32,
    after_commit: bool,
    /// The simulator itself is looking.
    is_spared: bool,
}

/// The control plane of one world.
pub struct Plane {
    /// The process.
    pub control: Arc<ControlPlane>,
    clock: Arc<SimClock>,
    trouble: Arc<Mutex<Trouble>>,
    random: Random,
    setup: Arc<Setup>,
    approvals: Approvals,
    store: Store,
}

impl Plane {
    /// Starts a control plane with an empty database.
    ///
    /// # Panics
    /// When there is no memory for the database.
    #[must_use]
    pub fn new(setup: &Arc<Setup>, seed: u64, approvals: Approvals) -> Self {
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let hook = Arc::clone(&trouble);
        let store = Store::in_memory(move |outage| fails(&hook, outage))
            .unwrap_or_else(|error| panic!("no database in memory: {error}"));
        let rng = Mutex::new(Rng::of(seed, 3));
        let random =
            Random::new(move |bytes| rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes));
        let clock = Arc::new(SimClock::default());
        let control = start(setup, &store, &clock, &random, approvals);
        Self { control, clock, trouble, random, setup: Arc::clone(setup), approvals, store }
    }

    /// The process ends, and another one begins on the same database.
    pub fn restart(&mut self) {
        self.control = start(&self.setup, &self.store, &self.clock, &self.random, self.approvals);
    }

    /// Sets the time.
    pub fn set_time(&self, now: Ms) {
        self.clock.now.store(now, Ordering::Relaxed);
    }

    /// Somebody sets the host's wall clock.
    pub fn set_offset(&self, ms: i64) {
        self.clock.offset.store(ms, Ordering::Relaxed);
    }

    /// Returns Unix time on the control plane's host, seconds.
    #[must_use]
    pub fn unix(&self) -> u64 {
        self.clock.now()
    }

    /// So many transactions fail, before they begin or after they were committed.
    pub fn fail(&self, transactions: u32, after_commit: bool) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        (trouble.left, trouble.after_commit) = (transactions, after_commit);
    }

    /// Reads the database, also while it fails.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_spared = true;
        let found = now(self.control.store.transaction(read));
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_spared = false;
        found
    }
}

fn start(
    setup: &Setup,
    store: &Store,
    clock: &Arc<SimClock>,
    random: &Random,
    approvals: Approvals,
) -> Arc<ControlPlane> {
    let mut config = setup.config.clone();
    let Approvals { pair, re_pair, after_repair } = approvals;
    (config.approvals.pair, config.approvals.re_pair) = (pair, re_pair);
    config.approvals.after_repair = Some(after_repair);
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    let parts = ControlPlane::with(config, Arc::clone(&setup.keys), store.clone(), clock, random.clone());
    Arc::new(parts.unwrap_or_else(|error| panic!("the control plane does not start: {error}")))
}

fn fails(trouble: &Mutex<Trouble>, outage: Outage) -> bool {
    let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = trouble.left > 0 && trouble.after_commit == (outage == Outage::Committed);
    if !is_due || trouble.is_spared {
        return false;
    }
    trouble.left -= 1;
    true
}

/// Runs a future that never waits: the database and all work run on this thread.
///
/// # Panics
/// When it waits.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the control plane waits for something outside of the simulation"),
    }
}
