use std::path::{Path, PathBuf};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::AdminError;

/// The longest answer: the records of one device over some years.
const ANSWER: usize = 256 * 1024 * 1024;

/// The command line's client of the operators' API.
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Returns a client of the server at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Sends `GET path`.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends `POST path` with a JSON body.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|_| ClientError::Answer)?;
        self.send(Method::POST, path, body.into()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::NotRunning { socket: self.socket.clone(), source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| ClientError::Answer)?;
        // The future must own the sender: the connection ends only when the sender is dropped.
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let success = response.status().is_success();
            let body = Limited::new(response.into_body(), ANSWER)
                .collect()
                .await
                .map_err(|_| ClientError::Answer)?;
            Ok::<_, ClientError>((success, body.to_bytes()))
        };
        let ((success, body), _) = tokio::try_join!(exchange, async { Ok(connection.await?) })?;
        if success {
            return serde_json::from_slice(&body).map_err(|_| ClientError::Answer);
        }
        let refused: AdminError = serde_json::from_slice(&body).map_err(|_| ClientError::Answer)?;
        Err(ClientError::Refused(refused))
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No server listens on the socket.
    #[error("{}: {source}; start `pawl-control-plane serve`, and run this as its user", socket.display())]
    NotRunning {
        /// The path of its socket.
        socket: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The server refused the command.
    #[error(transparent)]
    Refused(AdminError),
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Connection(#[from] hyper::Error),
    /// The answer cannot be parsed; the server is probably of another version.
    #[error("unexpected answer from the server: is it of another version?")]
    Answer,
}
