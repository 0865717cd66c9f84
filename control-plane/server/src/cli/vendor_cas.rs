//! `vendor-cas`: whose TPMs are trusted. It works on the directory, without the server.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Subcommand;

use super::{Failure, output, text};
use crate::clock::{Clock as _, WallClock};
use crate::config::Config;
use crate::vendor_cas;

/// From then on, and so often, the operator is told how far the import is.
const PROGRESS: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum VendorCasVerb {
    /// Check vendors' certificates and revocation lists, and put the good ones into the vendor directory
    ///
    /// A source is a certificate or revocation list in PEM or DER, a directory tree of them such as keylime's
    /// `tpm_cert_store`, or a cabinet archive such as Microsoft's `TrustedTpm.cab`. Whether a source comes from
    /// the vendor, you have to know: this checks that its certificates are CAs', valid and not altered. A running
    /// server reads them at `systemctl reload pawl-control-plane`.
    Import {
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<PathBuf>,
    },
    /// List what the vendor directory has, and what in it is not used
    List,
}

pub(super) fn run(verb: &VendorCasVerb, config: &Config, file: &Path, json: bool) -> Result<(), Failure> {
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

/// Tells on stderr how far something is, once it takes long.
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
            // Nobody is left to be told when stderr is gone.
            let _ = writeln!(std::io::stderr(), "checked {done} of {total} certificates");
        }
    }
}
