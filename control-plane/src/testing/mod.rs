//! What tests share: a control plane in a temporary directory, and a TPM in software.

mod broker;
mod device;
mod structures;
mod tpm;

use std::sync::Arc;

pub(crate) use broker::Broker;
pub(crate) use device::{Device, decode_verdict, request_for};

use crate::clock::Clock;
use crate::clock::tests::SetClock;
use crate::config::Config;
use crate::control_plane::ControlPlane;

/// A control plane whose clock stands until it is moved.
pub(crate) struct Rig {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) clock: Arc<SetClock>,
    _dir: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let path = dir.path().join("control-plane.toml");
        let broker = broker::free_port();
        let text = format!(
            "state_dir = {state:?}\nlisten = \"127.0.0.1:8443\"\nname = \"Example fleet\"\n\
             host_names = [\"localhost\"]\nurl = \"https://localhost:8443\"\n\
             [broker]\nhost = \"localhost\"\nport = {broker}\n[lease]\nseconds = 900\n"
        );
        std::fs::write(&path, text).unwrap();
        let clock = Arc::new(SetClock::at(1_700_000_000));
        let shared: Arc<dyn Clock> = clock.clone();
        let plane = ControlPlane::open(Config::load(&path).unwrap(), shared).unwrap();
        Self { plane: Arc::new(plane), clock, _dir: dir }
    }
}
