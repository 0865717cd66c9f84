//! `pawlctl pair`, `pawlctl re-pair` and `pawlctl cancel`

mod failure;
mod follow;
mod milestones;
mod outcome;
pub(super) mod preview;

use pawl_local_api::{LocalStatus, PairRequest};
use pawl_proto::SessionId;
use pawl_proto::message::ShortText;
use serde::Serialize;

use crate::approval::{Dialogue, Purpose, Requested};
use crate::cli;
use crate::client::{Client, ClientError};
use crate::exit::{Answer, Failure};
use crate::output::{self, Progress};
use crate::terminal::{self, Interrupt};

use follow::Follower;
use preview::{Found, living};

/// The command: `pair` or `re-pair`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `pair`, for a device without a live pairing.
    First,
    /// `re-pair`, for any device. The approval ends a live pairing.
    Again,
}

impl Way {
    fn verb(self) -> &'static str {
        match self {
            Self::First => "pairing",
            Self::Again => "re-pairing",
        }
    }
}

pub(super) async fn run(
    client: &Client,
    options: cli::Pair,
    way: Way,
    json: bool,
) -> Result<Answer, Failure> {
    let before = client.status().await?;
    let mut progress = Progress::new(json);
    let mut interrupt = Interrupt::listen().map_err(Failure::internal)?;
    let attached = options.is_attached();
    let request = request(&options, way);
    let requested = if attached { any_pairing(&before) } else { requested(&before, &request) };
    let opening = Dialogue::open(options.approving, requested, follow::AGAIN.to_owned(), &mut progress);
    let dialogue = tokio::select! {
        dialogue = opening => dialogue?,
        () = interrupt.arrived() => return Err(failure::untouched()),
    };
    let mut follower = Follower::new(client, &before, dialogue, way, attached);
    let status = tokio::select! {
        followed = async {
            if attached {
                attach(&mut follower, options.confirm, &mut progress).await?;
            } else {
                progress.event(&Found::on(&before));
                progress.say(&preview::show(&before, &request, way, progress.style()));
                ask(client, &before, &request).await?;
            }
            follower.follow(options.timeout, &mut progress).await
        } => followed?,
        () = interrupt.arrived() => return Err(follower.interrupted().await),
    };
    drop(progress);
    Ok(Answer::done(if json { output::json(&status)? } else { sentence(&status) }))
}

/// `pawlctl cancel`
pub(super) async fn cancel(client: &Client, json: bool) -> Result<Answer, Failure> {
    let before = client.status().await?;
    client.give_up_session().await?;
    let cancelled = Cancelled { session: before.session.as_ref().and_then(|session| session.id) };
    let old = if living(&before).is_some() { ": the old pairing still works" } else { "" };
    Ok(Answer::done(if json {
        output::json(&cancelled)?
    } else {
        format!("cancelled the session; nothing has changed{old}\n")
    }))
}

/// The outcome of `cancel`.
#[derive(Serialize)]
struct Cancelled {
    /// The session; none if the control plane had not given it an id yet.
    session: Option<SessionId>,
}

fn request(options: &cli::Pair, way: Way) -> PairRequest {
    PairRequest {
        reason: options.reason.clone(),
        scopes: options.scopes.clone(),
        replaces: options.replaces,
        again: way == Way::Again,
        origin: origin(),
    }
}

/// Returns how the caller reached the device: `ssh 192.0.2.7`, the terminal, or `script`. The daemon adds the user. The
/// approver sees this, but it is only a claim.
fn origin() -> ShortText {
    let connection = std::env::var("SSH_CONNECTION").unwrap_or_default();
    ShortText::lossy(&origin_of(&connection, terminal::name()))
}

/// `connection` is sshd's SSH_CONNECTION, which begins with the client's address.
fn origin_of(connection: &str, terminal: Option<String>) -> String {
    match (connection.split_whitespace().next(), terminal) {
        (Some(address), _) => format!("ssh {}", address.chars().take(64).collect::<String>()),
        (None, Some(terminal)) => terminal,
        (None, None) => "script".to_owned(),
    }
}

async fn ask(client: &Client, before: &LocalStatus, request: &PairRequest) -> Result<(), Failure> {
    match client.pair(request).await {
        Err(ClientError::Refused { problem, .. }) if is_under_way(before, &problem.error) => Ok(()),
        answer => Ok(answer?),
    }
}

/// Returns whether this refusal of a request means that the device is pairing by itself, or has just done so: the daemon resumes
/// an interrupted pairing at its start if it was approved. The command then follows that pairing.
fn is_under_way(before: &LocalStatus, error: &str) -> bool {
    error == "pairing" || error == "already-paired" && living(before).is_none()
}

async fn attach(
    follower: &mut Follower<'_>,
    confirm: Option<pawl_approval::Confirmation>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    follower.find_session().await?;
    match confirm {
        None => Ok(()),
        Some(confirmation) => follower.confirm(&confirmation, progress).await,
    }
}

/// Returns the request that a statement must match.
fn requested(before: &LocalStatus, request: &PairRequest) -> Requested {
    Requested {
        origin: Some(request.origin.clone()),
        reason: Some(request.reason.clone()),
        scopes: Some(request.scopes.clone()).filter(|scopes| !scopes.is_empty()),
        replaces: Some(request.replaces),
        ..any_pairing(before)
    }
}

/// Returns the request for a session that another command opened: any pairing of this device matches.
fn any_pairing(before: &LocalStatus) -> Requested {
    Requested {
        device: before.device,
        purpose: Purpose::Pairing,
        origin: None,
        reason: None,
        scopes: None,
        replaces: None,
        resource: Some(None),
        subject: Some(None),
        context: Some(None),
    }
}

fn sentence(status: &LocalStatus) -> String {
    let epoch = status.counter.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    let Some(pairing) = &status.pairing else { return format!("paired: device {}{epoch}\n", status.device) };
    let with = output::plain(&pairing.control_plane.to_string());
    let check = output::plain(&pairing.endorsement);
    format!("paired with {with}: device {}{epoch}; EK verified by {check}\n", status.device)
}

#[cfg(test)]
mod tests {
    use pawl_local_api::{PairingStatus, Problem, SessionStage, SessionStatus};
    use pawl_proto::message::{DeviceState, Finding, Scope};
    use pawl_proto::{Epoch, PairingId, SessionId};

    use super::*;

    pub(super) fn status(state: DeviceState, reason: Option<&str>) -> LocalStatus {
        LocalStatus {
            version: String::new(),
            state,
            problem: reason.map(|reason| Problem {
                error: "refused".to_owned(),
                reason: reason.to_owned(),
                remedy: String::new(),
            }),
            tpm: None,
            device: "abcdefghijklmnopqrstuvwxyz234567".parse().unwrap(),
            ek_sha256: String::new(),
            ek_kind: String::new(),
            ek_certificates: 0,
            ek_certificate_needs_owner: false,
            pcr_banks: Vec::new(),
            counter: Some(Epoch(7)),
            pairing: Some(PairingStatus {
                id: PairingId::from_random([1; 16]),
                epoch: Epoch(7),
                control_plane: "Example fleet".to_owned(),
                endorsement: "certificate".to_owned(),
                scopes: vec![Scope::new("telemetry").unwrap()],
                audiences: Vec::new(),
            }),
            verdict: None,
            lease: None,
            tokens: Vec::new(),
            broker: Default::default(),
            receipt_waiting: false,
            finding: Finding::NothingChanged,
            former: None,
            session: None,
            refused: Default::default(),
            time_floor: None,
            measure_log_problem: None,
        }
    }

    pub(super) fn session(stage: SessionStage) -> SessionStatus {
        let id = Some(SessionId::from_random([2; 16]));
        SessionStatus { id, stage, asked: None, waiting: None, problem: None }
    }

    #[test]
    fn a_pairing_that_the_device_resumed_is_followed() {
        let revoked = status(DeviceState::Revoked, Some("a wipe"));
        let entitled = status(DeviceState::Entitled, None);
        assert!(is_under_way(&revoked, "pairing"));
        assert!(is_under_way(&revoked, "already-paired"), "it was paired between the status and the request");
        assert!(!is_under_way(&entitled, "already-paired"));
        assert!(!is_under_way(&revoked, "deprovisioned"));
    }

    #[test]
    fn the_outcome_is_one_line() {
        assert_eq!(
            sentence(&status(DeviceState::Entitled, None)),
            "paired with Example fleet: device abcdefghijklmnopqrstuvwxyz234567, epoch 7; EK verified by \
             certificate\n"
        );
    }

    #[test]
    fn the_address_counts_before_the_terminal() {
        let terminal = || Some("/dev/pts/0".to_owned());
        assert_eq!(origin_of("2001:db8::7 50022 2001:db8::1 22", terminal()), "ssh 2001:db8::7");
        assert_eq!(origin_of("", terminal()), "/dev/pts/0");
        assert_eq!(origin_of(" ", None), "script");
        assert_eq!(origin_of(&"x".repeat(1000), None).len(), "ssh ".len() + 64);
    }
}
