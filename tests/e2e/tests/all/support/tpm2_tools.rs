//! A second opinion: tpm2-tools, which know nothing of our code.

use std::process::Command;

use pawl_e2e::rig::Swtpm;

/// tpm2-tools on a TPM that nobody else is connected to.
pub(crate) struct Tpm2Tools {
    tcti: String,
}

impl Tpm2Tools {
    pub(crate) fn on(tpm: &Swtpm) -> Self {
        Self { tcti: tpm.tcti() }
    }

    /// The value of the epoch counter.
    pub(crate) fn counter(&self) -> u64 {
        let handle = format!("{:#x}", pawl_tpm::DEFAULT_COUNTER);
        let value = self.run("tpm2_nvread", &[&handle]);
        u64::from_be_bytes(value.try_into().unwrap())
    }

    /// Runs a tool, and gives what it printed.
    pub(crate) fn run(&self, tool: &str, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(tool).args(arguments).env("TPM2TOOLS_TCTI", &self.tcti).output().unwrap();
        assert!(output.status.success(), "{tool} failed: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Flushes what tools left in the TPM.
    pub(crate) fn flush(&self) {
        self.run("tpm2_flushcontext", &["-t"]);
    }
}
