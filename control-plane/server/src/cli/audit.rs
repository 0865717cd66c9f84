//! `verify-bundle`, and what it has in common with `records --verify`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pawl_proto::DeviceId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Failure, output, text};
use crate::bundle::{self, Bundle, Contents};

/// Checks a bundle with nothing but the authority's certificate.
pub(super) fn verify_bundle(
    file: &Path,
    authority: &Path,
    device: Option<DeviceId>,
    json: bool,
) -> Result<(), Failure> {
    let bundle = Bundle::read(&read(file, bundle::MAX_LENGTH)?)?;
    let pem = read(authority, 64 * 1024)?;
    let authority =
        CertificateDer::from_pem_slice(&pem).map_err(|_| Failure::Authority(authority.to_owned()))?;
    let contents = bundle.verify(&authority)?;
    if let Some(wanted) = device.filter(|device| *device != contents.device) {
        return Err(Failure::OtherDevice { wanted, found: contents.device });
    }
    report(&contents, json)
}

/// Checks records, says what was checked, and fails when something does not hold.
pub(super) fn report(contents: &Contents, json: bool) -> Result<(), Failure> {
    let checked = bundle::check(contents);
    if json {
        output::json(&checked)?
    } else {
        output::text(&text::checked(&checked))?
    }
    match checked.failures.len() {
        0 => Ok(()),
        failed => Err(Failure::Records { failed }),
    }
}

fn read(file: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let failed = |source| Failure::File { file: PathBuf::from(file), source };
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
