//! The control plane: its process, and its operator at the command line.

mod commands;
mod terms;

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use super::{Directory, Factory, LocalApi, Process, free_port, process, wait};

pub use terms::{ApprovalTerms, Terms};

/// What it grants each device that it enrols.
const GRANTED: [&str; 4] = ["--scope", "telemetry", "--scope", "maintenance"];

/// A control plane.
pub struct ControlPlane {
    state_dir: PathBuf,
    config: PathBuf,
    allowed_signers: PathBuf,
    log: PathBuf,
    host: &'static str,
    port: u16,
    process: Option<Process>,
}

impl ControlPlane {
    /// Makes its keys and certificates, and does not start it.
    ///
    /// # Errors
    /// When `init` fails.
    pub fn install(
        directory: &Directory,
        factory: &Factory,
        broker_port: u16,
        terms: &Terms,
    ) -> Result<Self> {
        let place = directory.create("control-plane")?;
        let port = free_port()?;
        let control_plane = Self {
            state_dir: place.join("state"),
            config: place.join("control-plane.toml"),
            allowed_signers: place.join("allowed_signers"),
            log: directory.log("control-plane"),
            host: terms.host,
            port,
            process: None,
        };
        let endorsement = match terms.vendor_cas {
            true => format!("[endorsement]\nvendor_cas = \"{}\"\n", factory.vendor_cas().display()),
            false => String::new(),
        };
        let text = format!(
            r#"state_dir = "{state}"
listen = "127.0.0.1:{port}"
name = "Example fleet"
host_names = ["localhost", "127.0.0.1"]
url = "{url}"
[broker]
host = "{host}"
port = {broker_port}
{endorsement}{terms}"#,
            state = control_plane.state_dir.display(),
            host = terms.host,
            url = control_plane.url(),
            terms = terms.configuration(&control_plane.allowed_signers),
        );
        fs::write(&control_plane.allowed_signers, "")?;
        fs::write(&control_plane.config, text)?;
        control_plane.operator(&["init"])?;
        Ok(control_plane)
    }

    /// Starts it, or starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&mut self) -> Result<()> {
        let mut serve = process::command("pawl-control-plane")?;
        serve.arg("serve").arg("--config").arg(&self.config);
        let port = self.port;
        let admin = LocalApi::at(self.state_dir.join("admin.sock"));
        let process = self.process.insert(Process::spawn("control-plane", &serve, &self.log)?);
        wait::until("the control plane answers", wait::SOON, || {
            process.check_running()?;
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("it does not listen")?;
            admin.get("/v1/devices")?.success().map(drop)
        })
    }

    /// Lets it open so many files, as systemd lets services by default; what runs the tests may let it open any number.
    ///
    /// # Errors
    /// When it does not run, or the limit cannot be set.
    pub fn limit_open_files(&self, count: u64) -> Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        let pid = Pid::from_raw(i32::try_from(process.pid())?).context("it has no pid")?;
        let limit = Rlimit { current: Some(count), maximum: Some(count) };
        prlimit(Some(pid), Resource::Nofile, limit).context("limit its open files")?;
        Ok(())
    }

    /// How many files and connections it has open.
    ///
    /// # Errors
    /// When it does not run.
    pub fn open_files(&self) -> Result<usize> {
        let pid = self.process.as_ref().context("it does not run")?.pid();
        Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |process| process.terminate().map(drop))
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Stops it where it is (SIGSTOP): it accepts connections and answers none.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.process.as_ref().context("it does not run")?.signal(Signal::SIGSTOP)
    }

    /// An operator's command and its JSON.
    ///
    /// # Errors
    /// When it fails; with what it printed.
    pub fn operator(&self, arguments: &[&str]) -> Result<Value> {
        let output = process::run(self.command(arguments)?.arg("--json"))?;
        serde_json::from_slice(&output)
            .with_context(|| format!("read the answer to `pawl-control-plane {}`", arguments.join(" ")))
    }

    /// An operator's command, for callers that run it in their own way.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = process::command("pawl-control-plane")?;
        command.args(arguments).arg("--config").arg(&self.config);
        Ok(command)
    }

    /// Lets the TPM with this endorsement key pair, and grants it the scopes that devices of tests ask for.
    ///
    /// # Errors
    /// As for [`ControlPlane::operator`]; so for all of the following.
    pub fn enrol(&self, ek_sha256: &str, label: &str) -> Result<Value> {
        self.operator(&[["enrol", "--ek-sha256", ek_sha256, "--label", label].as_slice(), &GRANTED].concat())
    }

    /// Changes what it grants a device.
    ///
    /// # Errors
    /// As above.
    pub fn entitle(&self, device: &str, change: &[&str]) -> Result<Value> {
        self.operator(&[&["entitle", device], change].concat())
    }

    /// Lets the TPM with this endorsement key pair without a vendor's certificate.
    ///
    /// # Errors
    /// As above.
    pub fn enrol_without_certificate(&self, ek_sha256: &str) -> Result<Value> {
        let exempt = ["enrol", "--ek-sha256", ek_sha256, "--without-certificate"];
        self.operator(&[exempt.as_slice(), &GRANTED].concat())
    }

    /// All that it knows of a device.
    ///
    /// # Errors
    /// As above.
    pub fn show(&self, device: &str) -> Result<Value> {
        self.operator(&["show", device])
    }

    /// Accepts the boot state that a device last reported.
    ///
    /// # Errors
    /// As above.
    pub fn accept(&self, device: &str) -> Result<Value> {
        self.operator(&["accept", device, "--state", &self.reported_state(device)?])
    }

    /// The digest of the boot state that a device last reported, as `show` shows it.
    ///
    /// # Errors
    /// As above, and before the first report.
    pub fn reported_state(&self, device: &str) -> Result<String> {
        let shown = self.show(device)?;
        let digest = shown.pointer("/reported_state/digest").and_then(Value::as_str);
        digest.map(str::to_owned).context("it has reported nothing")
    }

    /// Orders a revocation.
    ///
    /// # Errors
    /// As above.
    pub fn revoke(&self, device: &str, reason: &str) -> Result<Value> {
        self.operator(&["revoke", device, "--reason", reason, "--yes"])
    }

    /// Suspends a device.
    ///
    /// # Errors
    /// As above.
    pub fn suspend(&self, device: &str, reason: &str) -> Result<Value> {
        self.operator(&["suspend", device, "--reason", reason])
    }

    /// Ends the suspension that `show` shows.
    ///
    /// # Errors
    /// As above.
    pub fn resume(&self, device: &str) -> Result<Value> {
        let shown = self.show(device)?;
        let suspension = shown.get("suspension").and_then(Value::as_u64).context("it is not suspended")?;
        self.operator(&["resume", device, "--suspension", &suspension.to_string()])
    }

    /// Orders a report.
    ///
    /// # Errors
    /// As above.
    pub fn refresh(&self, device: &str) -> Result<Value> {
        self.operator(&["refresh", device])
    }

    /// Its records about a device.
    ///
    /// # Errors
    /// As above.
    pub fn records(&self, device: &str) -> Result<Vec<Value>> {
        Ok(serde_json::from_value(self.operator(&["records", device])?)?)
    }

    /// Its HTTPS origin, as devices reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }

    /// The port of the loopback interface where it serves HTTPS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that devices pin.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.state_dir.join("ca.pem")
    }

    /// Its keys, certificates and database.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Who may approve, as OpenSSH writes it (ssh-keygen(1), ALLOWED SIGNERS). Read for every
    /// approval.
    #[must_use]
    pub fn allowed_signers(&self) -> &Path {
        &self.allowed_signers
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// All that it logged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("read {}", self.log.display()))
    }
}
