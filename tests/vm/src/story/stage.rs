//! The environment of the tests: a control plane and a broker on this host, and a machine.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl_e2e::Rig;
use pawl_e2e::rig::wait::Interrupted;
use pawl_e2e::rig::{ApprovalTerms, Terms};
use pawl_local_api::{LocalStatus, VerdictStatus};
use pawl_proto::message::DeviceState;
use serde_json::Value;

use crate::Arguments;
use crate::image::{Image, System};
use crate::machine::Machine;

pub(super) struct Stage<'r> {
    pub(super) rig: &'r Rig,
    pub(super) system: &'r System,
    pub(super) machine: Machine,
    /// The image that is installed first.
    pub(super) first_image: Image,
    /// The other image that the policy allows, once there is a policy. It is stored because a rebuilt image has another digest.
    pub(super) allowed_image: Option<Image>,
    /// The directory of the machine's files.
    pub(super) place: PathBuf,
    /// The device id; empty until the daemon has reported it.
    pub(super) device: String,
    /// The duration of the last pairing.
    pub(super) pairing_time: Duration,
}

/// The path of systemd's log of its measurements, since systemd 259.
pub(super) const MEASURE_LOG: &str = "/run/log/systemd/tpm2-measure.log";

/// The terms of the control plane: a long report interval, so that devices report only when something happens, and no approvals.
pub(super) const TERMS: Terms = Terms {
    vendor_cas: true,
    // `/etc/hosts` of the guest maps this name to QEMU's forwarder.
    host: "localhost",
    lease_seconds: 3600,
    lease_resets: 3,
    report_interval: 600,
    approvals: ApprovalTerms { pair: 0, re_pair: 0, after_repair: 0, seconds: 600 },
    actions: Vec::new(),
};

impl<'r> Stage<'r> {
    /// Creates the environment with a new machine of this name.
    pub(super) fn set(rig: &'r Rig, system: &'r System, name: &str, arguments: &Arguments) -> Result<Self> {
        let place = arguments.out.join(name);
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("remove {}", place.display()))?;
        }
        fs::create_dir_all(&place)?;
        let first_image = system.signed_image(&place.join("first.efi"), "")?;
        let disk = system.disk(&first_image, &place.join("disk"))?;
        let tpm_state = place.join("tpm");
        rig.factory.make_tpm(&tpm_state)?;
        let forwarded = [rig.control_plane.port(), rig.broker.port()];
        let sockets = rig.directory().create(name)?;
        let machine = Machine::assemble(system, &place, sockets, disk, tpm_state, &forwarded)?;
        Ok(Self {
            rig,
            system,
            machine,
            first_image,
            allowed_image: None,
            place,
            device: String::new(),
            pairing_time: Duration::ZERO,
        })
    }

    /// Builds a signed image. `more` is appended to the usual command line.
    pub(super) fn image(&self, name: &str, more: &str) -> Result<Image> {
        self.system.signed_image(&self.place.join(name).with_extension("efi"), more)
    }

    /// Waits until the device is entitled by a verdict on a report of this boot, with the tier of an approved boot.
    pub(super) fn wait_until_approved(&mut self) -> Result<LocalStatus> {
        let good = self.system.architecture().verdict();
        self.machine.wait_until(&format!("the device is entitled, its boot {good}"), |status| {
            let is_good = |verdict: &VerdictStatus| verdict.result == Some(good) && verdict.reports > 0;
            status.state == DeviceState::Entitled && status.verdict.as_ref().is_some_and(is_good)
        })
    }

    /// Returns the contents of a file of the guest.
    pub(super) fn read_file(&mut self, path: &str) -> Result<Vec<u8>> {
        let text = self.machine.succeed(&format!("base64 -w 0 {path}"))?;
        STANDARD.decode(text.trim()).with_context(|| format!("read {path} of the guest"))
    }

    /// Returns the phases that systemd has measured since the kernel booted, from its log.
    pub(super) fn measured_phases(&mut self) -> Result<Vec<String>> {
        let log = self.machine.succeed(&format!("cat {MEASURE_LOG}"))?;
        let string = |record: &str| {
            let record: Value = serde_json::from_str(record.trim_start_matches('\u{1e}')).ok()?;
            let is_phase = record.get("pcr").and_then(Value::as_u64) == Some(11);
            let string = record.pointer("/content/string").and_then(Value::as_str)?.to_owned();
            is_phase.then_some(string)
        };
        Ok(log.lines().filter_map(string).collect())
    }

    /// Prints text that helps to explain a failure, except after SIGINT or SIGTERM.
    pub(super) fn explain(&mut self, failure: &anyhow::Error) {
        self.rig.directory().explain(failure);
        if !failure.is::<Interrupted>() {
            eprintln!("{}", self.machine.explanation());
        }
    }

    /// Returns the control plane's data about the device.
    pub(super) fn shown(&self) -> Result<Value> {
        self.rig.control_plane.show(&self.device)
    }
}
