use std::fmt::Write as _;
use std::path::Path;

use super::{or_dash, time};
use crate::admin::view::{CheckedView, ExplanationView, ReasonView};

/// Formats policies with the meaning of each rule.
pub(in crate::cli) fn checked_policies(checked: &Vec<CheckedView>) -> String {
    if checked.is_empty() {
        return "There is no policy: exact boot states are compared.\n".to_owned();
    }
    let mut text = String::new();
    for CheckedView { policy, rules } in checked {
        let _ = writeln!(text, "{}\n  sha256 {}", policy.file.display(), policy.sha256);
        for (rule, sentence) in rules {
            let _ = writeln!(text, "  {rule}\n      {sentence}");
        }
    }
    let policies = if checked.len() == 1 { "policy" } else { "policies" };
    let _ = writeln!(text, "{} {policies}.", checked.len());
    text
}

/// Formats an attestation result, with each reason and its remedy.
pub(in crate::cli) fn explanation(view: &ExplanationView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("device", view.device.as_str());
    line("received", &time(view.shown_at));
    line("boot state", &or_dash(view.state));
    match &view.policy {
        Some(policy) => line("policy", &format!("{}, sha256 {}", policy.file.display(), policy.sha256)),
        None => line("policy", "none: exact boot states are compared"),
    }
    line("result", &view.result.to_string());
    for (area, result) in &view.areas {
        line(&format!("  {area}"), &result.to_string());
    }
    for reason in &view.reasons {
        text.push_str(&reason_lines(reason));
    }
    for incident in &view.incidents {
        let _ = writeln!(text, "\nincident: {}", incident.detail);
        if let Some(to_do) = &incident.to_do {
            let _ = writeln!(text, "  to do: {to_do}");
        }
    }
    text
}

fn reason_lines(reason: &ReasonView) -> String {
    let ReasonView { area, result, rule, text, .. } = reason;
    let mut lines = format!("\n{result}: {text}\n  rule: {rule} ({area})\n");
    if let Some(logged) = &reason.logged {
        let _ = writeln!(lines, "  boot event log: {logged}");
    }
    if let Some(to_do) = &reason.to_do {
        let _ = writeln!(lines, "  to do: {to_do}");
    }
    lines
}

pub(in crate::cli) fn learnt(file: &Path) -> String {
    format!(
        "Wrote {}. Read it, put it into the policy directory, and reload the server (SIGHUP).\n",
        file.display()
    )
}
