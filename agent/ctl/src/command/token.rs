//! `pawlctl token NAME`

use hyper::StatusCode;
use pawl_proto::local::Token;
use zeroize::Zeroizing;

use crate::cli;
use crate::client::{Client, ClientError};
use crate::exit::{Answer, Exit, Failure};
use crate::output;

pub(super) async fn run(client: &Client, options: &cli::Token, json: bool) -> Result<Answer, Failure> {
    let target = options.method.as_deref().zip(options.url.as_deref());
    let token = client.token(&options.name, target).await.map_err(|error| match error {
        ClientError::Refused { status: StatusCode::FORBIDDEN, problem } => {
            Failure { exit: Exit::NotEntitled, problem }
        }
        other => other.into(),
    })?;
    let text = if json { output::json(&token)? } else { lines(&token) };
    Ok(Answer { text: Zeroizing::new(text), exit: Exit::Done })
}

/// The token alone; with a proof, the two header lines of the request (RFC 9449, section 7.1).
fn lines(token: &Token) -> String {
    match &token.dpop {
        None => format!("{}\n", token.access_token),
        Some(proof) => {
            format!("Authorization: {} {}\nDPoP: {proof}\n", token.token_type, token.access_token)
        }
    }
}
