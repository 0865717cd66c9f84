//! A device: its TPM, its disk and its daemon.

mod disk;
mod local;
mod options;
mod session;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

use super::{
    ControlPlane, Directory, LocalApi, Process, Recording, SshAgent, Swtpm, past_clock, process, wait,
};

pub use disk::StateCopy;
pub use local::TokenAnswer;
pub(crate) use options::PCR_BANKS;
pub use options::{DeviceOptions, boot_log};

/// A device.
pub struct Device {
    name: String,
    config: PathBuf,
    state_dir: PathBuf,
    log: PathBuf,
    api: LocalApi,
    daemon: Option<Process>,
    recording: Option<Recording>,
    clock_at_1970: bool,
    /// Its TPM.
    pub tpm: Swtpm,
}

impl Device {
    /// Writes its configuration, and does not start the daemon.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn install(
        directory: &Directory,
        name: &str,
        tpm: Swtpm,
        control_plane: &ControlPlane,
        options: DeviceOptions,
    ) -> Result<Self> {
        let place = directory.create(name)?;
        let recording = options.record.then(|| Recording::start(tpm.port())).transpose()?;
        let config = place.join("pawl.toml");
        let tcti = recording.as_ref().map_or_else(|| tpm.tcti(), Recording::tcti);
        fs::write(&config, options.configuration(&place, &tcti, control_plane))?;
        let log = directory.log(&format!("{name}-pawld"));
        Ok(Self {
            name: name.to_owned(),
            config,
            state_dir: place.join(options::STATE),
            log,
            api: LocalApi::at(place.join(options::SOCKET)),
            daemon: None,
            recording,
            clock_at_1970: false,
            tpm,
        })
    }

    /// Starts the daemon, or starts it again, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&mut self) -> Result<()> {
        let api = self.api.clone();
        let daemon = self.spawn(None)?;
        wait::until("pawld answers", wait::SOON, || {
            daemon.check_running()?;
            api.get("/v1/status")?.success().map(drop)
        })
    }

    /// Starts the daemon where no TPM can be found, and waits until it answers that it waits for one.
    ///
    /// # Errors
    /// When it does not.
    pub fn start_without_tpm(&mut self) -> Result<()> {
        let configuration = fs::read_to_string(&self.config)?;
        fs::write(&self.config, configuration.replace(&self.tpm.tcti(), "device:/nonexistent/tpmrm0"))?;
        let api = self.api.clone();
        let daemon = self.spawn(None)?;
        let answers = wait::until("pawld answers", wait::SOON, || {
            daemon.check_running()?;
            let answer = api.get("/v1/status")?;
            ensure!(answer.status == 503, "pawld answers {}", answer.status);
            Ok(())
        });
        fs::write(&self.config, configuration)?;
        answers
    }

    /// Has its wall clock begin in 1970 at each start of the daemon, as a board's without a battery does.
    pub fn lose_clock(&mut self) {
        self.clock_at_1970 = true;
    }

    /// Starts a daemon that kills itself where `fail_point` stands in its code. Only daemons of
    /// the feature `fail-points` do.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_doomed(&mut self, fail_point: &str) -> Result<()> {
        self.spawn(Some(fail_point)).map(drop)
    }

    fn spawn(&mut self, fail_point: Option<&str>) -> Result<&mut Process> {
        let mut pawld = process::command("pawld")?;
        pawld.arg("--config").arg(&self.config);
        // Under a service manager, the daemon would log to its journal and greet it.
        pawld.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET").env_remove("PAWL_FAIL_POINT");
        if let Some(fail_point) = fail_point {
            pawld.env("PAWL_FAIL_POINT", fail_point);
        }
        if self.clock_at_1970 {
            pawld.env("LD_PRELOAD", past_clock::library()?);
        }
        Ok(self.daemon.insert(Process::spawn(&format!("{}-pawld", self.name), &pawld, &self.log)?))
    }

    /// Waits until the daemon has killed itself at its fail point.
    ///
    /// # Errors
    /// When it keeps running.
    pub fn wait_for_death(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the daemon was not started")?;
        let status = daemon.wait_for_end()?;
        ensure!(status.code().is_none(), "the daemon ended by itself: {status}");
        self.tpm.free_slots()
    }

    /// Ends the daemon with SIGTERM; it must end well.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(&mut self) -> Result<()> {
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        let status = daemon.terminate()?;
        ensure!(status.success(), "the daemon did not end well: {status}");
        Ok(())
    }

    /// Ends the daemon with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        daemon.kill()?;
        self.tpm.free_slots()
    }

    /// Has its TPM replaced, as with a new board; the one that it had. The daemon must be stopped.
    ///
    /// # Errors
    /// When it runs, or its configuration cannot be written.
    pub fn replace_tpm(&mut self, tpm: Swtpm) -> Result<Swtpm> {
        ensure!(self.daemon.is_none(), "the daemon must be stopped before its TPM is replaced");
        let configuration = fs::read_to_string(&self.config)?;
        fs::write(&self.config, configuration.replace(&self.tpm.tcti(), &tpm.tcti()))?;
        Ok(std::mem::replace(&mut self.tpm, tpm))
    }

    /// The daemon's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Process::pid)
    }

    /// Runs `pawlctl` for this device, and gives all that it printed, whether it succeeds or not.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn pawlctl(&self, arguments: &[&str]) -> Result<Output> {
        self.pawlctl_command(arguments)?.output().context("start pawlctl")
    }

    /// The same with an SSH agent at hand.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn pawlctl_with_agent(&self, agent: &SshAgent, arguments: &[&str]) -> Result<Output> {
        let mut command = self.pawlctl_command(arguments)?;
        command.env(SshAgent::VARIABLE, agent.socket()).output().context("start pawlctl")
    }

    /// The same command, for callers that run it in their own way.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn pawlctl_command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = process::command("pawlctl")?;
        command.args(arguments).arg("--socket").arg(self.api.socket());
        command.env_remove(SshAgent::VARIABLE).env_remove("SSH_CONNECTION");
        Ok(command)
    }

    /// What the daemon stores.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its local API.
    #[must_use]
    pub fn api(&self) -> &LocalApi {
        &self.api
    }

    /// The wire tap, where one was asked for.
    #[must_use]
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// All that the daemon logged, in all its runs.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("read {}", self.log.display()))
    }
}
