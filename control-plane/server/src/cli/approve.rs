//! `approve`: an approval by a person who is not at the device.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use pawl_approval::NAMESPACE;
use pawl_approval::sign::Signer;
use pawl_proto::message::{Statement, StatementBytes};
use pawl_proto::{Blob, SessionId};

use super::{Failure, output, text};
use crate::admin::view::{ConfirmationView, RequestView};
use crate::admin::{ApproveRequest, Client, CodeRequest};

/// Shows the request, signs the approval, and returns the confirmation that the person at the device must enter.
pub(super) async fn approve(
    client: &Client,
    code: String,
    sign_with: &str,
    yes: bool,
) -> Result<ConfirmationView, Failure> {
    let view: RequestView = client.post("/v1/approvals/request", &CodeRequest { code: code.clone() }).await?;
    let (bytes, statement) = stated(&view)?;
    say(&text::request(&view, &statement));
    if !yes {
        consent()?;
    }
    let agent = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    let signer = Signer::find(sign_with, agent.as_deref())?;
    if signer.is_security_key() {
        say("Touch your security key now.\n");
    }
    let signature = signer.sign(NAMESPACE, bytes.to_be_signed().as_bytes())?;
    let approval = ApproveRequest { code, statement: view.statement, signature };
    Ok(client.post("/v1/approvals", &approval).await?)
}

/// Decodes the statement to be signed. The approver sees its fields as decoded from the signed bytes; label, claims and
/// the pairings that end are the server's.
fn stated(view: &RequestView) -> Result<(StatementBytes, Statement), Failure> {
    let bytes = hex::decode(&view.statement).map_err(|_| Failure::Statement)?;
    let bytes = StatementBytes(Blob::new(bytes).map_err(|_| Failure::Statement)?);
    let statement = bytes.decode().map_err(|_| Failure::Statement)?;
    let shown: SessionId = view.session.id;
    if statement.session != shown { Err(Failure::Statement) } else { Ok((bytes, statement)) }
}

fn consent() -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::NobodyToAsk);
    }
    say("Approve this? Type yes: ");
    let typed = output::read_line()?;
    if typed.trim().eq_ignore_ascii_case("yes") { Ok(()) } else { Err(Failure::NotApproved) }
}

/// Prints on stderr: stdout has only the result.
fn say(text: &str) {
    // Ignores a closed stderr.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::text;
    use crate::testing::{Approver, Device, OpenedSession, Operator, Rig};
    use pawl_proto::message::{PairingRequest, RefusalCode, Waiting};

    /// A device that waits for Ann, and the socket over which she approves.
    struct Stage {
        rig: Rig,
        ann: Approver,
        asked: OpenedSession,
        waiting: Waiting,
        operator: Operator,
    }

    impl Stage {
        async fn new() -> Self {
            let (rig, mut persons) = Rig::approved_by("", &["ann"]);
            let mut old = Device::enrolled(&rig.plane).await;
            old.pair(&rig.plane).await.unwrap();
            let mut device = Device::new();
            let request = PairingRequest { replaces: Some(old.id()), ..device.request() };
            let (asked, waiting) = device.ask_persons(&rig.plane, request).await;

            let (operator, ann) = (rig.operator().await, persons.remove(0));
            Self { rig, ann, asked, waiting, operator }
        }

        fn client(&self) -> &Client {
            &self.operator.client
        }

        fn code(&self) -> String {
            self.waiting.approval.user_code.as_str().to_owned()
        }

        async fn view(&self) -> RequestView {
            self.client().post("/v1/approvals/request", &CodeRequest { code: self.code() }).await.unwrap()
        }
    }

    #[tokio::test]
    async fn the_printed_confirmation_makes_the_approval_count() {
        let stage = Stage::new().await;
        let key = stage.ann.key().to_str().unwrap().to_owned();
        let given = approve(stage.client(), stage.code(), &key, true).await.unwrap();
        assert!(text::confirmation(&given).contains(&given.confirmation));
        let progress = stage.asked.step(&stage.rig.plane, None, Some(&given.confirmation)).await.unwrap();
        assert_eq!(progress.approved().approvals[0].principal.as_str(), "ann");
    }

    #[tokio::test]
    async fn the_whole_request_is_shown() {
        let stage = Stage::new().await;
        let view = stage.view().await;
        let (_, statement) = stated(&view).unwrap();
        let shown = text::request(&view, &statement);
        let replaced = statement.replaces.unwrap().to_string();
        for said in [
            "re-pair",
            statement.device.as_str(),
            "not enrolled: your approval enrols it",
            "approved by hash",
            "uid 0; tty1",
            "first installation",
            "TPM and disk both new",
            &replaced,
            "of epoch 7",
            "scopes telemetry; audiences https://api.example https://localhost:8443",
            &statement.boot.to_string(),
            &statement.evidence.to_string(),
            &statement.session.to_string(),
            "the pairings above end at once",
        ] {
            assert!(shown.contains(said), "{said}: {shown}");
        }
        assert!(!shown.contains(&stage.code()), "codes are not shown back");
    }

    #[tokio::test]
    async fn scopes_that_would_be_lost_are_named() {
        let stage = Stage::new().await;
        let mut view = stage.view().await;
        assert!(view.scopes_lost().is_empty());
        view.session.scopes.clear();
        assert_eq!(view.scopes_lost(), ["telemetry"]);
    }

    #[tokio::test]
    async fn a_request_of_another_session_is_not_signed_for() {
        let stage = Stage::new().await;
        let mut view = stage.view().await;
        view.session.id = SessionId::from_random([9; 16]);
        assert!(matches!(stated(&view), Err(Failure::Statement)));
        view.statement = "00".to_owned();
        assert!(matches!(stated(&view), Err(Failure::Statement)));
    }

    #[tokio::test]
    async fn a_refused_approval_is_reported_and_listed_with_its_session() {
        let stage = Stage::new().await;
        let stranger = stage.rig.person("stranger");
        let key = stranger.key().to_str().unwrap().to_owned();
        let error = approve(stage.client(), stage.code(), &key, true).await.unwrap_err().to_string();
        assert!(error.contains("refused (key)"), "{error}");
        let missing = PathBuf::from("/nonexistent/key");
        let error = approve(stage.client(), stage.code(), missing.to_str().unwrap(), true).await.unwrap_err();
        assert!(matches!(error, Failure::Key(_)), "{error}");

        let sessions = stage.client().get("/v1/sessions").await.unwrap();
        let shown = text::sessions(&sessions, 120);
        assert!(shown.ends_with("The newest 2 of 120 sessions.\n"), "{shown}");
        for said in ["waiting", "re-pair", "uid 0; tty1: first installation", "binding key", "0 of 1 persons"]
        {
            assert!(shown.contains(said), "{said}: {shown}");
        }
        assert!(!shown.contains(stage.code().rsplit('-').next().unwrap()), "codes are not shown: {shown}");

        let path = format!("/v1/sessions/{}/decline", stage.asked.id);
        let reason = crate::admin::ReasonRequest { reason: "nobody called".to_owned() };
        let _: crate::admin::view::SessionView = stage.client().post(&path, &reason).await.unwrap();
        let error = stage.asked.poll(&stage.rig.plane).await.unwrap_err();
        assert!(
            matches!(&error, crate::refusal::RequestError::Refused(refusal) if refusal.code == RefusalCode::Declined),
            "{error}"
        );
    }
}
