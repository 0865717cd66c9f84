//! The findings of a check.

use std::fmt::Write as _;

use serde::Serialize;

use crate::output::{Style, Tone, plain};

/// A finding: one line of the list.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) result: Outcome,
    pub(super) detail: String,
    /// The remedy; `None` if nothing is wrong.
    pub(super) remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok,
    /// The device works, with a limitation.
    Warning,
    /// The device does not work, or will soon stop working.
    Failed,
    /// The check could not be run.
    Skipped,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, result: Outcome::Ok, detail: detail.into(), remedy: None }
    }

    pub(super) fn warning(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, result: Outcome::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn failed(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, result: Outcome::Failed, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn skipped(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, result: Outcome::Skipped, detail: detail.into(), remedy: None }
    }
}

/// Formats the findings for people.
pub(super) fn list(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for Finding { check, result, detail, remedy } in findings {
        let (word, tone) = match result {
            Outcome::Ok => ("ok", Tone::Good),
            Outcome::Warning => ("warning", Tone::Doubtful),
            Outcome::Failed => ("failed", Tone::Bad),
            Outcome::Skipped => ("skipped", Tone::Faint),
        };
        let word = style.paint(tone, &format!("{word:<8}"));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{word} {check:<17} {}", plain(detail));
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:27}to do: {}", "", plain(remedy));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_for_people_and_one_for_programs() {
        let findings = [Finding::ok("tpm", "there"), Finding::failed("tls", "un\u{1b}known", "fix it")];
        assert_eq!(
            list(&findings, Style::never()),
            "ok       tpm               there\n\
             failed   tls               un\u{fffd}known\n                           to do: fix it\n"
        );
        assert_eq!(
            serde_json::to_string(&findings).unwrap(),
            r#"[{"check":"tpm","result":"ok","detail":"there","remedy":null},{"check":"tls","result":"failed","detail":"un\u001bknown","remedy":"fix it"}]"#
        );
    }
}
