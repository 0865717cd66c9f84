//! The text output of commands.

pub(super) mod device;
mod fleet;
mod policy;
mod record;
mod session;
mod vendor_cas;

use std::fmt::{self, Write as _};

use pawl_proto::DeviceId;
use pawl_proto::message::{Access, EventKind, Standing};
use time::UtcDateTime;

use crate::admin::view::{
    Accepted, AccessView, DeletedView, Delivery, Enrolled, OrderView, PreApprovedView, RenamedView,
    RetiredView, SettledView, StandingView, WithdrawnView,
};
use crate::store::NamedDevice;

pub(super) use device::{device, ends};
pub(super) use fleet::{counts, devices, pending};
pub(super) use policy::{checked_policies, explanation, learnt};
pub(super) use record::{checked, device_records, records};
pub(super) use session::{confirmation, declined, request, sessions};
pub(super) use vendor_cas::{imported, listed};

pub(super) fn enrolled(enrolled: &Vec<Enrolled>) -> String {
    let mut text = String::new();
    for device in enrolled {
        let did = if device.new { "Enrolled" } else { "Already enrolled" };
        let label = device.label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
        let exempt = if device.without_certificate { "; it may pair without a certificate" } else { "" };
        let _ = writeln!(text, "{did} {}{label}: {}{exempt}", device.device, access(&device.granted));
    }
    text
}

pub(super) fn renamed(renamed: &RenamedView) -> String {
    let name = |label: &Option<String>| label.as_deref().unwrap_or("without a label").to_owned();
    format!("{} was {}, and is {} now.\n", renamed.device, name(&renamed.before), name(&renamed.label))
}

pub(super) fn retired(retired: &RetiredView) -> String {
    let order = match &retired.order {
        None => "No pairing was live.",
        Some(OrderView { delivery: Delivery::Published, .. }) => {
            "The broker has the order to end its pairing; the device's receipt will prove the end."
        }
        Some(_) => "The order to end its pairing is stored, and will be published when the broker is back.",
    };
    let device = retired.device;
    format!("Retired {}. {order} To use it again, enrol it again.\n", named(device, retired.label.as_deref()))
}

pub(super) fn deleted(deleted: &DeletedView) -> String {
    let device = deleted.device;
    let name = named(device, deleted.label.as_deref());
    format!("Deleted {name}. Its audit records stay: pawl-control-plane records {device}\n")
}

/// Formats an id with the label.
fn named(device: DeviceId, label: Option<&str>) -> String {
    label.map_or_else(|| device.to_string(), |label| format!("{device} ({label})"))
}

/// Formats a number of things.
fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

pub(super) fn entitled(changed: &AccessView) -> String {
    let mut text = format!("{} is granted {}\n", changed.device, access(&changed.granted));
    let is_empty = |access: &Access| access.scopes.is_empty() && access.audiences.is_empty();
    for (what, access) in [("New", &changed.added), ("Removed", &changed.removed)] {
        if !is_empty(access) {
            let named: Vec<&str> = access
                .scopes
                .iter()
                .map(AsRef::as_ref)
                .chain(access.audiences.iter().map(AsRef::as_ref))
                .collect();
            let _ = writeln!(text, "{what}: {}", named.join(" "));
        }
    }
    let delivery = match (changed.sequence, changed.delivery) {
        (None, _) => "No verdict is needed: the device has no live pairing, or nothing has changed.",
        (Some(_), Delivery::Published) => "The broker has the verdict with the change.",
        (Some(_), Delivery::Stored) => "The verdict with the change is published once the broker is back.",
    };
    let _ = writeln!(text, "{delivery}");
    text
}

/// Formats a grant.
fn access(granted: &Access) -> String {
    let scopes: Vec<&str> = granted.scopes.iter().map(AsRef::as_ref).collect();
    let audiences: Vec<&str> = granted.audiences.iter().map(AsRef::as_ref).collect();
    let scopes =
        if scopes.is_empty() { "no scope".to_owned() } else { format!("scopes {}", scopes.join(" ")) };
    format!("{scopes}; audiences {}", audiences.join(" "))
}

pub(super) fn order(order: &OrderView) -> String {
    let what = match order.kind {
        EventKind::Revoke => {
            "Revoked: no token and no lease from now on; the device's receipt will prove the end."
        }
        EventKind::Repair => "Ordered to pair again: no token and no lease until it is paired.",
        EventKind::Refresh => "Asked the device to report now.",
        _ => "Ordered.",
    };
    let delivery = match order.delivery {
        Delivery::Published => "published",
        Delivery::Stored => "stored, will be published when the broker is back",
    };
    format!("{what}\n{} {} for epoch {}: {delivery}\n", order.kind, order.id, order.epoch)
}

pub(super) fn standing(changed: &StandingView) -> String {
    let delivery = match (changed.sequence, changed.delivery) {
        (None, _) => "the device has no live pairing, so no verdict is sent",
        (Some(_), Delivery::Published) => "the broker has the verdict",
        (Some(_), Delivery::Stored) => "the verdict is published once the broker is back",
    };
    match changed.standing {
        Standing::Suspended => {
            let number = changed.suspension;
            format!("Suspended: no token and no lease until `resume --suspension {number}`; {delivery}.\n")
        }
        Standing::Active => format!("Resumed: the next valid report brings a lease; {delivery}.\n"),
        other => format!("The standing is {other} from now on; {delivery}.\n"),
    }
}

pub(super) fn accepted(accepted: &Accepted) -> String {
    let did = if accepted.new { "Accepted" } else { "Already accepted" };
    format!("{did}; accepted boot states: {}.\n", accepted.boot_states)
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Formats a Unix time by RFC 3339, in UTC; a time after the year 9999 as `@SECONDS`.
fn time(seconds: u64) -> String {
    let Some(time) = i64::try_from(seconds).ok().and_then(|time| UtcDateTime::from_unix_timestamp(time).ok())
    else {
        return format!("@{seconds}");
    };
    let (date, time) = (time.date(), time.time());
    let (hour, minute, second) = time.as_hms();
    let (year, month, day) = date.to_calendar_date();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

pub(in crate::cli) fn pre_approved(view: &PreApprovedView) -> String {
    let mut text = if view.dry_run {
        format!("\"{}\" would have these PCRs; nothing is approved:\n", view.name)
    } else {
        format!("Approved for the future: \"{}\". PCRs that will change:\n", view.name)
    };
    for (index, change) in &view.changes {
        let _ = writeln!(text, "  PCR {index:<3} {}\n       to {}", change.from, change.to);
    }
    if view.dry_run {
        let _ = writeln!(text, "Computed from the present boot state: --state {}", view.state);
    } else {
        let _ = writeln!(
            text,
            "The control plane asks the device to report, and sends the lease with the verdict. See: \
             pawl-control-plane show {}",
            view.device
        );
    }
    text
}

pub(in crate::cli) fn withdrawn(view: &WithdrawnView) -> String {
    match view.withdrawn {
        0 => "No future boot state was approved.\n".to_owned(),
        states => format!(
            "Withdrawn future boot states: {states}. An unreachable device keeps their leases until they expire.\n"
        ),
    }
}

pub(in crate::cli) fn settled(view: &SettledView) -> String {
    match view.settled {
        0 => "No incident was open.\n".to_owned(),
        incidents => {
            format!("Resolved incidents: {incidents}. The next verdict does not mention them any more.\n")
        }
    }
}

/// Formats the devices that a name may mean, one per line.
pub(super) fn candidates(devices: &[NamedDevice]) -> String {
    devices.iter().fold(String::new(), |mut text, named| {
        let retired = if named.retired_at.is_some() { "  (retired)" } else { "" };
        let _ = writeln!(text, "  {}  {}{retired}", named.device, or_dash(named.label.as_deref()));
        text
    })
}

/// A table whose columns are as wide as their widest cell.
struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    fn new(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned)] }
    }

    fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(time(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(time(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(time(253_402_300_800), "@253402300800");
    }
}
