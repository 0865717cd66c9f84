//! A TPM of the test's own: swtpm behind the proxy, and the control plane's side of a pairing.

pub(crate) mod command;
mod control;
mod proxy;
mod swtpm;

use std::{path::Path, process::Command};

use pawl_evidence::tpm::PcrSelection;
use pawl_tpm::{Binding, Counter, LeaseGrant, Options, PairingKeys, Tpm};
use tempfile::TempDir;

use self::swtpm::Swtpm;
pub(crate) use self::{
    control::{ControlPlane, assert_signed, verify},
    proxy::{Exchange, Proxy},
};

pub(crate) struct Rig {
    // Dropped in this order: the process before the directory it lives in.
    swtpm: Swtpm,
    pub(crate) proxy: Proxy,
    dir: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A TPM as a factory delivers it: with certified endorsement keys, RSA-2048 and ECC P-384.
    pub(crate) fn certified() -> Self {
        Self::with(swtpm::manufacture)
    }

    fn with(prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let swtpm = Swtpm::start(dir.path());
        let proxy = Proxy::start(dir.path(), swtpm.socket());
        Self { swtpm, proxy, dir }
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(self.proxy.tcti().parse().unwrap())
    }

    pub(crate) fn open(&self) -> Tpm {
        Tpm::start(self.options()).unwrap()
    }

    /// A TPM that nobody can connect to.
    pub(crate) fn unplug(&self) {
        std::fs::rename(self.dir.path().join("proxy.sock"), self.dir.path().join("unplugged")).unwrap();
    }

    pub(crate) fn plug(&self) {
        std::fs::rename(self.dir.path().join("unplugged"), self.dir.path().join("proxy.sock")).unwrap();
    }

    /// A TPM reset.
    pub(crate) fn reset(&mut self) {
        self.proxy.hang_up();
        self.swtpm.restart();
    }

    /// Runs one of tpm2-tools on the same TPM, beside anyone who else uses it.
    pub(crate) fn tool(&self, line: &str) -> String {
        self.try_tool(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    pub(crate) fn try_tool(&self, line: &str) -> Result<String, String> {
        let mut words = line.split_whitespace();
        let output = Command::new(words.next().unwrap())
            .args(words)
            .env("TPM2TOOLS_TCTI", self.proxy.tcti())
            .env("TSS2_LOG", "all+NONE")
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub(crate) fn write(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.dir.path().join(name), contents).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    /// Extends a PCR as if something else had been booted.
    pub(crate) fn drift(&self, pcr: u32) {
        self.proxy.send(&command::pcr_extend(pcr));
    }
}

/// An open TPM with the keys of a pairing.
pub(crate) struct Paired {
    pub(crate) tpm: Tpm,
    pub(crate) counter: Counter,
    pub(crate) keys: PairingKeys,
    pub(crate) control: ControlPlane,
}

impl Paired {
    pub(crate) async fn new(rig: &Rig) -> Self {
        let tpm = rig.open();
        let counter = tpm.provision_counter().await.unwrap();
        let control = ControlPlane::new(1);
        let keys = tpm.create_keys(control.binding(&counter)).await.unwrap();
        Self { tpm, counter, keys, control }
    }

    /// A lease for the present state: ten minutes, no reboot.
    pub(crate) async fn lease(&self) -> LeaseGrant {
        let mut terms = self.control.terms(&self.tpm, &self.counter).await;
        terms.clock_before += 600_000;
        self.control.grant(terms)
    }

    pub(crate) fn binding(&self) -> Binding {
        self.control.binding(&self.counter)
    }
}

pub(crate) fn selection() -> PcrSelection {
    PcrSelection::lease_default()
}
