//! `approve`: an approval by a person who is not at the device.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use pawl_approval::NAMESPACE;
use pawl_approval::sign::Signer;
use pawl_proto::message::{Statement, StatementBytes};
use pawl_proto::{Blob, SessionId};

use super::{Failure, terminal, text};
use crate::admin::view::{ConfirmationView, RequestView};
use crate::admin::{ApproveRequest, Client, CodeRequest};

/// Shows the whole request, has it signed for, and gives what the device wants then.
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

/// What would be signed for: the bytes, and what they say. All that is shown of the request's own
/// words comes out of these bytes.
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
    let typed = terminal::line()?;
    if typed.trim().eq_ignore_ascii_case("yes") { Ok(()) } else { Err(Failure::NotApproved) }
}

/// Progress goes to stderr: stdout has the answer alone.
fn say(text: &str) {
    // Nobody is left to be told when stderr is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests;
