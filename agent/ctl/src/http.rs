//! Sends one HTTP request on one connection. Does not trust the peer.

use std::error::Error as _;
use std::io;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// An answer. Only its size is checked.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    /// The `Date` header.
    pub(crate) date: Option<String>,
    pub(crate) body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no HTTP answer ({0})")]
    Protocol(#[from] hyper::Error),
    #[error("the answer ended early")]
    Body,
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

impl HttpError {
    /// Returns whether the peer closed the connection before it sent an answer.
    pub(crate) fn is_hang_up(&self) -> bool {
        let Self::Protocol(error) = self else { return false };
        let broken = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let broken = broken.is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        });
        broken || error.is_incomplete_message() || error.is_canceled()
    }
}

/// The size of the buffer for the head of an answer. All header lines must fit into it.
const HEAD_LIMIT: usize = 16 * 1024;

/// Sends the request and reads an answer of at most `limit` bytes.
pub(crate) async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream)).await?;
    // The request below returns the connection's errors.
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { HttpError::TooLarge(limit) } else { HttpError::Body }
    })?;
    connection.abort();
    Ok(Response { status, date, body: body.to_bytes() })
}
