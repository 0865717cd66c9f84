use pawl_proto::message::Standing;

use pawl_verifier::pairing::PairingState;

use super::{Table, access, counted, device, or_dash, time};
use crate::admin::view::{DeviceLine, DeviceStatus, PendingView};
use crate::cli::count::{Count, Counts};

/// Formats the devices, one per line, and how many they are. `retired` others would match and are not shown.
pub(in crate::cli) fn devices(devices: &Vec<DeviceLine>, of_some: bool, retired: usize) -> String {
    let retired = match retired {
        0 => String::new(),
        count => format!(" {} retired, see --retired.", counted(count, "device")),
    };
    if devices.is_empty() && of_some {
        return format!("No device matches.{retired}\n");
    }
    if devices.is_empty() {
        return format!(
            "No device is enrolled. `pawl-control-plane enrol --ek-sha256 HEX` enrols one.{retired}\n"
        );
    }
    let mut table = Table::new([
        "DEVICE",
        "LABEL",
        "HOSTNAME",
        "STATUS",
        "VERDICT",
        "LEASE UNTIL",
        "LAST REPORT",
        "EPOCH",
        "EK CERTIFICATE",
        "GRANTED",
    ]);
    for device in devices {
        let report = match (device.last_report, device.overdue) {
            (Some(at), true) => format!("{} (overdue)", time(at)),
            (at, _) => or_dash(at.map(time)),
        };
        let hostname = device.host.as_ref().map(|host| host.hostname.as_str());
        let lease = device.lease_until.filter(|_| device.status == DeviceStatus::Entitled);
        table.row([
            device.device.to_string(),
            or_dash(device.label.clone()),
            or_dash(hostname.filter(|name| !name.is_empty())),
            status(device),
            or_dash(device.verdict),
            or_dash(lease.map(time)),
            report,
            or_dash(device.epoch),
            device::certificate(device).to_owned(),
            access(&device.granted),
        ]);
    }
    format!("{table}{}.{retired}\n", counted(devices.len(), "device"))
}

/// Formats how many devices have which value of a field.
pub(in crate::cli) fn counts(counts: &Counts) -> String {
    let mut table = Table::new([counts.field.to_uppercase().as_str(), "DEVICES"]);
    for Count { value, devices } in &counts.counts {
        table.row([or_dash(value.as_deref()), devices.to_string()]);
    }
    format!("{table}{}.\n", counted(counts.devices, "device"))
}

/// Formats the devices that asked to be paired and are not enrolled, one per line.
pub(in crate::cli) fn pending(pending: &Vec<PendingView>) -> String {
    if pending.is_empty() {
        return "No device asks to be enrolled.\n".to_owned();
    }
    let mut table = Table::new([
        "DEVICE",
        "HOSTNAME",
        "ADDRESS",
        "FIRST ASKED",
        "LAST ASKED",
        "REQUESTS",
        "EK CERTIFICATE",
        "ENROLLED BEFORE",
    ]);
    for asked in pending {
        let hostname = asked.host.hostname.as_str();
        table.row([
            asked.device.to_string(),
            or_dash(Some(hostname).filter(|name| !name.is_empty())),
            asked.address.clone(),
            time(asked.first_at),
            time(asked.last_at),
            asked.times.to_string(),
            asked.endorsement.clone(),
            before(asked),
        ]);
    }
    let devices = counted(pending.len(), "device");
    format!(
        "{table}{devices}. Compare the id with `pawlctl status` at the device, then: pawl-control-plane enrol DEVICE\n"
    )
}

fn before(asked: &PendingView) -> String {
    match (asked.retired_at, &asked.label) {
        (Some(at), Some(label)) => format!("{label}, retired {}", time(at)),
        (Some(at), None) => format!("retired {}", time(at)),
        (None, _) => "-".to_owned(),
    }
}

fn status(device: &DeviceLine) -> String {
    let is_proven = device.pairing != Some(PairingState::Revoking);
    let ended = match device.status {
        DeviceStatus::Retired => device.retired_at.map(|at| match is_proven {
            true => format!(" {}", time(at)),
            false => format!(" {}, end not proven", time(at)),
        }),
        DeviceStatus::Revoked => device.ended_at.map(|at| format!(" {}", time(at))),
        DeviceStatus::Revoking => device.end_ordered_at.map(|at| format!(" since {}", time(at))),
        _ => None,
    };
    let is_also_suspended = device.standing != Standing::Active
        && !matches!(device.status, DeviceStatus::Suspended | DeviceStatus::Retired);
    let suspended = if is_also_suspended { ", suspended" } else { "" };
    format!("{}{}{suspended}", device.status, ended.unwrap_or_default())
}

#[cfg(test)]
mod tests;
