//! The measures, in their order.

use anyhow::Result;
use pawl_e2e::Rig;
use pawl_e2e::rig::Terms;

use crate::broker::Client;
use crate::measure::Table;
use crate::orders::Orders;
use crate::subject::{Subject, Tapped};
use crate::{disk, idle, report, revocation, sizes, start};

/// Takes every measure, and adds each to `table` when it has it.
pub(crate) fn run(table: &Table) -> Result<()> {
    table.add(&sizes::daemon()?);
    // By the default terms, reports come when they are asked for.
    let rig = Rig::for_test_with(&Terms::default())?;
    let outcome = on_rig(table, &rig);
    if outcome.is_err() {
        eprintln!("{}", rig.directory().log_tails());
    }
    outcome
}

fn on_rig(table: &Table, rig: &Rig) -> Result<()> {
    let mut client = Client::connect(rig)?;
    let mut orders = Orders::of(rig)?;
    let mut plain = Subject::manufacture(rig, "plain")?;
    let first = plain.pair(&mut client)?;
    let steady = report::on_request(&mut client, &mut orders, &plain)?;
    for measure in sizes::reports(&plain, &first, &steady)? {
        table.add(&measure);
    }
    table.add(&disk::measure(&mut client, &mut orders, &plain)?);
    for measure in idle::measure(&plain)? {
        table.add(&measure);
    }
    let tapped = Tapped::manufacture(rig, &mut client)?;
    for measure in report::measure(&mut client, &mut orders, &plain, &tapped, &steady)? {
        table.add(&measure);
    }
    table.add(&start::measure(rig, &mut plain)?);
    table.add(&revocation::measure(&mut client, &mut orders, &tapped)?);
    Ok(())
}
