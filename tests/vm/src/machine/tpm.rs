//! The machine's TPM: a swtpm process that runs while the machine is switched on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use pawl_e2e::rig::{Process, wait};

/// A running swtpm that QEMU connects to.
pub(super) struct Tpm {
    process: Process,
    socket: PathBuf,
}

impl Tpm {
    /// Starts swtpm with the state in the directory `state`.
    pub(super) fn start(state: &Path, socket: &Path, log: &Path) -> Result<Self> {
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--terminate"]);
        swtpm.arg("--tpmstate").arg(format!("dir={}", state.display()));
        swtpm.arg("--ctrl").arg(format!("type=unixio,path={}", socket.display()));
        let mut process = Process::spawn("swtpm", &swtpm, log)?;
        wait::until("swtpm listens", wait::SOON, || {
            process.check_running()?;
            ensure!(socket.exists(), "swtpm does not listen");
            Ok(())
        })?;
        Ok(Self { process, socket: socket.to_owned() })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until swtpm has exited. It exits by itself when QEMU does.
    pub(super) fn wait_for_end(mut self) -> Result<()> {
        self.process.wait_for_end().map(drop)
    }
}
