//! `pre-approve`: approves the boot state after an update, computed from the update's files. The files stay on this host;
//! only their digests are sent to the server, which has the device's event log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pawl_evidence::boot_image::{BootChange, IMAGE_MAX_LEN};
use pawl_evidence::eventlog::DatabaseChange;
use pawl_proto::{Digest, PcrValue};

use super::args::DEVICE;
use super::command::Server;
use super::{Failure, digest, text};
use crate::admin::PreApproveRequest;
use crate::admin::view::{PreApprovedView, WithdrawnView};

/// The arguments of `pre-approve`.
#[derive(Debug, clap::Args)]
pub(super) struct PreApproveArgs {
    #[arg(help = DEVICE)]
    device: String,
    /// The unified kernel image that the device will boot
    #[arg(long, value_name = "UKI", conflicts_with_all = ["kernel", "initrd", "command_line"])]
    boot: Option<PathBuf>,
    /// The kernel, if a boot loader combines it with initrd and command line
    #[arg(long, value_name = "FILE", requires_all = ["initrd", "command_line"])]
    kernel: Option<PathBuf>,
    /// The initrd
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    command_line: Option<String>,
    /// The unified kernel image that the device boots now: fail if the computation does not match its event log
    #[arg(long, value_name = "UKI", requires = "boot")]
    present: Option<PathBuf>,
    /// The future content of the variable db: EFI signature lists, with or without efivarfs' attributes
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// The future content of the variable dbx
    #[arg(long, value_name = "FILE")]
    dbx: Option<PathBuf>,
    /// A PCR value of the device's bank, for boards without an event log
    #[arg(long = "pcr", value_name = "N=HEX", value_parser = pcr)]
    pcrs: Vec<(u8, PcrValue)>,
    /// A name for the state; by default the name of the image's file
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The digest of the present boot state, on which the update builds, as `show` and --dry-run print it
    ///
    /// The command fails if the device has since reported another state.
    #[arg(long, value_name = "DIGEST", value_parser = digest, required_unless_present_any = ["dry_run", "withdraw"])]
    state: Option<Digest>,
    /// Only compute and show the PCRs
    #[arg(long)]
    dry_run: bool,
    /// Withdraw all states that were approved ahead and that the device has not reached
    #[arg(long, conflicts_with_all = ["boot", "kernel", "db", "dbx", "pcrs", "name", "state", "dry_run"])]
    withdraw: bool,
}

pub(super) async fn run(server: &Server, args: PreApproveArgs) -> Result<(), Failure> {
    if args.withdraw {
        let withdrawn: WithdrawnView =
            server.client.post(&server.path(&args.device, "/withdraw").await?, &()).await?;
        return server.print(&withdrawn, text::withdrawn);
    }
    let boot = change(&args)?;
    let databases = databases(&args)?;
    if boot.is_none() && databases.is_empty() && args.pcrs.is_empty() {
        return Err(Failure::NothingToApprove);
    }
    let present = args.present.as_deref().map(unified).transpose()?;
    let name = args.name.clone().unwrap_or_else(|| default_name(&args));
    let pcrs: BTreeMap<u8, PcrValue> = args.pcrs.iter().copied().collect();
    let request =
        PreApproveRequest { name, boot, databases, present, pcrs, state: args.state, dry_run: args.dry_run };
    let approved: PreApprovedView =
        server.client.post(&server.path(&args.device, "/pre-approve").await?, &request).await?;
    server.print(&approved, text::pre_approved)
}

fn change(args: &PreApproveArgs) -> Result<Option<BootChange>, Failure> {
    match (&args.boot, &args.kernel, &args.initrd, &args.command_line) {
        (Some(image), ..) => Ok(Some(unified(image)?)),
        (None, Some(kernel), Some(initrd), Some(command_line)) => {
            let change = BootChange::separate(&read(kernel)?, &read(initrd)?, command_line);
            Ok(Some(change.map_err(|source| Failure::Image { file: kernel.clone(), source })?))
        }
        _ => Ok(None),
    }
}

fn databases(args: &PreApproveArgs) -> Result<Vec<DatabaseChange>, Failure> {
    let read = |file: &Option<PathBuf>, change: fn(&[u8]) -> Option<DatabaseChange>| {
        let Some(file) = file else { return Ok(None) };
        let change = change(&read(file)?);
        change.map(Some).ok_or_else(|| Failure::SignatureList { file: file.clone() })
    };
    let changes = [read(&args.db, DatabaseChange::allowed)?, read(&args.dbx, DatabaseChange::forbidden)?];
    Ok(changes.into_iter().flatten().collect())
}

fn unified(file: &Path) -> Result<BootChange, Failure> {
    BootChange::unified(&read(file)?).map_err(|source| Failure::Image { file: file.to_owned(), source })
}

/// Reads an image, up to one byte more than the limit, which the parser then refuses.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::File { file: file.to_owned(), source };
    let limit = u64::try_from(IMAGE_MAX_LEN).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(file).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn default_name(args: &PreApproveArgs) -> String {
    let files = [&args.boot, &args.kernel, &args.db, &args.dbx];
    let file = files.into_iter().flatten().next().and_then(|path| path.file_name());
    file.map_or_else(|| "PCRs given by hand".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// `N=HEX`
fn pcr(text: &str) -> Result<(u8, PcrValue), String> {
    let form = || {
        "give N=HEX: the PCR's number, and its hexadecimal digits, 64 for sha256 and 96 for sha384".to_owned()
    };
    let (index, value) = text.split_once('=').ok_or_else(form)?;
    let index = index.parse().map_err(|_| form())?;
    let bytes = hex::decode(value).map_err(|_| form())?;
    Ok((index, PcrValue::new(&bytes).map_err(|_| form())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pcr_is_given_by_number_and_value() {
        assert_eq!(pcr(&format!("4={}", "ab".repeat(32))), Ok((4, PcrValue::Sha256([0xab; 32]))));
        for wrong in
            ["4", "4=", "x=ab", &format!("4={}", "ab".repeat(20)), &format!("300={}", "ab".repeat(32))]
        {
            assert!(pcr(wrong).is_err(), "{wrong}");
        }
    }
}
