use pawl_proto::message::Standing;

use super::{Table, access, device, or_dash, time};
use crate::admin::view::{DeviceLine, DeviceStatus, PendingView};

/// Formats the devices, one per line.
pub(in crate::cli) fn devices(devices: &Vec<DeviceLine>, of_some: bool) -> String {
    if devices.is_empty() && of_some {
        return "No device matches.\n".to_owned();
    }
    if devices.is_empty() {
        return "No device is enrolled. `pawl-control-plane enrol --ek-sha256 HEX` enrols one.\n".to_owned();
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
    table.to_string()
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
        ]);
    }
    let devices =
        if pending.len() == 1 { "1 device".to_owned() } else { format!("{} devices", pending.len()) };
    format!(
        "{table}{devices}. Compare the id with `pawlctl status` at the device, then: pawl-control-plane enrol DEVICE\n"
    )
}

fn status(device: &DeviceLine) -> String {
    let ended = match device.status {
        DeviceStatus::Revoked => device.ended_at.map(|at| format!(" {}", time(at))),
        DeviceStatus::Revoking => device.end_ordered_at.map(|at| format!(" since {}", time(at))),
        _ => None,
    };
    let is_also_suspended = device.standing != Standing::Active && device.status != DeviceStatus::Suspended;
    let suspended = if is_also_suspended { ", suspended" } else { "" };
    format!("{}{}{suspended}", device.status, ended.unwrap_or_default())
}

#[cfg(test)]
mod tests;
