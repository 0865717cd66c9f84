//! A TPM: swtpm, and the firmware that measures into it.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::signal::Signal;
use pawl_evidence::eventlog::{EventKind, EventLog};
use pawl_evidence::tpm::HashAlgorithm;

use super::tpm_command::Bus;
use super::{Directory, Process, free_pair, wait};

/// A running TPM that serves one client at a time.
pub struct Swtpm {
    name: String,
    state: PathBuf,
    log: PathBuf,
    port: u16,
    boot_log: Option<PathBuf>,
    process: Option<Process>,
}

impl Swtpm {
    /// Starts it on the state that a [`super::Factory`] made, and boots.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        directory: &Directory,
        device: &str,
        state: PathBuf,
        boot_log: Option<PathBuf>,
    ) -> Result<Self> {
        let name = format!("{device}-swtpm");
        let log = directory.log(&name);
        let mut tpm = Self { name, state, log, port: free_pair()?, boot_log, process: None };
        tpm.power_on()?;
        Ok(tpm)
    }

    /// How the TSS finds it.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// Its command port; the control channel is on the next one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it where it is (SIGSTOP): it takes connections and commands, and answers none.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.process.as_ref().context("it does not run")?.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.process.as_ref().context("it does not run")?.signal(Signal::SIGCONT)
    }

    /// Whether a command waits that it has not read.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn has_unread_command(&self) -> Result<bool> {
        let connections = fs::read_to_string("/proc/net/tcp")?;
        let local = format!(":{:04X}", self.port);
        Ok(connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|fields| {
            let is_ours = fields.get(1).is_some_and(|address| address.ends_with(&local));
            let unread = fields.get(4).and_then(|queues| queues.split_once(':')).map(|(_, unread)| unread);
            // A listener's queue counts connections.
            is_ours && fields.get(3) == Some(&"01") && unread.is_some_and(|unread| unread != "00000000")
        }))
    }

    /// The event log of the boot that it measured, if it measured one.
    #[must_use]
    pub fn boot_log(&self) -> Option<&Path> {
        self.boot_log.as_deref()
    }

    /// A power cycle: PCRs start anew and resetCount rises. Nobody may be connected.
    ///
    /// # Errors
    /// When it does not end or does not start again.
    pub fn reset(&mut self) -> Result<()> {
        self.power_off()?;
        self.power_on()
    }

    /// A power cycle into the boot that another event log tells of.
    ///
    /// # Errors
    /// As for [`Swtpm::reset`], and when this TPM has no boot log to replace.
    pub fn reset_into(&mut self, boot_log: &Path) -> Result<()> {
        let replaced = self.boot_log.as_ref().context("this TPM measures no boot")?;
        fs::copy(boot_log, replaced).with_context(|| format!("copy {}", boot_log.display()))?;
        self.reset()
    }

    /// The same without a warning: what it has not saved is lost. Nobody may be connected.
    ///
    /// # Errors
    /// As for [`Swtpm::reset`].
    pub fn cut_power(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.kill()?;
        }
        self.power_on()
    }

    /// Has it fail: no command is answered any more.
    ///
    /// # Errors
    /// When it does not end.
    pub fn fail(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Copies all that it stores, as a hypervisor can, between two power cycles. Nobody may be connected.
    ///
    /// # Errors
    /// As for [`Swtpm::reset`], and when files cannot be copied.
    pub fn copy_state(&mut self, to: &Path) -> Result<()> {
        self.power_off()?;
        copy_files(&self.state, to)?;
        self.power_on()
    }

    /// Puts such a copy back. Nobody may be connected.
    ///
    /// # Errors
    /// As for [`Swtpm::copy_state`].
    pub fn restore_state(&mut self, from: &Path) -> Result<()> {
        self.power_off()?;
        copy_files(from, &self.state)?;
        self.power_on()
    }

    /// Moves its clock on, as if the device had run for so long. Nobody may be connected.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn advance_clock(&self, by: Duration) -> Result<()> {
        Bus::open(self.port)?.advance_clock(u64::try_from(by.as_millis())?)
    }

    /// Extends a PCR, as another boot would: the sha256 bank by this digest, the sha384 bank by one made of it. Nobody
    /// may be connected.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn extend(&self, pcr: u8, digest: &[u8; 32]) -> Result<()> {
        self.extend_all(pcr, &[*digest])
    }

    /// The same with one digest after the other.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn extend_all(&self, pcr: u8, digests: &[[u8; 32]]) -> Result<()> {
        let mut bus = Bus::open(self.port)?;
        digests.iter().try_for_each(|digest| {
            let longer = HashAlgorithm::Sha384.digest(&[digest]);
            bus.extend(pcr, digest, longer.as_bytes().try_into()?)
        })
    }

    /// Extends a PCR by the digest of each bank. Nobody may be connected.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn extend_banks(&self, pcr: u8, sha256: &[u8; 32], sha384: &[u8; 48]) -> Result<()> {
        Bus::open(self.port)?.extend(pcr, sha256, sha384)
    }

    /// Frees what a process that was killed left in it, as the kernel's resource manager does.
    /// Nobody may be connected.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn free_slots(&self) -> Result<()> {
        Bus::open(self.port)?.flush_all()
    }

    fn power_on(&mut self) -> Result<()> {
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--flags", "startup-clear,not-need-init"]);
        swtpm.arg("--tpmstate").arg(format!("dir={}", self.state.display()));
        swtpm.arg("--server").arg(format!("type=tcp,bindaddr=127.0.0.1,port={}", self.port));
        swtpm.arg("--ctrl").arg(format!("type=tcp,bindaddr=127.0.0.1,port={}", self.port + 1));
        let process = self.process.insert(Process::spawn(&self.name, &swtpm, &self.log)?);
        let control = (Ipv4Addr::LOCALHOST, self.port + 1);
        wait::until("swtpm listens", wait::SOON, || {
            process.check_running()?;
            TcpStream::connect(control).context("swtpm does not listen")
        })?;
        self.measure_boot()
    }

    fn power_off(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |process| process.terminate().map(drop))
    }

    /// Extends what the boot log says, event by event.
    fn measure_boot(&self) -> Result<()> {
        let Some(path) = &self.boot_log else { return Ok(()) };
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let log = EventLog::parse(&bytes).with_context(|| format!("parse {}", path.display()))?;
        // The control channel is there a moment before the other one.
        let mut bus = wait::until("swtpm serves", wait::SOON, || Bus::open(self.port))?;
        for event in log.events() {
            let event = event?;
            if event.kind == EventKind::NO_ACTION {
                continue;
            }
            let sha256 = event.digest(HashAlgorithm::Sha256).ok_or_else(|| anyhow!("no sha256 digest"))?;
            // Logs of older fixtures have no such digests; nothing looks at that bank then.
            let made = HashAlgorithm::Sha384.digest(&[sha256.as_bytes()]);
            let sha384 = event.digest(HashAlgorithm::Sha384).unwrap_or(&made);
            bus.extend(event.pcr, sha256.as_bytes().try_into()?, sha384.as_bytes().try_into()?)?;
        }
        Ok(())
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))
            .with_context(|| format!("copy {}", entry.path().display()))?;
    }
    Ok(())
}
