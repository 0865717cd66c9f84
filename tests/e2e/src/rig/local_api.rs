//! HTTP over a Unix socket: the local API of the daemon, and the operator's of the control plane.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wait;

/// A server on a Unix socket, asked over one connection a request.
#[derive(Clone, Debug)]
pub struct LocalApi {
    socket: PathBuf,
}

impl LocalApi {
    /// The server on this socket.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &PathBuf {
        &self.socket
    }

    /// A GET.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// A DELETE.
    ///
    /// # Errors
    /// As for [`LocalApi::get`].
    pub fn delete(&self, path: &str) -> Result<Response> {
        self.ask(&format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// A POST of JSON.
    ///
    /// # Errors
    /// As for [`LocalApi::get`].
    pub fn post<T: Serialize>(&self, path: &str, body: &T) -> Result<Response> {
        let body = serde_json::to_string(body)?;
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn ask(&self, request: &str) -> Result<Response> {
        let mut stream = UnixStream::connect(&self.socket)
            .with_context(|| format!("connect to {}", self.socket.display()))?;
        stream.set_read_timeout(Some(wait::SOON))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("read the answer")?;
        Response::parse(&answer)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The JSON in the body.
    ///
    /// # Errors
    /// When it is none, or another kind.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("read {self}"))
    }

    /// The same, unless it is a refusal.
    ///
    /// # Errors
    /// With the refusal's text.
    pub fn success(self) -> Result<Self> {
        ensure!((200..300).contains(&self.status), "{self}");
        Ok(self)
    }

    fn parse(answer: &[u8]) -> Result<Self> {
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or_else(|| anyhow!("an HTTP answer that is cut short"))?;
        let (head, body) = answer.split_at(end);
        let head = std::str::from_utf8(head)?;
        ensure!(!head.to_ascii_lowercase().contains("transfer-encoding"), "a chunked HTTP answer");
        let status = head.split(' ').nth(1).ok_or_else(|| anyhow!("no HTTP status"))?.parse()?;
        Ok(Self { status, body: body.iter().skip(4).copied().collect() })
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP {}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
