//! The client of the daemon's local API.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use pawl_config::TokenName;
use pawl_local_api::{
    ActionRequest, ActionStatus, ApprovalRequest, ConfirmationRequest, Deprovisioned, EntitlementStatus,
    EvidenceExport, LocalRecords, LocalStatus, PairRequest, Problem, SelfTest, SessionStatus, Token,
    TpmReport, WipeRequest, Wiped,
};
use pawl_proto::SessionId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::http::{self, Response};

/// Time for an answer: enough for a busy TPM and a distant control plane.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time for a test of the TPM. Some TPMs take ten seconds to create a key.
const TPM_TEST_PATIENCE: Duration = Duration::from_secs(300);

/// How long to repeat a request while the daemon has too many callers.
const CROWD: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Limit of an answer without logs.
const ANSWER_LIMIT: usize = 256 * 1024;

/// Limit of a page of records, whose JSON contains bytes as numbers.
const RECORDS_LIMIT: usize = 4 * 1024 * 1024;

/// Limit of an answer with logs in hexadecimal. An IMA log grows with every new file that the device uses.
const EVIDENCE_LIMIT: usize = 128 * 1024 * 1024;

/// A client of the daemon at one socket.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    patience: Duration,
}

impl Client {
    pub(crate) fn new(socket: Option<PathBuf>) -> Self {
        Self { socket: socket.unwrap_or_else(|| PathBuf::from(pawl_local_api::SOCKET)), patience: PATIENCE }
    }

    pub(crate) async fn status(&self) -> Result<LocalStatus, ClientError> {
        self.get("/v1/status", ANSWER_LIMIT).await
    }

    /// Returns the token, and a DPoP proof for the request that `target` names by method and URL.
    pub(crate) async fn token(
        &self,
        name: &TokenName,
        target: Option<(&str, &str)>,
    ) -> Result<Token, ClientError> {
        let query = target.map(|(method, url)| format!("?method={}&url={}", escape(method), escape(url)));
        self.get(&format!("/v1/tokens/{name}{}", query.unwrap_or_default()), ANSWER_LIMIT).await
    }

    pub(crate) async fn evidence(&self, nonce: Option<&str>) -> Result<EvidenceExport, ClientError> {
        let query = nonce.map(|nonce| format!("?nonce={nonce}")).unwrap_or_default();
        self.get(&format!("/v1/evidence{query}"), EVIDENCE_LIMIT).await
    }

    /// Requests a pairing. The session then shows its progress.
    pub(crate) async fn pair(&self, request: &PairRequest) -> Result<(), ClientError> {
        self.accepted(post("/v1/pair", request)?, ANSWER_LIMIT).await.map(drop)
    }

    /// Returns the last session since the daemon started, if there was one.
    pub(crate) async fn session(&self) -> Result<Option<SessionStatus>, ClientError> {
        match self.get("/v1/session", ANSWER_LIMIT).await {
            Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    pub(crate) async fn approve_session(
        &self,
        approval: &ApprovalRequest,
    ) -> Result<SessionStatus, ClientError> {
        self.post("/v1/session/approval", approval).await
    }

    pub(crate) async fn confirm_session(
        &self,
        confirmation: &ConfirmationRequest,
    ) -> Result<SessionStatus, ClientError> {
        self.post("/v1/session/confirmation", confirmation).await
    }

    /// Cancels the session, unless it is approved.
    pub(crate) async fn give_up_session(&self) -> Result<(), ClientError> {
        let request = request(Method::DELETE, "/v1/session", Bytes::new())?;
        self.accepted(request, ANSWER_LIMIT).await.map(drop)
    }

    pub(crate) async fn act(&self, request: &ActionRequest) -> Result<ActionStatus, ClientError> {
        self.post("/v1/actions", request).await
    }

    pub(crate) async fn action(&self, session: SessionId) -> Result<ActionStatus, ClientError> {
        self.get(&format!("/v1/actions/{session}"), ANSWER_LIMIT).await
    }

    pub(crate) async fn approve_action(
        &self,
        session: SessionId,
        approval: &ApprovalRequest,
    ) -> Result<ActionStatus, ClientError> {
        self.post(&format!("/v1/actions/{session}/approval"), approval).await
    }

    pub(crate) async fn confirm_action(
        &self,
        session: SessionId,
        confirmation: &ConfirmationRequest,
    ) -> Result<ActionStatus, ClientError> {
        self.post(&format!("/v1/actions/{session}/confirmation"), confirmation).await
    }

    /// Returns the page of records after the one with this number.
    pub(crate) async fn records(&self, after: u64) -> Result<LocalRecords, ClientError> {
        self.get(&format!("/v1/records?after={after}"), RECORDS_LIMIT).await
    }

    pub(crate) async fn wipe(&self, request: &WipeRequest) -> Result<Wiped, ClientError> {
        self.post("/v1/wipe", request).await
    }

    pub(crate) async fn deprovision(&self) -> Result<Deprovisioned, ClientError> {
        let request = request(Method::POST, "/v1/deprovision", Bytes::new())?;
        self.decode(&self.accepted(request, ANSWER_LIMIT).await?)
    }

    /// Returns the result of the self-test of the TPM's counters. A slow TPM takes some seconds.
    pub(crate) async fn self_test(&self) -> Result<SelfTest, ClientError> {
        let request = request(Method::POST, "/v1/self-test", Bytes::new())?;
        self.decode(&self.accepted(request, ANSWER_LIMIT).await?)
    }

    /// Has the daemon run the mechanism on scratch objects of the TPM.
    pub(crate) async fn test_tpm(&self) -> Result<TpmReport, ClientError> {
        let patient = Self { patience: TPM_TEST_PATIENCE, ..self.clone() };
        let request = request(Method::POST, "/v1/tpm-test", Bytes::new())?;
        patient.decode(&patient.accepted(request, ANSWER_LIMIT).await?)
    }

    pub(crate) async fn entitlement(&self) -> Result<EntitlementStatus, ClientError> {
        self.get("/v1/entitlement", ANSWER_LIMIT).await
    }

    /// Waits without a limit until the device's entitlement is `entitled`, and returns the answer.
    pub(crate) async fn entitlement_once(&self, entitled: bool) -> Result<EntitlementStatus, ClientError> {
        let patient = Self { patience: Duration::MAX, ..self.clone() };
        patient.get(&format!("/v1/entitlement?wait={entitled}"), ANSWER_LIMIT).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let response = self.accepted(post(path, body)?, ANSWER_LIMIT).await?;
        self.decode(&response)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, limit: usize) -> Result<T, ClientError> {
        let response = self.accepted(request(Method::GET, path, Bytes::new())?, limit).await?;
        self.decode(&response)
    }

    /// Sends a request and returns the answer. A refusal is an error.
    async fn accepted(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<Response, ClientError> {
        let response = timeout(self.patience, self.exchange_patiently(request, limit))
            .await
            .map_err(|_| ClientError::Timeout { socket: self.socket.clone(), after: self.patience })??;
        if response.status.is_success() {
            return Ok(response);
        }
        match serde_json::from_slice(&response.body) {
            Ok(problem) => Err(ClientError::Refused { status: response.status, problem }),
            Err(_) => Err(self.odd(format!("status {} without a problem in JSON", response.status))),
        }
    }

    /// Sends a request. Repeats it if the daemon closed the connection because it had too many callers: the daemon then has not
    /// read the request.
    async fn exchange_patiently(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Response, ClientError> {
        let over = Instant::now() + CROWD;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.exchange(request.clone(), limit).await {
                Err(error) if error.is_overload() && Instant::now() + pause < over => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<Response, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotPermitted { socket: self.socket.clone() },
            _ => ClientError::Unreachable { socket: self.socket.clone(), source },
        })?;
        http::exchange(stream, request, limit).await.map_err(|error| match error {
            error if error.is_hang_up() => ClientError::Crowded { socket: self.socket.clone() },
            error => self.odd(error.to_string()),
        })
    }

    fn decode<T: DeserializeOwned>(&self, response: &Response) -> Result<T, ClientError> {
        // The parser's own message could contain its input, which may be a token.
        serde_json::from_slice(&response.body)
            .map_err(|error| self.odd(format!("invalid JSON in column {}", error.column())))
    }

    fn odd(&self, what: String) -> ClientError {
        ClientError::Answer { socket: self.socket.clone(), what }
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("pawld is not running: cannot connect to {}: {source}", socket.display())]
    Unreachable { socket: PathBuf, source: io::Error },
    #[error("permission denied: {}", socket.display())]
    NotPermitted { socket: PathBuf },
    #[error("pawld closed the connection at {} without a response: it has too many clients, or it stopped", socket.display())]
    Crowded { socket: PathBuf },
    #[error("pawld did not answer at {} within {} s", socket.display(), after.as_secs())]
    Timeout { socket: PathBuf, after: Duration },
    #[error("unexpected response at {}; is pawld another version? ({what})", socket.display())]
    Answer { socket: PathBuf, what: String },
    #[error("cannot build the request: {0}")]
    Request(String),
    #[error("{}", problem.reason)]
    Refused { status: StatusCode, problem: Problem },
}

impl ClientError {
    /// Returns whether the daemon has too many callers, or the queue of its socket is full.
    fn is_overload(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.kind() == io::ErrorKind::WouldBlock,
            Self::Crowded { .. } => true,
            _ => false,
        }
    }
}

fn post(path: &str, body: &impl Serialize) -> Result<Request<Full<Bytes>>, ClientError> {
    let body = serde_json::to_vec(body).map_err(|error| ClientError::Request(error.to_string()))?;
    request(Method::POST, path, body.into())
}

fn request(method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "pawld")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| ClientError::Request(error.to_string()))
}

/// Percent-encodes all characters that are not `unreserved` in RFC 3986.
fn escape(text: &str) -> PercentEncode<'_> {
    const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &RESERVED)
}
