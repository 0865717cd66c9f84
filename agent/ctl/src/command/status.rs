//! `pawlctl status`

use std::collections::BTreeMap;
use std::io;

use pawl_local_api::{
    BrokerStatus, LeaseStatus, LocalStatus, Problem, SessionStage, SessionStatus, TokenStatus, VerdictStatus,
};
use pawl_proto::message::{DeviceState, Finding, Standing, TrustTier};

use super::pair::preview;
use crate::client::Client;
use crate::exit::{Answer, Failure};
use crate::output::{self, FieldList, Style, Tone, from_now, span, utc, words};

pub(super) async fn run(client: &Client, json: bool) -> Result<Answer, Failure> {
    let status = client.status().await?;
    let text =
        if json { output::json(&status)? } else { screen(&status, Style::of(&io::stdout()), output::now()) };
    Ok(Answer::done(text))
}

/// Formats the status for people, at the time `now`.
fn screen(status: &LocalStatus, style: Style, now: u64) -> String {
    let mut screen = Screen { fields: FieldList::new(style), now };
    screen.fields.headline(tone(status.state), &status.state.to_string());
    if let Some(problem) = &status.problem {
        screen.fields.line("why", &problem.reason);
        screen.fields.line("to do", &problem.remedy);
    }
    if let Some(problem) = &status.tpm {
        screen.fields.line("TPM", &format!("not answering: {}", problem.reason));
        screen.fields.line("to do", &problem.remedy);
    }
    if status.finding != Finding::NothingChanged {
        screen.fields.line("found", &preview::sentence(status));
    }
    if let Some(session) = &status.session {
        screen.session(session, status.problem.as_ref());
    }
    screen.device(status);
    if let Some(verdict) = &status.verdict {
        screen.verdict(verdict);
    }
    if let Some(lease) = &status.lease {
        screen.lease(lease);
    }
    for token in &status.tokens {
        screen.token(token);
    }
    screen.broker(&status.broker);
    if status.receipt_waiting {
        screen.fields.line("receipt", "stored on disk until the control plane acknowledges it");
    }
    if !status.refused.is_empty() {
        screen.fields.line("ignored", &format!("messages: {}", ignored(&status.refused)));
    }
    screen.fields.line("pawld", &status.version);
    screen.fields.into_text()
}

/// Formats the counts of ignored messages. Orders that the broker still retains for an earlier epoch, or delivers again, are
/// harmless; other kinds need an investigation.
fn ignored(counts: &BTreeMap<String, u64>) -> String {
    let is_outdated = |kind: &str| ["wrong-epoch", "replayed"].contains(&kind);
    let outdated: u64 = counts.iter().filter(|(kind, _)| is_outdated(kind)).map(|(_, count)| count).sum();
    let outdated = (outdated > 0).then(|| format!("{outdated} outdated (harmless)"));
    let others =
        counts.iter().filter(|(kind, _)| !is_outdated(kind)).map(|(kind, count)| match kind.as_str() {
            "forged" => format!("{count} forged (find out who can publish to the broker)"),
            kind => format!("{count} {kind}"),
        });
    outdated.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

fn tone(state: DeviceState) -> Tone {
    match state {
        DeviceState::Entitled => Tone::Good,
        DeviceState::Revoked => Tone::Bad,
        _ => Tone::Doubtful,
    }
}

struct Screen {
    fields: FieldList,
    now: u64,
}

impl Screen {
    fn session(&mut self, session: &SessionStatus, why_so: Option<&Problem>) {
        let stage = match session.stage {
            SessionStage::Opening => "opening a session with the control plane",
            SessionStage::Waiting => "waiting for approval",
            SessionStage::Ending => "approved; ending the old pairing",
            SessionStage::Pairing => "approved; creating the new pairing",
            SessionStage::Done => "paired",
            SessionStage::Failed => "the last session failed",
            _ => session.stage.as_str(),
        };
        // Do not repeat the device's problem, which is shown above.
        let own = session.problem.as_ref().filter(|own| why_so.is_none_or(|why| why.error != own.error));
        let why = own.map(|problem| format!(" ({})", problem.reason));
        self.fields.line("session", &format!("{stage}{}", why.unwrap_or_default()));
        if let Some(waiting) = &session.waiting {
            let ends = from_now(waiting.expires, self.now);
            let approved = format!("{} of {} persons have approved", waiting.approved.len(), waiting.needed);
            self.fields.line("", &format!("{approved}; ends {ends}"));
            self.fields
                .line("code", &format!("{}; the approver enters it at {}", waiting.user_code, waiting.url));
        }
    }

    fn device(&mut self, status: &LocalStatus) {
        self.fields.line("device", status.device.as_str());
        self.fields.line("EK", &format!("{}, SHA-256 {}", status.ek_kind, status.ek_sha256));
        self.fields.line("epoch", &status.counter.map(|counter| counter.to_string()).unwrap_or_default());
        if let Some(pairing) = &status.pairing {
            self.fields.line("pairing", &format!("{} in epoch {}", pairing.id, pairing.epoch));
            let with = format!("{}; EK verified by {}", pairing.control_plane, pairing.endorsement);
            self.fields.line("with", &with);
            self.fields.line("scopes", &words(&pairing.scopes));
            self.fields.line("audiences", &words(&pairing.audiences));
        }
    }

    fn verdict(&mut self, verdict: &VerdictStatus) {
        let now = self.now;
        let result = verdict.result.as_ref().map_or("none yet", TrustTier::as_str);
        let standing = match verdict.standing {
            Standing::Active => String::new(),
            Standing::Suspended => ", suspended by the operator".to_owned(),
            other => format!(", {other} by the operator"),
        };
        let next = verdict.next_report.map(|next| match next.checked_sub(now) {
            Some(left) => format!("; next report in {}", span(left)),
            None => "; next report overdue".to_owned(),
        });
        let age = from_now(verdict.time, now);
        self.fields.line("verdict", &format!("{result}{standing}, {age}{}", next.unwrap_or_default()));
        let areas: Vec<_> = verdict.areas.iter().map(|(area, result)| format!("{area} {result}")).collect();
        if !areas.is_empty() {
            self.fields.line("", &areas.join(", "));
        }
        for reason in &verdict.reasons {
            self.fields.line("", reason.as_str());
        }
    }

    fn lease(&mut self, lease: &LeaseStatus) {
        let until = format!("until {} ({})", utc(lease.until), from_now(lease.until, self.now));
        let tpm = match (&lease.tpm_error, lease.accepted) {
            (_, true) => format!("accepted by the TPM; valid for {} more TPM resets", lease.resets_left),
            (Some(error), false) => format!("refused by the TPM: {error}"),
            (None, false) => "not in force".to_owned(),
        };
        self.fields.line("lease", &until);
        self.fields.line("", &tpm);
        self.fields.line("", &format!("expires when the TPM clock reaches {}", span(lease.clock / 1000)));
        if lease.ahead > 0 {
            self.fields.line("", &format!("{} more for pre-approved boot states", lease.ahead));
        }
    }

    fn token(&mut self, token: &TokenStatus) {
        let state = match (token.expires_at, &token.error) {
            (_, Some(error)) => error.clone(),
            (Some(expiry), None) => format!("expires {}", from_now(expiry, self.now)),
            (None, None) => "not fetched yet".to_owned(),
        };
        let audience = token.audience.as_ref().map(|audience| format!(" for {audience}")).unwrap_or_default();
        let scopes = token.scopes.join(" ");
        self.fields.line("token", &format!("{} ({scopes}{audience}): {state}", token.name));
    }

    /// Shows nothing without a pairing, which names the broker.
    fn broker(&mut self, broker: &BrokerStatus) {
        let Some(address) = &broker.address else { return };
        let state = match (&broker.error, broker.connected) {
            (None, true) => "connected".to_owned(),
            (Some(error), true) => format!("connected, but {error}"),
            (Some(error), false) => error.clone(),
            (None, false) => "not connected".to_owned(),
        };
        self.fields.line("broker", &format!("{address}: {state}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{
        "version": "0.1.0", "state": "lapsed",
        "problem": {"error": "lease-expired", "reason": "the lease ran out", "remedy": "see the broker"},
        "device": "abcdefghijklmnopqrstuvwxyz234567", "ek_sha256": "00ff", "ek_kind": "rsa-2048", "ek_certificates": 1, "pcr_banks": ["sha256"], "counter": 7,
        "pairing": {"id": "00000000000000000000000000000001", "epoch": 7, "control_plane": "Example fleet",
                    "endorsement": "certificate", "scopes": ["telemetry", "updates"],
                    "audiences": ["https://control.example:8443"]},
        "verdict": {"result": "affirming", "standing": "suspended", "reasons": ["maintenance"], "time": 900,
                    "areas": {"hardware": "affirming", "boot": "affirming", "runtime": "warning"},
                    "next_report": 1300, "reports": 3},
        "lease": {"until": 940, "clock": 120000, "resets_left": 2, "accepted": false,
                  "tpm_error": "TPM_RC_POLICY (0x126)", "ahead": 1},
        "tokens": [{"name": "telemetry", "scopes": ["telemetry"], "expires_at": null, "error": null}],
        "broker": {"connected": false, "address": "broker.example:8883", "error": "refused\u001b[2J"},
        "receipt_waiting": true, "refused": {"forged": 2, "wrong-epoch": 1}, "finding": "new-tpm",
        "former": "abcdefghijklmnopqrstuvwxyz234566",
        "session": {"id": "00000000000000000000000000000002", "stage": "waiting", "asked": null, "problem": null,
                    "waiting": {"user_code": "BCDF-GHJK-LMNP", "url": "https://control.example/approve",
                                "needed": 2, "approved": ["alice"], "unconfirmed": 0, "tries_left": 5,
                                "expires": 1540, "refused": null}}
    }"#;

    #[test]
    fn the_screen_begins_with_state_cause_and_remedy() {
        let status: LocalStatus = serde_json::from_str(STATUS).unwrap();
        let screen = screen(&status, Style::never(), 1000);
        let expected = "\
lapsed
  why       the lease ran out
  to do     see the broker
  found     new TPM, old disk: the pairing on this disk belongs to device abcdefghijklmnopqrstuvwxyz234566
  session   waiting for approval
            1 of 2 persons have approved; ends in 9 min 0 s
  code      BCDF-GHJK-LMNP; the approver enters it at https://control.example/approve
  device    abcdefghijklmnopqrstuvwxyz234567
  EK        rsa-2048, SHA-256 00ff
  epoch     7
  pairing   00000000000000000000000000000001 in epoch 7
  with      Example fleet; EK verified by certificate
  scopes    telemetry updates
  audiences https://control.example:8443
  verdict   affirming, suspended by the operator, 1 min 40 s ago; next report in 5 min 0 s
            hardware affirming, boot affirming, runtime warning
            maintenance
  lease     until 1970-01-01 00:15:40 UTC (1 min 0 s ago)
            refused by the TPM: TPM_RC_POLICY (0x126)
            expires when the TPM clock reaches 2 min 0 s
            1 more for pre-approved boot states
  token     telemetry (telemetry): not fetched yet
  broker    broker.example:8883: refused\u{fffd}[2J
  receipt   stored on disk until the control plane acknowledges it
  ignored   messages: 1 outdated (harmless), 2 forged (find out who can publish to the broker)
  pawld     0.1.0
";
        assert_eq!(screen, expected);
    }

    #[test]
    fn a_tpm_that_fails_and_a_refused_subscription_are_shown() {
        let mut status: LocalStatus = serde_json::from_str(STATUS).unwrap();
        let (reason, remedy) = ("TPM_RC_FAILURE (0x101)".to_owned(), "restart the device".to_owned());
        status.tpm = Some(Problem { error: "tpm".to_owned(), reason, remedy });
        (status.broker.connected, status.broker.error) = (true, Some("no order can arrive".to_owned()));
        let screen = screen(&status, Style::never(), 1000);
        assert!(screen.contains("not answering: TPM_RC_FAILURE (0x101)\n  to do     restart the device"));
        assert!(screen.contains("connected, but no order can arrive"));
    }
}
