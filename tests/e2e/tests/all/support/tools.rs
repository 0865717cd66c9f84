//! Tools of the tests that are not ours: a disk that is soon full, tpm2-tools, and a key that may leave its TPM.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pawl_e2e::Rig;
use pawl_e2e::rig::Swtpm;
use pawl_tpm::KeyBlob;

/// A file system of its own for a device's state; it is gone with its value.
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one at `at`, for root alone to do.
    pub(crate) fn under(at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"]).arg(at);
        let output = mount.output().unwrap();
        assert!(output.status.success(), "this test mounts a file system, as root: {output:?}");
        Self { at: at.to_owned() }
    }

    /// Takes every byte that is left.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [4096, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Takes all but this many pages of 4 KiB.
    pub(crate) fn fill_but(&self, pages: u64) {
        self.fill();
        let filler = File::options().write(true).open(self.filler()).unwrap();
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(pages * 4096)).unwrap();
    }

    /// Gives them back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that failed has left its daemon running.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

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

/// A signing key under this policy, without fixedTPM and fixedParent, made by tpm2-tools under the
/// parent that our keys have.
pub(crate) fn exportable_key(rig: &Rig, swtpm: &Swtpm, policy: [u8; 32]) -> KeyBlob {
    let place = rig.directory().create("exportable").unwrap();
    let file = |name: &str| place.join(name).display().to_string();
    std::fs::write(file("policy"), policy).unwrap();
    // A TPMS_ECC_POINT of two 32 zero bytes as it lies in the memory of tpm2-tools.
    let coordinate = [&[32, 0][..], &[0; 128]].concat();
    std::fs::write(file("unique"), coordinate.repeat(2)).unwrap();

    let tools = Tpm2Tools::on(swtpm);
    tools.run(
        "tpm2_createprimary",
        &[
            "-C",
            "o",
            "-g",
            "sha256",
            "-G",
            "ecc256:aes128cfb",
            "-u",
            &file("unique"),
            "-c",
            &file("parent"),
            "-a",
            "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
        ],
    );
    tools.run(
        "tpm2_create",
        &[
            "-C",
            &file("parent"),
            "-G",
            "ecc256:ecdsa-sha256:null",
            "-a",
            "sensitivedataorigin|noda|sign",
            "-L",
            &file("policy"),
            "-u",
            &file("public"),
            "-r",
            &file("private"),
        ],
    );
    tools.flush();
    // Each file has the size of what follows in its first two bytes.
    let contents = |name: &str| std::fs::read(file(name)).unwrap().split_off(2);
    KeyBlob { public: contents("public"), private: contents("private") }
}
