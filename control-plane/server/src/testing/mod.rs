//! Fixtures of the tests: a control plane in a temporary directory, and a TPM in software.

mod action;
mod broker;
mod device;
mod mute_broker;
mod operator;
mod reporting;
mod session;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pawl_proto::{DeviceId, Digest};
use pawl_verifier::boot_digest;

use crate::clock::Clock;
use crate::clock::tests::SetClock;
use crate::config::Config;
use crate::control_plane::ControlPlane;
use crate::state::LostDatabase;
use crate::store::{Store, StoreError, Tx};

pub(crate) use action::{ActionAttempt, SUBJECT, action_step, authorization, jws};
pub(crate) use broker::Broker;
pub(crate) use device::{Device, decode_verdict, request_for};
pub(crate) use mute_broker::MuteBroker;
pub(crate) use operator::Operator;
pub(crate) use pawl_verifier::testing::{ENDORSEMENT, OWNER, Records};
pub(crate) use reporting::Reporting;
pub(crate) use session::{Approver, OpenedSession};

/// A control plane whose clock moves only when a test advances it.
pub(crate) struct Rig {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) clock: Arc<SetClock>,
    dir: tempfile::TempDir,
}

impl Rig {
    /// Creates a control plane whose policy needs no approval.
    pub(crate) fn new() -> Self {
        Self::with("[approvals]\nre_pair = 0\n")
    }

    /// Creates a control plane with `policy` under `[approvals]` and these approvers.
    pub(crate) fn approved_by(policy: &str, names: &[&str]) -> (Self, Vec<Approver>) {
        let rig = Self::with(&format!("[approvals]\nallowed_signers = SIGNERS\n{policy}\n"));
        let approvers: Vec<Approver> = names.iter().map(|name| rig.person(name)).collect();
        rig.admit(&approvers.iter().map(|approver| approver.line("")).collect::<String>());
        (rig, approvers)
    }

    /// Creates a control plane with these sections of the configuration; SIGNERS is replaced with the path of the list
    /// of approvers.
    pub(crate) fn with(sections: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let broker = broker::free_port();
        let sections = sections.replace("SIGNERS", &format!("{:?}", dir.path().join("allowed_signers")));
        let text = format!(
            "state_dir = {state:?}\nlisten = \"127.0.0.1:8443\"\nname = \"Example fleet\"\n\
             host_names = [\"localhost\"]\nurl = \"https://localhost:8443\"\n\
             [broker]\nhost = \"localhost\"\nport = {broker}\n[lease]\nseconds = 900\n{sections}"
        );
        std::fs::write(dir.path().join("control-plane.toml"), text).unwrap();
        let clock = Arc::new(SetClock::at(1_700_000_000));
        let plane = open(dir.path(), &clock);
        Self { plane, clock, dir }
    }

    /// Opens the control plane again from its files.
    pub(crate) fn restart(&mut self) {
        self.plane = open(self.dir.path(), &self.clock);
    }

    /// Returns the digest of the boot state that a device last reported.
    pub(crate) async fn reported(&self, device: DeviceId) -> Digest {
        let state = self.plane.store.transaction(move |tx| tx.reported_state(device)).await.unwrap();
        boot_digest(&state.unwrap())
    }

    /// Sets the default policy and reloads the policies.
    pub(crate) fn set_policy(&self, policy: &str) {
        let directory = self.dir.path().join("policy");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("default.toml"), policy).unwrap();
        self.plane.policies.reload().unwrap();
    }

    /// Creates a person with a key who is not in the list of approvers.
    pub(crate) fn person(&self, name: &str) -> Approver {
        Approver::new(self.dir.path(), name)
    }

    /// Writes the list of approvers.
    pub(crate) fn admit(&self, lines: &str) {
        std::fs::write(self.dir.path().join("allowed_signers"), lines).unwrap();
    }
}

fn open(dir: &Path, clock: &Arc<SetClock>) -> Arc<ControlPlane> {
    let config = Config::load(&dir.join("control-plane.toml")).unwrap();
    let clock: Arc<dyn Clock> = clock.clone();
    Arc::new(ControlPlane::open(config, clock, LostDatabase::Refused).unwrap())
}

type Change = Box<dyn FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send>;

/// Counts appraisals, and commits changes of other transactions between appraisals and their commits.
#[derive(Default)]
pub(crate) struct Appraisals(Mutex<(usize, VecDeque<Change>)>);

impl Appraisals {
    /// Queues a change for another transaction to commit after the next appraisal that has no change yet.
    pub(crate) fn change(&self, change: impl FnOnce(&Tx<'_>) -> Result<(), StoreError> + Send + 'static) {
        self.lock().1.push_back(Box::new(change));
    }

    /// Returns how many appraisals were made.
    pub(crate) fn count(&self) -> usize {
        self.lock().0
    }

    /// Counts an appraisal that is not committed yet, and commits the change queued for it.
    pub(crate) async fn done(&self, store: &Store) {
        let change = {
            let mut inner = self.lock();
            inner.0 += 1;
            inner.1.pop_front()
        };
        if let Some(change) = change {
            store.transaction(change).await.unwrap();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, VecDeque<Change>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
