//! A machine: its disk, its firmware's variables and its TPM, and the processes while it is switched on.

mod channel;
mod monitor;
mod qemu;
mod tpm;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use pawl_e2e::rig::{Process, wait};

use crate::architecture::Architecture;
use crate::image::{Disk, Firmware, Image, System};
use channel::Channel;
use monitor::Monitor;
use qemu::Hardware;
use tpm::Tpm;

pub(crate) use channel::Done;

/// A machine, switched on or off.
pub(crate) struct Machine {
    architecture: Architecture,
    /// Its files and logs.
    place: PathBuf,
    /// Its sockets, whose names must be short.
    sockets: PathBuf,
    disk: Disk,
    memory: u32,
    /// Its firmware. Machines share the code; the variables are its own.
    firmware: Firmware,
    tpm_state: PathBuf,
    forwarded: Vec<u16>,
    running: Option<Running>,
}

struct Running {
    // The fields are dropped in this order.
    channel: Channel,
    monitor: Monitor,
    qemu: Process,
    tpm: Tpm,
}

/// Whether the network cable is plugged in when the machine is switched on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cable {
    In,
    Out,
}

/// The time limit for a boot or a shutdown. Each takes half a minute on an idle host, minutes on a busy one.
const BOOT: Duration = Duration::from_secs(480);
/// The time limit for a script that does not wait.
const SCRIPT: Duration = Duration::from_secs(60);

impl Machine {
    /// Creates a machine from these parts, with its files in `place`.
    pub(crate) fn assemble(
        system: &System,
        place: &Path,
        sockets: PathBuf,
        disk: Disk,
        tpm_state: PathBuf,
        forwarded: &[u16],
    ) -> Result<Self> {
        let (code, variables) = (system.firmware().code.clone(), place.join("variables.fd"));
        let of_factory = &system.firmware().variables;
        fs::copy(of_factory, &variables).with_context(|| format!("copy {}", of_factory.display()))?;
        Ok(Self {
            architecture: system.architecture(),
            place: place.to_owned(),
            sockets,
            disk,
            memory: system.release().memory(),
            firmware: Firmware { code, variables },
            tpm_state,
            forwarded: forwarded.to_vec(),
            running: None,
        })
    }

    /// Replaces the image that the machine boots, as an update does.
    pub(crate) fn install(&mut self, image: &Image) -> Result<()> {
        self.must_be_off()?;
        self.disk.put(image)
    }

    /// Replaces the disk, and returns the old one.
    pub(crate) fn replace_disk(&mut self, disk: Disk) -> Result<Disk> {
        self.must_be_off()?;
        Ok(std::mem::replace(&mut self.disk, disk))
    }

    /// Returns the path of the TPM's persistent state.
    pub(crate) fn tpm_state(&self) -> PathBuf {
        self.tpm_state.join("tpm2-00.permall")
    }

    /// Returns when the TPM last wrote its persistent state.
    pub(crate) fn tpm_written(&self) -> Result<SystemTime> {
        fs::metadata(self.tpm_state()).and_then(|file| file.modified()).context("read the TPM state's time")
    }

    /// Switches the machine on, and waits until the guest has started. Returns the time until the guest accepted scripts.
    pub(crate) fn boot(&mut self, cable: Cable) -> Result<Duration> {
        let start = Instant::now();
        self.switch_on(cable)?;
        let Running { channel, qemu, .. } = self.running.as_mut().context("it is switched off")?;
        channel.wait_for_guest(start + BOOT, || qemu.check_running()).context("the machine does not boot")?;
        let took = start.elapsed();
        self.wait_until_started()?;
        Ok(took)
    }

    /// Waits until systemd has no more jobs, whether they succeeded or not. Does not poll, because that would slow down the
    /// start of an emulated machine.
    fn wait_until_started(&mut self) -> Result<()> {
        self.run_within(BOOT, "systemctl is-system-running --wait").map(drop)
    }

    /// Switches the machine on, without waiting for it to boot.
    pub(crate) fn switch_on(&mut self, cable: Cable) -> Result<()> {
        self.must_be_off()?;
        let (monitor, channel) = (self.sockets.join("monitor"), self.sockets.join("channel"));
        let tpm = Tpm::start(&self.tpm_state, &self.sockets.join("tpm"), &self.place.join("swtpm.log"))?;
        let hardware = Hardware {
            architecture: self.architecture,
            disk: self.disk.path(),
            memory: self.memory,
            firmware: &self.firmware,
            tpm: tpm.socket(),
            monitor: &monitor,
            channel: &channel,
            console: &self.console_file(),
            forwarded: &self.forwarded,
        };
        let qemu = Process::spawn("qemu", &hardware.command(), &self.place.join("qemu.log"))?;
        let mut monitor = Monitor::connect(&monitor)?;
        let channel = Channel::connect(&channel)?;
        monitor.set_link(qemu::CARD, cable == Cable::In)?;
        monitor.run()?;
        self.running = Some(Running { channel, monitor, qemu, tpm });
        Ok(())
    }

    /// Plugs the network cable in.
    pub(crate) fn plug_in(&mut self) -> Result<()> {
        self.running()?.monitor.set_link(qemu::CARD, true)
    }

    /// Shuts the guest down, which stops each unit.
    pub(crate) fn shut_down(&mut self) -> Result<()> {
        self.power_off("systemctl poweroff")
    }

    /// Switches the guest off faster: it kills all processes at once and unmounts its file systems.
    pub(crate) fn switch_off(&mut self) -> Result<()> {
        self.power_off("systemctl poweroff --force")
    }

    fn power_off(&mut self, script: &str) -> Result<()> {
        self.running()?.channel.send(script)?;
        let Some(Running { mut qemu, tpm, .. }) = self.running.take() else { return Ok(()) };
        wait::until("the machine has shut down", BOOT, || {
            ensure!(qemu.check_running().is_err(), "it still runs");
            Ok(())
        })?;
        qemu.wait_for_end()?;
        tpm.wait_for_end()
    }

    /// Restarts userspace under the same kernel, and waits until the guest has started. Returns the time until the guest accepted
    /// scripts.
    pub(crate) fn soft_reboot(&mut self) -> Result<Duration> {
        let start = Instant::now();
        let Running { channel, qemu, .. } = self.running()?;
        channel.send("systemctl soft-reboot")?;
        channel
            .wait_for_new_guest(start + BOOT, || qemu.check_running())
            .context("the machine does not come back from a soft reboot")?;
        let took = start.elapsed();
        self.wait_until_started()?;
        Ok(took)
    }

    /// Cuts the power: the guest loses all data that it has not written to the disk.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        let Some(Running { qemu, tpm, .. }) = self.running.take() else { return Ok(()) };
        qemu.kill()?;
        tpm.wait_for_end()
    }

    /// Runs a script in the guest to its end.
    pub(crate) fn run(&mut self, script: &str) -> Result<Done> {
        self.run_within(SCRIPT, script)
    }

    /// Runs a script with this time limit, for scripts that wait.
    pub(crate) fn run_within(&mut self, limit: Duration, script: &str) -> Result<Done> {
        let Running { channel, qemu, .. } = self.running()?;
        channel.send(script)?;
        channel
            .receive(Instant::now() + limit, || qemu.check_running())
            .with_context(|| format!("run `{script}`"))
    }

    /// Starts a script in the guest without waiting for its result. The caller cuts the power meanwhile.
    pub(crate) fn start_script(&mut self, script: &str) -> Result<()> {
        self.running()?.channel.send(script)
    }

    /// Copies the disk of a running machine, as a thief might. Stops the processor meanwhile, so that the copy is consistent.
    pub(crate) fn copy_disk(&mut self, to: &Path) -> Result<Disk> {
        self.run("sync")?;
        self.running()?.monitor.stop()?;
        let copy = self.disk.copy(to)?;
        self.running()?.monitor.run()?;
        Ok(copy)
    }

    /// Returns the console's output since the machine was switched on.
    pub(crate) fn console(&self) -> Result<String> {
        let file = self.console_file();
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits until the console shows one of `texts`, and returns that one.
    pub(crate) fn wait_for_console<'t>(&mut self, limit: Duration, texts: &[&'t str]) -> Result<&'t str> {
        wait::until(&format!("the console shows one of {texts:?}"), limit, || {
            let console = self.console()?;
            texts
                .iter()
                .find(|text| console.contains(**text))
                .copied()
                .context("the console shows none of them")
        })
    }

    /// Returns whether the machine is switched on.
    pub(crate) fn is_on(&self) -> bool {
        self.running.is_some()
    }

    fn running(&mut self) -> Result<&mut Running> {
        self.running.as_mut().context("the machine is switched off")
    }

    fn must_be_off(&self) -> Result<()> {
        if self.is_on() {
            bail!("the machine must be switched off first");
        }
        Ok(())
    }

    fn console_file(&self) -> PathBuf {
        self.place.join("console")
    }
}
