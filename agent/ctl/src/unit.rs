//! Explains why a daemon does not answer, by systemd's properties of pawld's unit: not installed, not started, refused its
//! configuration, stopped, still starting.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::exit::{Exit, Failure};

const UNIT: &str = "pawld.service";
/// The time limit for systemctl and journalctl.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
/// Exit codes of pawld, as in sysexits.h.
const UNAVAILABLE: i32 = 69;
const CANNOT_CREATE: i32 = 73;
const CONFIGURATION: i32 = 78;

/// Runs a program with arguments, and returns its output; `None` if the program is missing, fails or takes too long.
type Run<'a> = &'a dyn Fn(&str, &[&str]) -> Option<String>;

/// Returns the failure of a daemon that did not answer, with the cause that systemd reports. Returns other failures unchanged, and
/// all failures on a host without systemd.
pub(crate) fn explain(failure: Failure) -> Failure {
    explain_by(failure, &run)
}

fn explain_by(failure: Failure, run: Run<'_>) -> Failure {
    let unanswered = ["daemon-unreachable", "daemon-crowded", "daemon-silent"];
    if !unanswered.contains(&failure.problem.error.as_str()) {
        return failure;
    }
    match Unit::ask(run).and_then(|unit| unit.diagnosis(run)) {
        Some(diagnosis) => diagnosis,
        None => failure,
    }
}

/// Properties of the unit (org.freedesktop.systemd1(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    load: String,
    active: String,
    sub: String,
    /// The result of the last run: `success`, `exit-code`, `signal`, `watchdog` and so on.
    result: String,
    exit_status: i32,
    /// The daemon's own status text.
    status_text: String,
    invocation: String,
    restarts: u32,
}

impl Unit {
    fn ask(run: Run<'_>) -> Option<Self> {
        const PROPERTIES: &str =
            "LoadState,ActiveState,SubState,Result,ExecMainStatus,StatusText,InvocationID,NRestarts";
        let shown = run("systemctl", &["show", UNIT, "--property", PROPERTIES])?;
        let mut unit = Self::default();
        for (key, value) in shown.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "LoadState" => value.clone_into(&mut unit.load),
                "ActiveState" => value.clone_into(&mut unit.active),
                "SubState" => value.clone_into(&mut unit.sub),
                "Result" => value.clone_into(&mut unit.result),
                "ExecMainStatus" => unit.exit_status = value.parse().unwrap_or_default(),
                "StatusText" => value.clone_into(&mut unit.status_text),
                "InvocationID" => value.clone_into(&mut unit.invocation),
                "NRestarts" => unit.restarts = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        (!unit.load.is_empty()).then_some(unit)
    }

    /// Returns why the daemon does not answer; `None` if its unit runs.
    fn diagnosis(&self, run: Run<'_>) -> Option<Failure> {
        let failure =
            |exit, error, reason: String, remedy: &str| Some(Failure::new(exit, error, reason, remedy));
        match (self.load.as_str(), self.active.as_str(), self.sub.as_str()) {
            ("not-found", ..) => failure(
                Exit::Unreachable,
                "not-installed",
                "pawld is not installed: systemd has no pawld.service".to_owned(),
                "install the package: apt install pawl; if the daemon's socket is elsewhere, use --socket",
            ),
            ("masked", ..) => failure(
                Exit::Unreachable,
                "masked",
                "pawld cannot start: pawld.service is masked".to_owned(),
                "run: systemctl unmask pawld, then: systemctl start pawld",
            ),
            (_, "active" | "reloading" | "deactivating", _) => None,
            (_, "activating", "auto-restart" | "auto-restart-queued") => {
                let Self { restarts, .. } = self;
                let remedy = "correct what it says; systemd starts pawld again every 10 seconds";
                let reason = format!("{}; restarts: {restarts}", self.stopped(run));
                failure(Exit::Unreachable, "daemon-restarting", reason, remedy)
            }
            (_, "activating", _) => {
                let doing = if self.status_text.is_empty() { "no status yet" } else { &self.status_text };
                let reason = format!("pawld is still starting: {doing}");
                failure(Exit::Unreachable, "daemon-starting", reason, "wait, then run the command again")
            }
            (_, "inactive", _) if self.result == "success" && self.exit_status == 0 => failure(
                Exit::Unreachable,
                "daemon-stopped",
                "pawld is not started".to_owned(),
                "run: systemctl start pawld; to start it at each boot: systemctl enable pawld",
            ),
            _ => {
                let (exit, error, remedy) = match self.exit_status {
                    CONFIGURATION => (
                        Exit::Configuration,
                        "configuration",
                        "correct /etc/pawl/pawl.toml or the file that it names, then run: systemctl restart pawld",
                    ),
                    UNAVAILABLE => (
                        Exit::Unreachable,
                        "daemon-failed",
                        "check the TPM: pawlctl check; then run: systemctl restart pawld",
                    ),
                    CANNOT_CREATE => (
                        Exit::Unreachable,
                        "daemon-failed",
                        "check the disk, and the owners of /var/lib/pawl and /run/pawl; then run: systemctl restart pawld",
                    ),
                    _ => (
                        Exit::Unreachable,
                        "daemon-failed",
                        "see its log: journalctl -u pawld; then run: systemctl restart pawld",
                    ),
                };
                failure(exit, error, self.stopped(run), remedy)
            }
        }
    }

    /// Describes how the daemon stopped, with its last error if the journal has it and this user may read it.
    fn stopped(&self, run: Run<'_>) -> String {
        let how = match self.result.as_str() {
            "success" | "exit-code" => format!("exit status {}", self.exit_status),
            other => other.to_owned(),
        };
        match self.last_error(run) {
            Some(message) => format!("pawld does not run ({how}): {message}"),
            None => format!("pawld does not run ({how}); root can see why: journalctl -u pawld"),
        }
    }

    fn last_error(&self, run: Run<'_>) -> Option<String> {
        if self.invocation.is_empty() {
            return None;
        }
        let unit = format!("_SYSTEMD_UNIT={UNIT}");
        let invocation = format!("_SYSTEMD_INVOCATION_ID={}", self.invocation);
        let arguments = ["--quiet", "--priority=err", "--lines=1", "--output=json", &unit, &invocation];
        let entry: Value = serde_json::from_str(run("journalctl", &arguments)?.lines().last()?).ok()?;
        let message = entry.get("MESSAGE")?.as_str()?;
        Some(message.strip_prefix("pawld: ").unwrap_or(message).to_owned())
    }
}

/// Runs a program of the host in the C locale.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").env("SYSTEMD_PAGER", "").env("SYSTEMD_COLORS", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let deadline = Instant::now() + PATIENCE;
    // The output is short and fits into the pipe, so the program cannot block on it.
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > deadline {
            // Ignores its output.
            let _ = child.kill().and_then(|()| child.wait());
            return None;
        }
        thread::sleep(POLL);
    }
    let output = child.wait_with_output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> Failure {
        Failure::new(Exit::Unreachable, "daemon-unreachable", "cannot connect", "start it")
    }

    /// Explains a daemon that does not answer, with this output of systemctl and this last error in the journal.
    fn explained(shown: &str, journal: &str) -> Failure {
        let answer = |program: &str, arguments: &[&str]| match program {
            "systemctl" => (!shown.is_empty()).then(|| shown.to_owned()),
            _ => {
                assert!(arguments.contains(&"_SYSTEMD_INVOCATION_ID=1234"), "{arguments:?}");
                (!journal.is_empty()).then(|| format!("{{\"PRIORITY\":\"3\",\"MESSAGE\":\"{journal}\"}}\n"))
            }
        };
        explain_by(silence(), &answer)
    }

    fn shown(load: &str, active: &str, sub: &str, result: &str, status: i32) -> String {
        format!(
            "LoadState={load}\nActiveState={active}\nSubState={sub}\nResult={result}\nExecMainStatus={status}\n\
             StatusText=waiting for the TPM\nInvocationID=1234\nNRestarts=4\n"
        )
    }

    #[test]
    fn a_host_without_systemd_and_a_unit_that_runs_change_nothing() {
        for answer in [String::new(), shown("loaded", "active", "running", "success", 0)] {
            assert_eq!(explained(&answer, "").problem, silence().problem);
        }
        let other = Failure::new(Exit::Failed, "not-understood", "odd", "");
        let kept = explain_by(other, &|_, _| panic!("systemd was asked"));
        assert_eq!(kept.problem.error, "not-understood");
    }

    #[test]
    fn a_daemon_that_is_not_installed_or_not_started_is_named() {
        let absent = explained(&shown("not-found", "inactive", "dead", "success", 0), "");
        assert_eq!((absent.exit, absent.problem.error.as_str()), (Exit::Unreachable, "not-installed"));
        let stopped = explained(&shown("loaded", "inactive", "dead", "success", 0), "");
        assert_eq!(stopped.problem.error, "daemon-stopped");
        assert!(stopped.problem.remedy.starts_with("run: systemctl start pawld"));
        let masked = explained(&shown("masked", "inactive", "dead", "success", 0), "");
        assert!(masked.problem.remedy.contains("systemctl unmask pawld"));
    }

    #[test]
    fn a_refused_configuration_is_reported_in_the_daemons_words() {
        let line = "pawld: /etc/pawl/pawl.toml, line 4: unknown field `foo`, expected `url` or `ca`";
        for active in ["failed", "inactive"] {
            let failure = explained(&shown("loaded", active, "failed", "exit-code", 78), line);
            assert_eq!(
                (failure.exit, failure.problem.error.as_str()),
                (Exit::Configuration, "configuration")
            );
            assert_eq!(
                failure.problem.reason,
                "pawld does not run (exit status 78): /etc/pawl/pawl.toml, line 4: unknown field `foo`, expected `url` or `ca`"
            );
            assert!(failure.problem.remedy.contains("systemctl restart pawld"));
        }
    }

    #[test]
    fn without_the_journal_the_reason_says_where_it_is() {
        let failure = explained(&shown("loaded", "failed", "failed", "exit-code", 78), "");
        assert!(failure.problem.reason.ends_with("root can see why: journalctl -u pawld"));
    }

    #[test]
    fn a_daemon_that_starts_or_restarts_says_so() {
        let starting = explained(&shown("loaded", "activating", "start", "success", 0), "");
        assert_eq!(starting.problem.reason, "pawld is still starting: waiting for the TPM");
        let restarting = explained(&shown("loaded", "activating", "auto-restart", "signal", 11), "");
        assert!(restarting.problem.reason.contains("(signal)"), "{:?}", restarting.problem);
        assert!(restarting.problem.reason.ends_with("restarts: 4"), "{:?}", restarting.problem);
    }

    #[test]
    fn a_tpm_or_a_disk_that_fails_has_a_remedy_of_its_own() {
        let tpm = explained(&shown("loaded", "failed", "failed", "exit-code", 69), "no TPM");
        assert!(tpm.problem.remedy.contains("check the TPM"), "{:?}", tpm.problem);
        let disk = explained(&shown("loaded", "failed", "failed", "exit-code", 73), "not mine");
        assert!(disk.problem.remedy.contains("check the disk"), "{:?}", disk.problem);
    }

    #[test]
    fn a_program_that_is_missing_or_fails_has_no_output() {
        assert_eq!(run("no-such-program", &[]), None);
        assert_eq!(run("false", &[]), None);
        assert_eq!(run("echo", &["a"]).as_deref(), Some("a\n"));
    }
}
