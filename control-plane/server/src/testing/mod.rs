//! What tests share: a control plane in a temporary directory, and a TPM in software.

mod action;
mod appraisals;
mod approver;
mod broker;
mod device;
mod jws;
mod mute_broker;
mod reporting;
mod session;

use pawl_proto::{DeviceId, Digest};
use std::path::Path;
use std::sync::Arc;

pub(crate) use action::{SUBJECT, Wanted, action_step, authorization};
pub(crate) use appraisals::Appraisals;
pub(crate) use approver::Approver;
pub(crate) use broker::Broker;
pub(crate) use device::{Device, decode_verdict, request_for};
pub(crate) use jws::jws;
pub(crate) use mute_broker::MuteBroker;
pub(crate) use pawl_verifier::testing::{ENDORSEMENT, OWNER, Records};
pub(crate) use reporting::Reporting;
pub(crate) use session::Asked;

use crate::clock::Clock;
use crate::clock::tests::SetClock;
use crate::config::Config;
use crate::control_plane::ControlPlane;
use pawl_verifier::boot_digest;

/// A control plane whose clock stands until it is moved.
pub(crate) struct Rig {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) clock: Arc<SetClock>,
    dir: tempfile::TempDir,
}

impl Rig {
    /// Where nobody has to approve anything.
    pub(crate) fn new() -> Self {
        Self::with("[approvals]\nre_pair = 0\n")
    }

    /// Where persons have to approve: `policy` stands under `[approvals]`, and these may.
    pub(crate) fn approved_by(policy: &str, names: &[&str]) -> (Self, Vec<Approver>) {
        let rig = Self::with(&format!("[approvals]\nallowed_signers = SIGNERS\n{policy}\n"));
        let approvers: Vec<Approver> = names.iter().map(|name| rig.person(name)).collect();
        rig.admit(&approvers.iter().map(|approver| approver.line("")).collect::<String>());
        (rig, approvers)
    }

    /// With these sections of the configuration; SIGNERS is the path of the list of approvers.
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

    /// Forgets all that is not on the disk.
    pub(crate) fn restart(&mut self) {
        self.plane = open(self.dir.path(), &self.clock);
    }

    /// The digest of the boot state that a device last reported.
    pub(crate) async fn reported(&self, device: DeviceId) -> Digest {
        let state = self.plane.store.transaction(move |tx| tx.reported_state(device)).await.unwrap();
        boot_digest(&state.unwrap())
    }

    /// Puts a policy in force for every device.
    pub(crate) fn set_policy(&self, policy: &str) {
        let directory = self.dir.path().join("policy");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("default.toml"), policy).unwrap();
        self.plane.policies.reload().unwrap();
    }

    /// A person with a key, whom nobody has admitted yet.
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
    Arc::new(ControlPlane::open(config, clock).unwrap())
}
