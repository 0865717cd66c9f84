//! The devices that are measured.

use std::fs;

use anyhow::{Context as _, Result};
use pawl_e2e::Rig;
use pawl_e2e::rig::{Device, DeviceOptions};
use pawl_proto::{Channel, DeviceId, Epoch, Topic};

use crate::broker::Client;
use crate::tap::Tap;

/// A device whose daemon runs as it is shipped.
pub(crate) struct Subject {
    pub(crate) device: Device,
    id: DeviceId,
}

impl Subject {
    /// A device that its control plane knows, not paired yet.
    pub(crate) fn manufacture(rig: &Rig, name: &str) -> Result<Self> {
        let device = rig.device(name, DeviceOptions::default())?;
        Self::start(rig, device, name, "")
    }

    /// Starts a device with settings over those that the rig writes.
    fn start(rig: &Rig, mut device: Device, name: &str, settings: &str) -> Result<Self> {
        let folder = device.config().with_file_name("conf.d");
        fs::create_dir_all(&folder)?;
        // The rig's daemons log for tests.
        fs::write(folder.join("bench.toml"), format!("log = \"info\"\n{settings}"))?;
        device.start()?;
        let status = device.status()?;
        rig.control_plane.enrol(&status.ek_sha256, name)?;
        Ok(Self { device, id: status.device })
    }

    /// Pairs it, waits until it may work and hears its orders, and gives its first report.
    pub(crate) fn pair(&self, client: &mut Client) -> Result<Vec<u8>> {
        // Nothing of an earlier pairing may be taken for this one's.
        client.wake()?;
        self.device.pair()?;
        // The device subscribes before it reports.
        let first = client.next(&self.topic(Channel::Posture))?;
        client.next(&self.topic(Channel::Verdict))?;
        self.device.wait_until_entitled()?;
        Ok(first.payload)
    }

    /// Who it is.
    pub(crate) fn id(&self) -> DeviceId {
        self.id
    }

    /// The epoch in which it lives.
    pub(crate) fn epoch(&self) -> Result<Epoch> {
        self.device.status()?.counter.context("the TPM has no counter")
    }

    /// One of its topics.
    pub(crate) fn topic(&self, channel: Channel) -> String {
        Topic::new(self.id, channel).to_string()
    }
}

/// A device of the same make with a tap on its TPM's bus, paired.
pub(crate) struct Tapped {
    pub(crate) subject: Subject,
    pub(crate) tap: Tap,
}

impl Tapped {
    pub(crate) fn manufacture(rig: &Rig, client: &mut Client) -> Result<Self> {
        let device = rig.device("tapped", DeviceOptions::default())?;
        let tap = Tap::start(device.tpm.port())?;
        let settings = format!("[tpm]\ntcti = \"{}\"\n", tap.tcti());
        let subject = Subject::start(rig, device, "tapped", &settings)?;
        subject.pair(client)?;
        Ok(Self { subject, tap })
    }
}
