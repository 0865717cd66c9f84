use std::fmt::Write as _;

use pawl_proto::message::{Access, Entitlement, HostHealth};

use super::{access, or_dash, time};
use crate::admin::view::{
    AheadView, DeviceLine, DeviceStatus, DeviceView, EventView, IncidentView, NvPcrView, ReceiptView,
};
use pawl_verifier::incident::IncidentKind;
use pawl_verifier::pairing::PairingState;

/// Formats the view of a device, one line per fact.
pub(in crate::cli) fn device(view: &DeviceView) -> String {
    let mut text = String::new();
    for (name, value) in lines(view) {
        let _ = writeln!(text, "{name:<14}{value}");
    }
    for ahead in &view.ahead {
        let _ = writeln!(text, "{:<14}{}", "ahead", ahead_line(ahead));
    }
    for incident in &view.incidents {
        let _ = writeln!(text, "{:<14}{}", "incident", incident_line(incident));
        if let Some(to_do) = &incident.to_do {
            let _ = writeln!(text, "{:<14}{to_do}", "to do");
        }
    }
    if let Some(digest) = view.open_incidents {
        let _ = writeln!(text, "{:<14}--incidents {digest}", "to settle");
    }
    for event in &view.events {
        let _ = writeln!(text, "{:<14}{}", "event", event_line(event));
    }
    for receipt in &view.receipts {
        let _ = writeln!(text, "{:<14}{}", "receipt", receipt_line(receipt));
    }
    text
}

/// Formats what a command that ends the pairing destroys.
pub(in crate::cli) fn ends(view: &DeviceView) -> String {
    const SHOWN: [&str; 7] =
        ["device", "label", "last message", "pairing", "epoch", "entitled to", "last report"];
    let mut text = String::new();
    for (name, value) in lines(view).into_iter().filter(|(name, _)| SHOWN.contains(name)) {
        let _ = writeln!(text, "  {name:<14}{value}");
    }
    text
}

fn lines(view: &DeviceView) -> Vec<(&'static str, String)> {
    let standing = view.suspension.map(|number| match &view.standing_reason {
        Some(reason) => format!("{}, suspension {number}: {reason}", view.standing),
        None => format!("{}, suspension {number}", view.standing),
    });
    let mut lines = vec![
        ("device", view.device.to_string()),
        ("label", or_dash(view.label.clone())),
        ("EK", format!("{} sha256 {}", or_dash(view.ek_kind.clone()), view.ek_sha256)),
        ("EK verified", or_dash(view.endorsement.clone())),
        ("enrolled", time(view.enrolled_at)),
        ("status", status(view)),
    ];
    lines.extend(standing.map(|standing| ("standing", standing)));
    lines.push(("granted", access(&view.granted)));
    let exempt = view.without_certificate.then(|| "not required: enrolled --without-certificate".to_owned());
    lines.extend(exempt.map(|exempt| ("certificate", exempt)));
    lines.extend(view.replaces.map(|other| ("replaces", other.to_string())));
    lines.extend(view.replaced_by.map(|other| ("replaced by", other.to_string())));
    if let (Some(online), Some(state), Some(seen)) = (view.online, view.state, view.seen) {
        let online = if online { "online" } else { "offline" };
        lines.push(("last message", format!("{online}, {state}, at {}", time(seen))));
    }
    match &view.pairing {
        None => lines.push(("pairing", "none".to_owned())),
        Some(pairing) => {
            let state = pairing_state(pairing.state);
            let paired = time(pairing.paired_at);
            let ended = pairing.ended_at.map(|at| format!(", ended {}", time(at))).unwrap_or_default();
            lines.push(("pairing", format!("{} {state}, paired {paired}{ended}", pairing.id)));
            lines.push(("epoch", pairing.epoch.to_string()));
            let asked = Access { scopes: pairing.scopes.clone(), audiences: pairing.audiences.clone() };
            lines.push(("requested", access(&asked)));
        }
    }
    if let Some(Entitlement { scopes, audiences, .. }) = &view.entitlement {
        let now = Access { scopes: scopes.clone(), audiences: audiences.clone() };
        lines.push(("entitled to", access(&now)));
    }
    if let Some(verdict) = &view.verdict {
        let result = or_dash(verdict.result);
        lines.push(("verdict", format!("{result}, number {}, at {}", verdict.sequence, time(verdict.time))));
        let areas: Vec<String> =
            verdict.areas.iter().map(|(area, result)| format!("{area} {result}")).collect();
        lines.extend((!areas.is_empty()).then(|| ("", areas.join(", "))));
        lines.extend(verdict.reasons.iter().map(|reason| ("", reason.clone())));
        lines.extend(verdict.policy.map(|digest| ("policy", format!("sha256 {digest}"))));
    }
    if let Some(lease) = &view.lease {
        let until = time(lease.until);
        let terms = format!("TPM clock below {} ms, resets up to {}", lease.clock, lease.reset_count);
        lines.push(("lease", format!("until {until}; {terms}")));
    }
    if let Some(report) = &view.last_report {
        let kind = if report.whole { "full" } else { "incremental" };
        let (at, bytes) = (time(report.time), report.bytes);
        let overdue = if view.overdue { " (the next is overdue)" } else { "" };
        lines.push((
            "last report",
            format!("{at}{overdue}, {bytes} bytes, {kind}; {} in this pairing", report.reports),
        ));
    }
    if let Some(host) = &view.host {
        let host = format!("{}, {}, {} {}", host.hostname, host.system, host.kernel, host.architecture);
        lines.push(("host", format!("{host} (the device's word)")));
    }
    lines.extend(view.health.map(|health| ("health", health_line(&health))));
    if let Some(highest) = &view.highest {
        let (epoch, resets, clock) = (highest.epoch, highest.reset_count, highest.clock);
        lines.push(("TPM", format!("epoch {epoch}, resets {resets}, clock {clock} ms")));
    }
    if !view.nvpcrs.is_empty() {
        let nvpcrs: Vec<String> = view.nvpcrs.iter().map(nvpcr).collect();
        lines.push(("NvPCRs", nvpcrs.join(", ")));
    }
    if let Some(state) = &view.reported_state {
        let accepted = if state.accepted { "accepted" } else { "not accepted" };
        lines.push(("boot state", format!("{}, {accepted}", state.digest)));
    }
    lines.push(("boot states", format!("{} accepted", view.boot_states)));
    lines
}

/// Formats what the control plane knows of a device: whether it works now, or since when it does not.
fn status(view: &DeviceView) -> String {
    let status = view.status;
    let pairing = view.pairing.as_ref();
    match status {
        DeviceStatus::Entitled => match &view.lease {
            Some(lease) => format!("{status}, lease until {}", time(lease.until)),
            None => status.to_string(),
        },
        DeviceStatus::Lapsed => format!("{status}: no valid lease"),
        DeviceStatus::Revoking => {
            let since = pairing.and_then(|pairing| pairing.end_ordered_at).map(time);
            format!("{status} since {}: its TPM has not proven the end yet", or_dash(since))
        }
        DeviceStatus::Revoked => {
            format!("{status} {}", or_dash(pairing.and_then(|pairing| pairing.ended_at).map(time)))
        }
        DeviceStatus::Retired => {
            let at = or_dash(view.retired_at.map(time));
            match pairing.map(|pairing| pairing.state) {
                Some(PairingState::Revoking) => format!("{status} {at}: its TPM has not proven the end yet"),
                _ => format!("{status} {at}"),
            }
        }
        DeviceStatus::Unpaired | DeviceStatus::Suspended => status.to_string(),
    }
}

/// Returns in one or two words how a device's endorsement key was verified.
pub(in crate::cli) fn certificate(line: &DeviceLine) -> &'static str {
    match line.endorsement.as_deref() {
        _ if line.without_certificate => "not required",
        None => "-",
        Some(endorsement) if endorsement.starts_with("certificate") => "checked",
        Some(_) => "not checked",
    }
}

fn ahead_line(ahead: &AheadView) -> String {
    let lease = match (ahead.clock, ahead.reset_count) {
        (Some(clock), Some(resets)) => {
            format!("the device has a lease for it, TPM clock below {clock} ms, resets up to {resets}")
        }
        _ => "the device has no lease for it yet".to_owned(),
    };
    format!("\"{}\", approved {}; {lease}", ahead.name, time(ahead.approved_at))
}

fn incident_line(incident: &IncidentView) -> String {
    let name = match incident.kind {
        IncidentKind::TwoPlaces => "in two places",
        IncidentKind::SetBack => "TPM set back",
        IncidentKind::DiskElsewhere => "disk in another machine",
        IncidentKind::DiskOfAnother => "disk of another device",
        IncidentKind::Reimaged => "disk is new",
        _ => "an incident of an unknown kind",
    };
    let seen = match incident.times {
        1 => time(incident.last_at),
        times => format!("{times} times since {}, last {}", time(incident.first_at), time(incident.last_at)),
    };
    let settled = match (incident.settled_at, &incident.settled_by) {
        (Some(at), Some(how)) => format!("; resolved {} ({how})", time(at)),
        _ => String::new(),
    };
    format!("{name}, {seen}: {}{settled}", incident.detail)
}

/// Formats the host's last health, which is not attested.
fn health_line(health: &HostHealth) -> String {
    let space =
        |mebibytes: Option<u64>| mebibytes.map_or_else(|| "-".to_owned(), |free| format!("{free} MiB"));
    let (days, hours, minutes) =
        (health.uptime / 86_400, health.uptime / 3_600 % 24, health.uptime / 60 % 60);
    let (load, hundredths) = (health.load / 100, health.load % 100);
    let mut line = format!("up {days} d {hours} h {minutes} min, load {load}.{hundredths:02}, free: ");
    let _ = write!(line, "memory {} MiB, swap {} MiB, ", health.memory, health.swap);
    let _ = write!(line, "state {}, / {}", space(health.state), space(health.root));
    if let Some(cpu) = health.cpu {
        let _ = write!(line, ", CPU {cpu} °C");
    }
    line + " (the device's word)"
}

fn nvpcr(view: &NvPcrView) -> String {
    let name = if view.name.is_empty() { "unnamed" } else { view.name.as_str() };
    let how = if view.judged { "judged" } else { "present" };
    format!("{name} {} ({how})", view.index)
}

fn event_line(event: &EventView) -> String {
    let stage = match (event.settled, event.acknowledged_at_ms) {
        (true, _) => "carried out",
        (false, Some(_)) => "published, not answered yet",
        (false, None) => "stored, will be published when the broker is back",
    };
    format!(
        "{} {} for epoch {}, {}: {} ({stage})",
        event.kind,
        event.id,
        event.epoch,
        time(event.time),
        event.reason
    )
}

fn receipt_line(receipt: &ReceiptView) -> String {
    let at = time(receipt.received_at_ms / 1000);
    format!(
        "epoch {} ended, counter at {}, {at}: verified ({})",
        receipt.ended, receipt.epoch, receipt.reason
    )
}

pub(in crate::cli) fn pairing_state(state: PairingState) -> &'static str {
    match state {
        PairingState::Live => "live",
        PairingState::Revoking => "revoking",
        PairingState::Ended => "ended",
    }
}
