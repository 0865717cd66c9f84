use std::fmt::Write as _;

use crate::admin::view::{PreApprovedView, SettledView, WithdrawnView};

pub(in crate::cli) fn pre_approved(view: &PreApprovedView) -> String {
    let mut text = if view.dry_run {
        format!("\"{}\" would have these PCRs; nothing is approved:\n", view.name)
    } else {
        format!("Approved ahead: \"{}\". What will change:\n", view.name)
    };
    for (index, change) in &view.changes {
        let _ = writeln!(text, "  PCR {index:<3} {}\n       to {}", change.from, change.to);
    }
    if view.dry_run {
        let _ = writeln!(text, "It builds on the present boot state: --state {}", view.state);
    } else {
        let _ = writeln!(
            text,
            "The device is asked to report, and gets the lease with the answer: \
             `pawl-control-plane show {}` tells.",
            view.device
        );
    }
    text
}

pub(in crate::cli) fn withdrawn(view: &WithdrawnView) -> String {
    match view.withdrawn {
        0 => "Nothing was approved ahead.\n".to_owned(),
        states => format!(
            "Taken back: {states} of the boot states. A device out of reach keeps their leases until they end.\n"
        ),
    }
}

pub(in crate::cli) fn settled(view: &SettledView) -> String {
    match view.settled {
        0 => "Nothing was open.\n".to_owned(),
        incidents => format!("Settled: {incidents}. The next verdict does not tell of it any more.\n"),
    }
}
