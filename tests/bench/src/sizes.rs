//! Sizes: of the daemon's file, and of its reports.

use std::fs;

use anyhow::{Context as _, Result};
use pawl_e2e::rig;

use crate::amount::Amount;
use crate::measure::Measure;
use crate::subject::Subject;

/// The daemon's file. It is stripped where it was built for release.
pub(crate) fn daemon() -> Result<Measure> {
    let path = rig::program("pawld")?;
    let size = fs::metadata(&path).with_context(|| format!("look at {}", path.display()))?.len();
    Ok(Measure {
        name: "size of the daemon",
        figure: Amount::Bytes(size),
        aim: Some(Amount::Bytes(6_000_000)),
        parts: vec![("file", Amount::Text(path.display().to_string()))],
    })
}

/// The first report after pairing, and a steady one, which builds on it.
pub(crate) fn reports(subject: &Subject, first: &[u8], steady: &[u8]) -> Result<[Measure; 2]> {
    let boot_log = subject.device.tpm.boot_log().context("the device has no boot log")?;
    let log = fs::metadata(boot_log)?.len();
    Ok([
        Measure {
            name: "a first report",
            figure: bytes(first),
            aim: None,
            parts: vec![("of which the boot log", Amount::Bytes(log))],
        },
        Measure {
            name: "a steady report",
            figure: bytes(steady),
            // Below 1 KiB.
            aim: Some(Amount::Bytes(1023)),
            parts: Vec::new(),
        },
    ])
}

fn bytes(payload: &[u8]) -> Amount {
    Amount::Bytes(u64::try_from(payload.len()).unwrap_or(u64::MAX))
}
