//! The parts, one file each, and the [`Rig`] that wires them.

mod approver;
mod broker;
mod client_certificate;
mod control_plane;
mod device;
mod directory;
mod factory;
mod interposer;
pub mod invocation;
mod local_api;
mod logs;
mod old_keys;
mod past_clock;
mod process;
mod proxy;
mod swtpm;
mod terminal;
mod tpm_command;
pub mod wait;

pub use approver::{Approver, SshAgent};
pub use broker::{Broker, OBSERVERS};
pub use client_certificate::ClientCertificate;
pub use control_plane::{ApprovalTerms, ControlPlane, Terms};
pub use device::{Device, DeviceOptions, StateCopy, TokenAnswer, boot_log};
pub use directory::{Directory, free_pair, free_port};
pub use factory::Factory;
pub use interposer::Interposer;
pub use local_api::{LocalApi, Response};
pub use logs::{ImaLogFile, MeasureLog};
pub use old_keys::OldKeys;
pub use process::{Process, program};
pub use proxy::Recording;
pub use swtpm::Swtpm;
pub use terminal::Terminal;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A factory, a broker and a control plane, running, and a place for devices.
///
/// When a test that holds one panics, it prints the last lines of every log.
pub struct Rig {
    /// Makes TPMs that the control plane trusts by their certificate.
    pub factory: Factory,
    /// Serves [`Rig::broker`]'s clients.
    pub control_plane: ControlPlane,
    /// Carries the messages.
    pub broker: Broker,
    // Last, since fields drop in order: the parts end before their files go.
    directory: Directory,
}

impl Rig {
    /// Starts all but the devices, with a factory of its own.
    ///
    /// # Errors
    /// What could not be started, and why.
    pub fn start(terms: &Terms) -> Result<Self> {
        let directory = Directory::temporary()?;
        let factory = Factory::build(directory.create("factory")?)?;
        Self::with(directory, factory, terms)
    }

    /// The same, with TPMs from a factory that tests share: certified TPMs take their time.
    ///
    /// # Errors
    /// As for [`Rig::start`].
    pub fn for_test() -> Result<Self> {
        Self::for_test_with(&Terms::default())
    }

    /// The same, under other terms.
    ///
    /// # Errors
    /// As for [`Rig::start`].
    pub fn for_test_with(terms: &Terms) -> Result<Self> {
        Self::with(Directory::temporary()?, Factory::shared()?, terms)
    }

    fn with(directory: Directory, factory: Factory, terms: &Terms) -> Result<Self> {
        let (control_plane, broker) =
            start_parts(&directory, &factory, terms).inspect_err(|error| directory.explain(error))?;
        Ok(Self { factory, control_plane, broker, directory })
    }

    /// A device with a new TPM, its daemon not started.
    ///
    /// # Errors
    /// What could not be made, and why.
    pub fn device(&self, name: &str, mut options: DeviceOptions) -> Result<Device> {
        if let Some(log) = &mut options.boot_log {
            // A copy, which other boots may replace.
            let copy = self.directory.create(name)?.join("boot_log");
            fs::copy(&log, &copy).with_context(|| format!("copy {}", log.display()))?;
            *log = copy;
        }
        let tpm = self.new_tpm_with(name, options.boot_log.clone(), options.pcr_banks)?;
        Device::install(&self.directory, name, tpm, &self.control_plane, options)
    }

    /// A device that its control plane knows, running and entitled.
    ///
    /// # Errors
    /// What went wrong on the way there.
    pub fn paired_device(&self, name: &str, options: DeviceOptions) -> Result<Device> {
        let mut device = self.device(name, options)?;
        self.pair(&mut device, name)?;
        Ok(device)
    }

    /// Starts a device, enrols it and pairs it, and waits until it is entitled. Gives its id.
    ///
    /// # Errors
    /// When a step fails.
    pub fn pair(&self, device: &mut Device, label: &str) -> Result<String> {
        device.start()?;
        let status = device.status()?;
        self.control_plane.enrol(&status.ek_sha256, label)?;
        device.pair()?;
        device.wait_until_entitled()?;
        Ok(status.device.to_string())
    }

    /// A person whom the control plane lets approve.
    ///
    /// # Errors
    /// When their key cannot be made.
    pub fn approver(&self, name: &str) -> Result<Approver> {
        let approver = Approver::new(&self.directory, name)?;
        approver.admit(&self.control_plane)?;
        Ok(approver)
    }

    /// The private directory of this rig.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A new TPM, as a new board has it, which measures the boot that this log tells of.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_tpm(&self, name: &str, boot_log: Option<PathBuf>) -> Result<Swtpm> {
        self.new_tpm_with(name, boot_log, device::PCR_BANKS)
    }

    fn new_tpm_with(&self, name: &str, boot_log: Option<PathBuf>, pcr_banks: &str) -> Result<Swtpm> {
        let state = self.directory.create(&format!("{name}/tpm"))?;
        self.factory.make_tpm(&state)?;
        if pcr_banks != device::PCR_BANKS {
            self.factory.set_pcr_banks(&state, pcr_banks)?;
        }
        Swtpm::start(&self.directory, name, state, boot_log)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.directory.log_tails());
        }
    }
}

fn start_parts(directory: &Directory, factory: &Factory, terms: &Terms) -> Result<(ControlPlane, Broker)> {
    let broker_port = free_port()?;
    let mut control_plane = ControlPlane::install(directory, factory, broker_port, terms)?;
    let broker = Broker::start(directory, control_plane.state_dir(), broker_port)?;
    control_plane.start()?;
    Ok((control_plane, broker))
}
