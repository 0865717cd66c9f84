//! A maker of TPMs: swtpm_setup, with a certificate authority of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};

use super::process;

/// Makes TPMs whose RSA-2048 and ECC P-384 endorsement keys have certificates.
pub struct Factory {
    directory: PathBuf,
    /// TPMs that were made before, to be handed out in turn.
    stock: Vec<PathBuf>,
    handed_out: AtomicUsize,
}

/// As many TPMs as any one test has at a time.
const STOCK: usize = 2;

impl Factory {
    /// Builds one in an empty directory. Its authority is made along with the first TPM.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn build(directory: PathBuf) -> Result<Self> {
        let authority = directory.join("authority");
        fs::create_dir_all(&authority).with_context(|| format!("make {}", authority.display()))?;
        let at = |name: &str| directory.join(name).display().to_string();
        // See swtpm_setup.conf(5) and swtpm-localca.conf(5).
        fs::write(
            at("options"),
            "--platform-manufacturer Pawl\n--platform-version 1\n--platform-model rig\n",
        )?;
        fs::write(
            at("localca.conf"),
            format!(
                "statedir = {0}\nsigningkey = {0}/signkey.pem\nissuercert = {0}/issuercert.pem\ncertserial = {0}/certserial\n",
                authority.display()
            ),
        )?;
        fs::write(
            at("setup.conf"),
            format!(
                "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
                at("localca.conf"),
                at("options")
            ),
        )?;
        let factory = Self { directory, stock: Vec::new(), handed_out: AtomicUsize::new(0) };
        factory.make_vendor_cas()?;
        Ok(factory)
    }

    /// One whose TPMs have been made by an earlier test, if there was one.
    ///
    /// # Errors
    /// As for [`Factory::build`] and [`Factory::make_tpm`].
    pub fn shared() -> Result<Self> {
        let shared = process::directory()?.join("e2e-factory");
        fs::create_dir_all(&shared)?;
        let lock = File::create(shared.join("lock"))?;
        lock.lock().context("wait for another test's factory")?;
        let directory = shared.join("factory");
        if !directory.exists() {
            Self::fill(&directory)?;
        }
        let stock = (0..STOCK).map(|number| directory.join(format!("stock-{number}"))).collect();
        Ok(Self { directory, stock, handed_out: AtomicUsize::new(0) })
    }

    /// Builds beside the place and renames, so that a test that was cut short leaves no half.
    fn fill(directory: &Path) -> Result<()> {
        let _ = fs::remove_dir_all(directory);
        let factory = Self::build(directory.to_owned())?;
        for number in 0..STOCK {
            factory.make_tpm(&directory.join(format!("stock-{number}")))?;
        }
        Ok(())
    }

    /// The certificates of its authority, for a control plane's `vendor_cas`.
    #[must_use]
    pub fn vendor_cas(&self) -> PathBuf {
        self.directory.join("vendor-cas")
    }

    /// Puts a new TPM's state into `state`.
    ///
    /// # Errors
    /// When swtpm_setup fails.
    pub fn make_tpm(&self, state: &Path) -> Result<()> {
        fs::create_dir_all(state)?;
        let next = self.handed_out.fetch_add(1, Ordering::Relaxed);
        match self.stock.get(next) {
            Some(made) => copy_state(made, state),
            None => self.set_up(state),
        }
    }

    /// Activates other PCR banks, as the firmware's setup does. The TPM must not run.
    ///
    /// # Errors
    /// When swtpm_setup fails.
    pub fn set_pcr_banks(&self, state: &Path, banks: &str) -> Result<()> {
        let mut setup = Command::new("swtpm_setup");
        setup.args(["--tpm2", "--reconfigure", "--pcr-banks", banks, "--tpmstate"]).arg(state);
        setup.arg("--config").arg(self.directory.join("setup.conf"));
        process::run(&setup).map(drop)
    }

    fn set_up(&self, state: &Path) -> Result<()> {
        let mut setup = Command::new("swtpm_setup");
        setup.args(["--tpm2", "--create-ek-cert", "--tpmstate"]).arg(state);
        setup.arg("--config").arg(self.directory.join("setup.conf"));
        process::run(&setup).map(drop)
    }

    /// A first TPM is made and thrown away, since the authority comes with it.
    fn make_vendor_cas(&self) -> Result<()> {
        let first = self.directory.join("first");
        fs::create_dir_all(&first)?;
        self.set_up(&first)?;
        fs::remove_dir_all(&first)?;
        let authority = self.directory.join("authority");
        let cas = self.vendor_cas();
        fs::create_dir_all(&cas)?;
        fs::copy(authority.join("swtpm-localca-rootca-cert.pem"), cas.join("rig-root.pem"))?;
        fs::copy(authority.join("issuercert.pem"), cas.join("rig-issuer.pem"))?;
        Ok(())
    }
}

fn copy_state(from: &Path, to: &Path) -> Result<()> {
    let name = "tpm2-00.permall";
    fs::copy(from.join(name), to.join(name))
        .with_context(|| format!("copy the TPM in {}", from.display()))?;
    Ok(())
}
