//! Exit codes, answers and failures of the command.

use std::process::ExitCode;

use hyper::StatusCode;
use pawl_config::ConfigError;
use pawl_local_api::{NO_TPM, Problem};
use pawl_proto::message::RefusalCode;
use zeroize::Zeroizing;

use crate::client::ClientError;

/// The exit codes that `--help` lists. Those from 64 to 78 have the meanings of sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    NotEntitled = 10,
    Usage = 64,
    Unreachable = 69,
    StillWaiting = 75,
    Refused = 76,
    NotPermitted = 77,
    Configuration = 78,
    /// The exit code of shells for a command that SIGINT ended.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The output of a command, and its exit code.
pub(crate) struct Answer {
    /// Standard output, with its last newline. It may be a token.
    pub(crate) text: Zeroizing<String>,
    pub(crate) exit: Exit,
}

impl Answer {
    pub(crate) fn done(text: String) -> Self {
        Self { text: Zeroizing::new(text), exit: Exit::Done }
    }
}

/// Why the command failed. The problem has the same form as the daemon's refusals.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) problem: Problem,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: &str, reason: impl ToString, remedy: impl Into<String>) -> Self {
        let problem = Problem { error: error.to_owned(), reason: reason.to_string(), remedy: remedy.into() };
        Self { exit, problem }
    }

    /// Returns the failure of a session.
    pub(crate) fn of_session(problem: Problem) -> Self {
        let exit = if is_refusal(&problem.error) { Exit::Refused } else { Exit::Failed };
        Self { exit, problem }
    }

    /// Returns the failure for an unexpected error of the system.
    pub(crate) fn internal(error: impl ToString) -> Self {
        Self::new(
            Exit::Failed,
            "internal",
            error,
            "check this host's free memory, free disk space and process limits",
        )
    }
}

/// Returns whether this code means that the control plane or an approver refused, or that nobody approved in time.
pub(crate) fn is_refusal(error: &str) -> bool {
    let is_code = RefusalCode::KNOWN.iter().any(|code| code.as_str() == error);
    is_code || ["expired", "technician-wanted"].contains(&error)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let reason = error.to_string();
        match error {
            ClientError::Unreachable { .. } => Self::new(
                Exit::Unreachable,
                "daemon-unreachable",
                reason,
                "see: systemctl status pawld; start it: systemctl start pawld; if its socket is elsewhere, use --socket",
            ),
            ClientError::NotPermitted { .. } => Self::new(
                Exit::NotPermitted,
                "not-permitted",
                reason,
                "run it as root: sudo pawlctl SUBCOMMAND …; or join the group that owns the socket",
            ),
            ClientError::Crowded { .. } => Self::new(
                Exit::Unreachable,
                "daemon-crowded",
                reason,
                "try again; `ss -xp` shows which programs are connected to the daemon's socket",
            ),
            ClientError::Timeout { .. } => {
                Self::new(Exit::Unreachable, "daemon-silent", reason, "see its log: journalctl -u pawld")
            }
            ClientError::Answer { .. } => Self::new(
                Exit::Failed,
                "not-understood",
                reason,
                "install the same version of pawld and pawlctl, then restart pawld",
            ),
            ClientError::Request(_) => Self::new(Exit::Usage, "request", reason, "use shorter values"),
            ClientError::Refused { status: StatusCode::FORBIDDEN, problem } => {
                Self { exit: Exit::NotPermitted, problem }
            }
            // The daemon did not act on the request, so the caller can repeat it, as if the daemon were not running.
            ClientError::Refused { problem, .. } if problem.error == NO_TPM => {
                Self { exit: Exit::Unreachable, problem }
            }
            ClientError::Refused { problem, .. } => Self { exit: Exit::Failed, problem },
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(
            Exit::Configuration,
            "configuration",
            error,
            "correct the file, then run: systemctl restart pawld",
        )
    }
}
