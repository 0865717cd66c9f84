//! `pawlctl check --tpm`: a report about whether the TPM does everything that Pawl needs.

use std::fmt::Write as _;
use std::io;

use pawl_local_api::{TpmCheck, TpmCheckResult, TpmReport};
use serde::Serialize;

use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output::{self, Progress, Style, Tone, plain};

/// Requests a test of the TPM from the daemon, and prints the report.
pub(super) async fn run(client: &Client, json: bool) -> Result<Answer, Failure> {
    let mut progress = Progress::new(json);
    progress.live("testing the TPM on scratch objects; a slow TPM takes a minute…");
    let report = client.test_tpm().await;
    progress.clear();
    let report = report?;
    let supported = is_supported(&report);
    let text = if json {
        output::json(&Json { supported, report: &report })?
    } else {
        screen(&report, supported, Style::of(&io::stdout()))
    };
    let exit = if supported { Exit::Done } else { Exit::Failed };
    Ok(Answer { exit, ..Answer::done(text) })
}

#[derive(Serialize)]
struct Json<'a> {
    supported: bool,
    #[serde(flatten)]
    report: &'a TpmReport,
}

/// Returns whether no check failed. Skipped checks do not count.
fn is_supported(report: &TpmReport) -> bool {
    !report.checks.is_empty() && report.checks.iter().all(|check| check.result != TpmCheckResult::Failed)
}

fn screen(report: &TpmReport, supported: bool, style: Style) -> String {
    let mut text = String::new();
    let (headline, tone) = if supported {
        ("This TPM does what Pawl needs.", Tone::Good)
    } else {
        ("This TPM does not do what Pawl needs: do not use it.", Tone::Bad)
    };
    let unknown = || "unknown".to_owned();
    let fields = [
        ("TPM", format!("{} {}", report.manufacturer, report.model)),
        ("firmware", report.firmware.clone()),
        ("specification", format!("TPM 2.0, revision {}", report.specification)),
        ("PCR banks", report.banks.join(", ")),
        (
            "counters",
            report.counters_available.map_or_else(unknown, |free| format!("{free} more can be defined")),
        ),
        (
            "clock",
            report.clock_update_ms.map_or_else(unknown, |ms| {
                format!("saved at least every {} s; at a power cut it can lose as much", ms.div_ceil(1000))
            }),
        ),
        (
            "NV writes",
            format!(
                "{} by this test, at the free NV index {:#010x}{}",
                report.writes,
                report.index,
                report
                    .nv_write_recovery_ms
                    .filter(|ms| *ms > 0)
                    .map(|ms| format!("; the TPM may refuse a write for {ms} ms"))
                    .unwrap_or_default()
            ),
        ),
    ];
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}", style.paint(tone, headline));
    for (label, value) in fields {
        let _ = writeln!(text, "  {label:<14}{}", plain(value.trim()));
    }
    for check in &report.checks {
        line(&mut text, check, style);
    }
    text
}

fn line(text: &mut String, check: &TpmCheck, style: Style) {
    let (word, tone) = match check.result {
        TpmCheckResult::Ok => ("ok", Tone::Good),
        TpmCheckResult::Failed => ("failed", Tone::Bad),
        TpmCheckResult::Skipped => ("skipped", Tone::Faint),
    };
    let word = style.paint(tone, &format!("{word:<8}"));
    let took = match check.result {
        TpmCheckResult::Skipped => String::new(),
        _ => format!(" ({} ms)", check.micros.div_ceil(1000)),
    };
    let _ = writeln!(text, "{word} {:<17} {}{took}", plain(&check.check), plain(&check.detail));
    if check.result == TpmCheckResult::Failed {
        let _ = writeln!(text, "{:27}needed: {}", "", plain(&check.needed_for));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, result: TpmCheckResult) -> TpmCheck {
        TpmCheck {
            check: name.to_owned(),
            result,
            detail: "de\u{1b}tail".to_owned(),
            needed_for: "a reason".to_owned(),
            micros: 1500,
        }
    }

    fn report(checks: Vec<TpmCheck>) -> TpmReport {
        TpmReport {
            manufacturer: "IFX".to_owned(),
            model: "SLB9670".to_owned(),
            firmware: "00070055.0011cb02".to_owned(),
            specification: "1.38".to_owned(),
            banks: vec!["sha256".to_owned()],
            counters_available: Some(6),
            clock_update_ms: Some(4_194_304),
            nv_write_recovery_ms: None,
            index: 0x0180_5042,
            writes: 8,
            checks,
        }
    }

    #[test]
    fn one_failed_check_makes_a_tpm_unsupported_and_a_skipped_one_does_not() {
        use TpmCheckResult::{Failed, Ok, Skipped};
        assert!(is_supported(&report(vec![check("a", Ok), check("b", Skipped)])));
        assert!(!is_supported(&report(vec![check("a", Ok), check("b", Failed)])));
        assert!(!is_supported(&report(Vec::new())), "nothing was tested");
    }

    #[test]
    fn a_failed_check_shows_what_needs_it() {
        let report = report(vec![check("lease", TpmCheckResult::Ok), check("clock", TpmCheckResult::Failed)]);
        let text = screen(&report, false, Style::never());
        assert_eq!(
            text,
            "This TPM does not do what Pawl needs: do not use it.\n\
             \x20 TPM           IFX SLB9670\n\
             \x20 firmware      00070055.0011cb02\n\
             \x20 specification TPM 2.0, revision 1.38\n\
             \x20 PCR banks     sha256\n\
             \x20 counters      6 more can be defined\n\
             \x20 clock         saved at least every 4195 s; at a power cut it can lose as much\n\
             \x20 NV writes     8 by this test, at the free NV index 0x01805042\n\
             ok       lease             de\u{fffd}tail (2 ms)\n\
             failed   clock             de\u{fffd}tail (2 ms)\n                           needed: a reason\n"
        );
    }

    #[test]
    fn json_contains_the_result_and_the_report() {
        let report = report(vec![check("lease", TpmCheckResult::Ok)]);
        let json = serde_json::to_value(Json { supported: true, report: &report }).unwrap();
        assert_eq!(json["supported"], true);
        assert_eq!(json["checks"][0]["result"], "ok");
        assert_eq!(json["manufacturer"], "IFX");
    }
}
