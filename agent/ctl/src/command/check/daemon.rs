//! Whether the daemon runs and answers.

use pawl_proto::local::LocalStatus;

use crate::client::ClientError;

use super::finding::Finding;

const CHECK: &str = "daemon";

pub(super) fn finding(answer: &Result<LocalStatus, ClientError>) -> Finding {
    match answer {
        Ok(LocalStatus { state, problem: None, version, .. }) => {
            Finding::ok(CHECK, format!("pawld {version} answers: {state}"))
        }
        Ok(LocalStatus { state, problem: Some(problem), .. }) => {
            Finding::warning(CHECK, format!("{state}: {}", problem.reason), problem.remedy.clone())
        }
        Err(error @ ClientError::NotPermitted { .. }) => Finding::failed(
            CHECK,
            error.to_string(),
            "run this as root, or join the group that owns the socket",
        ),
        Err(error @ ClientError::Unreachable { .. }) => Finding::failed(
            CHECK,
            error.to_string(),
            "systemctl start pawld, then journalctl -u pawld if it ends",
        ),
        Err(ClientError::Refused { problem, .. }) => {
            Finding::failed(CHECK, problem.reason.clone(), problem.remedy.clone())
        }
        Err(error) => Finding::failed(CHECK, error.to_string(), "see what it does: journalctl -u pawld"),
    }
}
