//! The commands that work on files without the server: `init` and `vendor-cas`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, output, text};
use crate::clock::{Clock as _, WallClock};
use crate::config::Config;
use crate::keys::BrokerFiles;
use crate::state::{self, LostDatabase};
use crate::vendor_cas;

/// `init`
#[derive(Serialize)]
struct Initialised {
    state_dir: PathBuf,
    /// The certificate that devices pin.
    ca: PathBuf,
    broker: Broker,
    /// False when all existed already.
    created: bool,
}

#[derive(Serialize)]
struct Broker {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// The list of revoked certificates.
    crl: PathBuf,
}

/// Creates missing keys and certificates and the database, and prints their paths.
pub(super) fn init(config: &Config, lost: LostDatabase, json: bool) -> Result<(), Failure> {
    let keys = state::prepare(config, lost)?;
    let files = BrokerFiles::within(&config.state_dir);
    let made = Initialised {
        state_dir: config.state_dir.clone(),
        ca: config.state_dir.join("ca.pem"),
        broker: Broker {
            ca: files.authority,
            certificate: files.server.certificate,
            key: files.server.key,
            crl: files.revocations,
        },
        created: keys.created,
    };
    if json {
        return Ok(output::json(&made)?);
    }
    let did = if made.created { "Created" } else { "Found" };
    Ok(output::text(&format!(
        "{did} keys and certificates in {}\n\n\
         Give to the devices (control_plane.ca)   {}\n\
         Give to the broker  (cafile)             {}\n\
         \x20                   (certfile)           {}\n\
         \x20                   (keyfile)            {}\n\
         \x20                   (crlfile)            {}, again whenever it changes\n\n\
         Back up the directory: devices trust only these keys.\n",
        made.state_dir.display(),
        made.ca.display(),
        made.broker.ca.display(),
        made.broker.certificate.display(),
        made.broker.key.display(),
        made.broker.crl.display(),
    ))?)
}

/// Time before the first progress message, and between two of them.
const PROGRESS: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum VendorCasVerb {
    /// Check vendors' certificates and revocation lists, and copy the valid ones to the vendor directory
    ///
    /// A source is a certificate or revocation list in PEM or DER, a directory tree of them such as keylime's
    /// `tpm_cert_store`, or a cabinet archive such as Microsoft's `TrustedTpm.cab`. Make sure yourself that a source
    /// comes from the vendor: this command checks only that its certificates are valid, unaltered and of CAs. To let a
    /// running server read them: `systemctl reload pawl-control-plane`.
    Import {
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<PathBuf>,
    },
    /// List the contents of the vendor directory, and its unused files
    List,
}

pub(super) fn run_vendor_cas(
    verb: &VendorCasVerb,
    config: &Config,
    file: &Path,
    json: bool,
) -> Result<(), Failure> {
    let unset = || Failure::NoVendorDirectory(file.to_owned());
    let directory = config.endorsement.vendor_cas.as_deref().ok_or_else(unset)?;
    let now = WallClock.now();
    match verb {
        VendorCasVerb::Import { sources } => {
            let mut progress = Progress::new();
            let imported =
                vendor_cas::import(directory, sources, now, &mut |done, total| progress.at(done, total))?;
            match json {
                true => output::json(&imported)?,
                false => output::text(&text::imported(&imported))?,
            }
            match imported.imported.is_empty() && imported.duplicates.is_empty() {
                true => Err(Failure::NothingImported),
                false => Ok(()),
            }
        }
        VendorCasVerb::List => {
            let listed = vendor_cas::list(directory, now)?;
            match json {
                true => Ok(output::json(&listed)?),
                false => Ok(output::text(&text::listed(&listed))?),
            }
        }
    }
}

/// Prints progress on stderr, once an import takes long.
struct Progress {
    next: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { next: Instant::now() + PROGRESS }
    }

    fn at(&mut self, done: usize, total: usize) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + PROGRESS;
            // Ignores a closed stderr.
            let _ = writeln!(std::io::stderr(), "checked {done} of {total} certificates");
        }
    }
}
