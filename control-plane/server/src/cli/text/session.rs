use std::fmt::Write as _;

use pawl_proto::message::{Access, Ending, Finding, HostFacts, Statement};

use super::Table;
use super::{access, counted, or_dash, time};
use crate::admin::view::{ApprovalView, ClaimsView, ConfirmationView, RequestView, SessionView};
use pawl_verifier::session::SessionState;

/// Formats sessions, each with its approvals and refused approvals, and how many of the `kept` ones they are.
pub(in crate::cli) fn sessions(sessions: &Vec<SessionView>, kept: usize) -> String {
    if sessions.is_empty() {
        return "No session was opened yet. `pawlctl re-pair` on a device opens one.\n".to_owned();
    }
    let mut table = Table::new(["SESSION", "STATE", "ACTION", "DEVICE", "OPENED", "ENDS"]);
    for session in sessions {
        table.row([
            session.id.to_string(),
            state_name(session.state).to_owned(),
            session.action.clone(),
            session.label.clone().unwrap_or_else(|| session.device.to_string()),
            time(session.opened_at),
            time(session.expires),
        ]);
    }
    let mut text = String::new();
    let lines = table.to_string();
    let mut lines = lines.lines();
    let _ = writeln!(text, "{}", lines.next().unwrap_or_default());
    for (line, session) in lines.zip(sessions) {
        let _ = writeln!(text, "{line}");
        details(&mut text, session);
    }
    let shown = sessions.len();
    let _ = match kept > shown {
        true => writeln!(text, "The newest {shown} of {}.", counted(kept, "session")),
        false => writeln!(text, "{}.", counted(shown, "session")),
    };
    text
}

fn details(text: &mut String, session: &SessionView) {
    let reason = if session.reason.is_empty() { "no reason given" } else { &session.reason };
    let _ = writeln!(text, "    asked from {}: {reason}", session.origin);
    if let Some(endorsement) = &session.endorsement {
        let _ = writeln!(text, "    EK verified: {endorsement}");
    }
    for approval in &session.approved {
        let _ = writeln!(text, "    {}", approval_line(approval));
    }
    let counting = session.approved.iter().filter(|approval| approval.counts).count();
    if session.state == SessionState::Waiting {
        let left = session.tries_left;
        let _ =
            writeln!(text, "    {counting} of {} persons have approved; {left} tries left", session.needed);
    }
    for refused in &session.refusals {
        let unsaid = refused.key.as_ref().filter(|key| !refused.detail.contains(key.as_str()));
        let key = unsaid.map(|key| format!(" ({key})")).unwrap_or_default();
        let _ = writeln!(
            text,
            "    refused at {}, binding {}: {}{key}",
            time(refused.time),
            refused.binding,
            refused.detail
        );
    }
    if let Some(outcome) = &session.outcome {
        let _ = writeln!(text, "    {outcome}");
    }
}

fn approval_line(approval: &ApprovalView) -> String {
    let place = match (approval.elsewhere, approval.counts) {
        (false, _) => "at the device",
        (true, true) => "elsewhere, confirmed at the device",
        (true, false) => "elsewhere, not yet confirmed at the device",
    };
    let (principal, key) = (&approval.principal, &approval.key);
    format!("approved by {principal} ({key}) at {}, {place}", time(approval.time))
}

/// Formats the request for the approver.
pub(in crate::cli) fn request(view: &RequestView, statement: &Statement) -> String {
    let mut lines = vec![
        ("action", statement.action.to_string()),
        ("device", statement.device.to_string()),
        ("label", or_dash(view.session.label.clone())),
    ];
    if let Some(claims) = &view.claims {
        lines.extend(claims_lines(claims));
    }
    lines.extend(statement.endorsement.as_ref().map(|how| ("EK verified", how.to_string())));
    lines.push(("origin", format!("{} (the device's word)", statement.origin)));
    lines.push(("reason", statement.reason.to_string()));
    for (name, value) in [("resource", &statement.resource), ("for session", &statement.context)] {
        lines.extend(value.as_ref().map(|value| (name, value.to_string())));
    }
    lines.extend(statement.subject.map(|subject| ("digest", subject.to_string())));
    lines.extend(view.known.ends.as_ref().map(|ends| ("ends", ending(ends))));
    if let Some(replaced) = statement.replaces {
        lines.push(("replaces", format!("{replaced}, which is suspended")));
        lines.extend(view.known.replaced.as_ref().map(|ends| ("", ending(ends))));
    }
    if view.claims.is_some() {
        lines.push(("scopes asked", words(&statement.scopes)));
        lines.extend((!statement.audiences.is_empty()).then(|| ("audiences", words(&statement.audiences))));
        if let Some(granted) = &statement.granted {
            lines.push(("granted", access(granted)));
            let beyond = beyond(statement, granted);
            let line = || ("not granted", format!("{} (the operator does not grant it)", beyond.join(" ")));
            lines.extend((!beyond.is_empty()).then(line));
        }
        let lost = view.scopes_lost();
        if !lost.is_empty() {
            lines.push(("scopes lost", lost.join(" ")));
        }
    }
    lines.push(("epoch", statement.epoch.to_string()));
    lines.push(("boot", statement.boot.to_string()));
    lines.push(("evidence", statement.evidence.to_string()));
    lines.push(("session", statement.session.to_string()));
    lines.push(("ends at", time(statement.expires)));

    let mut text = "You are asked to approve:\n\n".to_owned();
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:<15}{value}");
    }
    let consequence = match (&view.claims, &view.known.ends, &view.known.replaced) {
        (None, ..) => "If you approve, the device's TPM may sign for this action once.",
        (Some(_), None, None) => "If you approve, the device may be paired; it has no live pairing now.",
        (Some(_), ..) => "If you approve, the pairings above end at once.",
    };
    let _ = writeln!(text, "\n{consequence} Approve only a device that you see or were called about.");
    text
}

fn claims_lines(claims: &ClaimsView) -> Vec<(&'static str, String)> {
    let enrolled = if claims.enrolled { "enrolled" } else { "not enrolled: your approval enrols it" };
    let host = &claims.host;
    let mut lines = vec![
        ("EK sha256", format!("{}, {enrolled}", claims.ek_sha256)),
        ("host", format!("{} (the device's word)", host_line(host))),
        ("found", format!("{} (the device's word)", finding(claims.finding))),
        ("appraisal", or_dash(claims.appraisal)),
    ];
    lines.extend(claims.reasons.iter().map(|reason| ("", reason.clone())));
    lines
}

fn host_line(host: &HostFacts) -> String {
    let facts = [&host.hostname, &host.product, &host.system];
    let said: Vec<&str> =
        facts.into_iter().map(|fact| fact.as_str()).filter(|fact| !fact.is_empty()).collect();
    if said.is_empty() { "unnamed".to_owned() } else { said.join(", ") }
}

fn finding(finding: Finding) -> String {
    match finding {
        Finding::NothingChanged => "nothing changed",
        Finding::NewTpm => "new TPM, old disk",
        Finding::NewDisk => "same TPM, new disk",
        Finding::BothNew => "TPM and disk both new",
        other => return format!("{other}, which this version does not know"),
    }
    .to_owned()
}

fn ending(ending: &Ending) -> String {
    let scopes = words(&ending.scopes);
    format!(
        "pairing {} of epoch {}, since {}: {scopes}",
        ending.pairing,
        ending.epoch,
        time(ending.paired_at)
    )
}

/// Returns the requested scopes and audiences that are not granted, which the pairing will not have.
fn beyond<'a>(statement: &'a Statement, granted: &Access) -> Vec<&'a str> {
    let scopes = statement.scopes.iter().filter(|scope| !granted.scopes.contains(scope));
    let audiences = statement.audiences.iter().filter(|audience| !granted.audiences.contains(audience));
    scopes.map(AsRef::as_ref).chain(audiences.map(AsRef::as_ref)).collect()
}

fn words<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

pub(in crate::cli) fn confirmation(given: &ConfirmationView) -> String {
    format!(
        "Signed. It counts once this confirmation is typed at the device, before {}:\n\n    {}\n",
        time(given.expires),
        given.confirmation
    )
}

pub(in crate::cli) fn declined(session: &SessionView) -> String {
    format!("Declined session {}; nothing has changed for {}.\n", session.id, session.device)
}

fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Waiting => "waiting",
        SessionState::Approved => "approved",
        SessionState::Spent => "used",
        SessionState::Declined => "declined",
        SessionState::Expired => "expired",
        SessionState::Superseded => "superseded",
    }
}
