//! Checks that the daemon runs and answers.

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
            "run it as root: sudo pawlctl check; or join the group that owns the socket",
        ),
        Err(error @ ClientError::Unreachable { .. }) => Finding::failed(
            CHECK,
            error.to_string(),
            "see: systemctl status pawld; start it: systemctl start pawld; its log: journalctl -u pawld",
        ),
        Err(ClientError::Refused { problem, .. }) => {
            Finding::failed(CHECK, problem.reason.clone(), problem.remedy.clone())
        }
        Err(error) => Finding::failed(CHECK, error.to_string(), "see its log: journalctl -u pawld"),
    }
}
