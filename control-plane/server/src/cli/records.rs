//! `records` and `verify-bundle`: lists, exports and verifies a device's records.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pawl_proto::DeviceId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::args::RecordsArgs;
use super::command::Server;
use super::{Failure, output, text};
use crate::admin::view::{DeviceRecordView, RecordView};
use crate::bundle::{self, Bundle, Contents};

pub(super) async fn run(server: &Server, args: RecordsArgs) -> Result<(), Failure> {
    match &args.export {
        Some(file) => export_records(server, &args, file).await?,
        None if !args.verify => return list_records(server, &args).await,
        None => {}
    }
    if !args.verify {
        return Ok(());
    }
    let bundle: Bundle = server.client.get(&server.path(&args.device, "/bundle").await?).await?;
    report_check(&bundle.into_contents(), server.json)
}

async fn list_records(server: &Server, args: &RecordsArgs) -> Result<(), Failure> {
    if args.own {
        let records: Vec<DeviceRecordView> =
            server.client.get(&server.path(&args.device, "/device-records").await?).await?;
        server.print(&records, text::device_records)
    } else {
        let records: Vec<RecordView> =
            server.client.get(&server.path(&args.device, "/records").await?).await?;
        server.print(&records, text::records)
    }
}

/// Writes a file: a signed bundle, or one line of JSON for each record.
async fn export_records(server: &Server, args: &RecordsArgs, file: &Path) -> Result<(), Failure> {
    let contents = if args.bundle {
        let bundle: Bundle = server.client.get(&server.path(&args.device, "/bundle").await?).await?;
        bundle.write()?
    } else if args.own {
        let records: Vec<DeviceRecordView> =
            server.client.get(&server.path(&args.device, "/device-records").await?).await?;
        output::json_lines(&records)?
    } else {
        let records: Vec<RecordView> =
            server.client.get(&server.path(&args.device, "/records").await?).await?;
        output::json_lines(&records)?
    };
    output::file(file, &contents).map_err(|source| Failure::File { file: file.to_owned(), source })
}

/// Verifies a bundle with only the authority's certificate.
pub(super) fn verify_bundle(
    file: &Path,
    authority: &Path,
    device: Option<DeviceId>,
    json: bool,
) -> Result<(), Failure> {
    let bundle = Bundle::read(&read_file(file, bundle::MAX_LENGTH)?)?;
    let pem = read_file(authority, 64 * 1024)?;
    let authority =
        CertificateDer::from_pem_slice(&pem).map_err(|_| Failure::Authority(authority.to_owned()))?;
    let contents = bundle.verify(&authority)?;
    if let Some(wanted) = device.filter(|device| *device != contents.device) {
        return Err(Failure::OtherDevice { wanted, found: contents.device });
    }
    report_check(&contents, json)
}

/// Verifies records, prints the outcome, and fails when a check failed.
pub(super) fn report_check(contents: &Contents, json: bool) -> Result<(), Failure> {
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

fn read_file(file: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let failed = |source| Failure::File { file: PathBuf::from(file), source };
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
