use std::fmt::Write as _;

use serde_json::Value;

use super::{counted, or_dash, time};
use crate::admin::view::{DeviceRecordView, RecordView};
use crate::bundle::Checked;

pub(in crate::cli) fn records(records: &Vec<RecordView>) -> String {
    let mut text = String::new();
    for record in records {
        // A fact contains only texts and numbers, which JSON can encode.
        let fact = serde_json::to_value(&record.fact).unwrap_or_default();
        let _ = writeln!(text, "{}", line(record.sequence, record.time, &record.digest, &fact));
    }
    let _ = writeln!(text, "{}.", counted(records.len(), "record"));
    text
}

pub(in crate::cli) fn device_records(records: &Vec<DeviceRecordView>) -> String {
    let mut text = String::new();
    let mut chain = 1;
    for view in records {
        if view.chain != chain {
            chain = view.chain;
            let _ = writeln!(text, "       chain {chain}, which began with pairing {}", view.pairing);
        }
        let record = view.record.clone().unwrap_or_default();
        let at = record.get("time").and_then(Value::as_u64).unwrap_or(view.received_at);
        let fact = record.get("fact").cloned().unwrap_or_default();
        let _ = writeln!(text, "{}", line(view.sequence, at, &view.digest, &fact));
    }
    if records.is_empty() {
        text.push_str("The device has sent no records.\n");
    } else {
        let _ = writeln!(text, "{}.", counted(records.len(), "record"));
    }
    text
}

fn line(sequence: u64, at: u64, digest: &str, fact: &Value) -> String {
    let kind = fact.get("kind").and_then(Value::as_str).unwrap_or("unreadable");
    let detail = fact.get("detail").cloned().unwrap_or_default();
    let digest: String = digest.chars().take(16).collect();
    format!("{sequence:>5}  {}  {digest}  {kind:<14} {detail}", time(at))
}

/// Formats the outcome of a verification.
pub(in crate::cli) fn checked(checked: &Checked) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    say("device", checked.device.to_string());
    say("kept by", format!("{}, at {}", checked.control_plane, time(checked.time)));
    say(
        "records",
        format!("{} of the control plane, {} of the device", checked.records, checked.device_records),
    );
    if let Some(sequence) = checked.checkpoint {
        say(
            "checkpoint",
            format!("replaces records 1 to {sequence}, except those that later ones depend on"),
        );
    }
    say("head", or_dash(checked.head.clone()));
    say(
        "checked",
        format!(
            "{} pairings, {} quotes, {} leases, {} receipts, {} approvals, {} assurances",
            checked.pairings,
            checked.quotes,
            checked.leases,
            checked.receipts,
            checked.approvals,
            checked.assurances
        ),
    );
    if checked.unchecked > 0 {
        say("not checked", format!("{}, of another version of the control plane", checked.unchecked));
    }
    for approver in &checked.approvers {
        say("approver", approver.clone());
    }
    for failure in &checked.failures {
        say("FAILED", failure.to_string());
    }
    if checked.failures.is_empty() {
        say("result", "all records verified".to_owned());
    }
    text
}
