//! `records`: a device's records, checked or taken away.

use std::path::Path;

use super::args::RecordsArgs;
use super::command::{Server, path};
use super::{Failure, audit, output, text};
use crate::admin::view::{DeviceRecordView, RecordView};
use crate::bundle::Bundle;

pub(super) async fn run(server: &Server, args: RecordsArgs) -> Result<(), Failure> {
    match &args.export {
        Some(file) => export(server, &args, file).await?,
        None if !args.verify => return list(server, &args).await,
        None => {}
    }
    if !args.verify {
        return Ok(());
    }
    let bundle: Bundle = server.client.get(&path(&args.device, "/bundle")?).await?;
    audit::report(&bundle.into_contents(), server.json)
}

async fn list(server: &Server, args: &RecordsArgs) -> Result<(), Failure> {
    if args.own {
        let records: Vec<DeviceRecordView> =
            server.client.get(&path(&args.device, "/device-records")?).await?;
        server.print(&records, text::device_records)
    } else {
        let records: Vec<RecordView> = server.client.get(&path(&args.device, "/records")?).await?;
        server.print(&records, text::records)
    }
}

/// Writes a file: a signed bundle, or one line of JSON for each record.
async fn export(server: &Server, args: &RecordsArgs, file: &Path) -> Result<(), Failure> {
    let contents = if args.bundle {
        let bundle: Bundle = server.client.get(&path(&args.device, "/bundle")?).await?;
        bundle.write()?
    } else if args.own {
        let records: Vec<DeviceRecordView> =
            server.client.get(&path(&args.device, "/device-records")?).await?;
        output::json_lines(&records)?
    } else {
        let records: Vec<RecordView> = server.client.get(&path(&args.device, "/records")?).await?;
        output::json_lines(&records)?
    };
    output::file(file, &contents).map_err(|source| Failure::File { file: file.to_owned(), source })
}
