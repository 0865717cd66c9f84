//! What a steady report costs the disk: flash wears out.

use std::thread;

use anyhow::{Context as _, Result};

use crate::amount::Amount;
use crate::broker::Client;
use crate::measure::Measure;
use crate::orders::Orders;
use crate::process;
use crate::report::{PACE, on_request};
use crate::subject::Subject;

const REPORTS: usize = 30;

/// Asks for reports, each of which is answered by a verdict, and counts what the daemon writes for each.
pub(crate) fn measure(client: &mut Client, orders: &mut Orders, subject: &Subject) -> Result<Measure> {
    let pid = subject.device.pid().context("the daemon does not run")?;
    let mut before = written(pid)?;
    let mut each = Vec::new();
    for _ in 0..REPORTS {
        on_request(client, orders, subject)?;
        let after = written(pid)?;
        each.push(after - before);
        before = after;
    }
    each.sort_unstable();
    let median = each.get(REPORTS / 2).copied().unwrap_or_default();
    let mean = each.iter().sum::<u64>() / u64::try_from(REPORTS)?;
    Ok(Measure {
        name: "written to the disk for a steady report",
        figure: Amount::Bytes(median),
        // A state directory in memory counts nothing.
        aim: (median > 0).then_some(Amount::Bytes(8192)),
        parts: vec![("mean, with blocks of the file system's own", Amount::Bytes(mean))],
    })
}

/// Waits until the daemon has dealt with the last verdict, and counts.
fn written(pid: u32) -> Result<u64> {
    thread::sleep(PACE);
    process::written(pid)
}
