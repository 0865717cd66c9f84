//! `pawlctl token` and `pawlctl entitled`.

use hyper::StatusCode;
use pawl_local_api::{EntitlementStatus, Token};
use sd_notify::NotifyState;
use zeroize::Zeroizing;

use crate::client::{Client, ClientError};
use crate::exit::{Answer, Exit, Failure};
use crate::{cli, output};

pub(super) async fn token(client: &Client, options: &cli::Token, json: bool) -> Result<Answer, Failure> {
    let target = options.method.as_deref().zip(options.url.as_deref());
    let token = client.token(&options.name, target).await.map_err(|error| match error {
        ClientError::Refused { status: StatusCode::FORBIDDEN, problem } => {
            Failure { exit: Exit::NotEntitled, problem }
        }
        other => other.into(),
    })?;
    let text = if json { output::json(&token)? } else { header_lines(&token) };
    Ok(Answer { text: Zeroizing::new(text), exit: Exit::Done })
}

/// Formats the token alone, or, if there is a proof, as the two header lines of the request (RFC 9449, section 7.1).
fn header_lines(token: &Token) -> String {
    match &token.dpop {
        None => format!("{}\n", token.access_token),
        Some(proof) => {
            format!("Authorization: {} {}\nDPoP: {proof}\n", token.token_type, token.access_token)
        }
    }
}

pub(super) async fn entitled(client: Client, options: &cli::Entitled, json: bool) -> Result<Answer, Failure> {
    let mut entitlement = client.entitlement().await?;
    if options.wait && !entitlement.entitled {
        entitlement = client.entitlement_once(true).await?;
    }
    if options.hold && entitlement.entitled {
        hold(&client).await?;
    }
    let text = if json { output::json(&entitlement)? } else { String::new() };
    let exit = if entitlement.entitled { Exit::Done } else { Exit::NotEntitled };
    Ok(Answer { exit, ..Answer::done(text) })
}

/// Notifies systemd that the unit is ready, and returns once the device is no longer entitled or the daemon does not answer.
async fn hold(client: &Client) -> Result<(), Failure> {
    sd_notify::notify(false, &[NotifyState::Ready]).map_err(Failure::internal)?;
    while let Ok(EntitlementStatus { entitled: true }) = client.entitlement_once(false).await {}
    Ok(())
}
