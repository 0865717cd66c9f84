//! The operators' API: JSON over HTTP on a Unix socket that only its owner may open.

mod client;
mod devices;
mod enrolment;
mod lookup;
mod policies;
mod retirement;
mod sessions;
mod updates;
pub mod view;

use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use pawl_proto::DeviceId;
use pawl_proto::message::ShortText;
use pawl_verifier::event::OrderRefused;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::control_plane::ControlPlane;
use crate::entitlement::AccessError;
use crate::incident::ResolveError;
use crate::label::{Label, LabelError};
use crate::orders::OrderError;
use crate::session::ApproverError;
use crate::store::{ChainError, NamedDevice, StoreError};

pub use client::{Client, ClientError};
pub use devices::{EntitleRequest, ReasonRequest, ResumeRequest, SettleRequest, StateRequest};
pub use enrolment::EnrolRequest;
pub use lookup::LookupRequest;
pub use retirement::RenameRequest;
pub use sessions::{ApproveRequest, CodeRequest, SessionCount};
pub use updates::PreApproveRequest;

/// The state of the handlers.
type Plane = State<Arc<ControlPlane>>;
/// The answer of a handler.
type Answer<T> = Result<Json<T>, AdminError>;

/// Limit of a request's body: some thousand hashes.
const BODY: usize = 1024 * 1024;

/// Returns the routes of all commands.
pub fn router(plane: Arc<ControlPlane>) -> Router {
    Router::new()
        .merge(devices::routes())
        .merge(enrolment::routes())
        .merge(lookup::routes())
        .merge(retirement::routes())
        .merge(sessions::routes())
        .merge(updates::routes())
        .merge(policies::routes())
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(plane)
}

fn parse(device: &str) -> Result<DeviceId, AdminError> {
    device.parse().map_err(|error| AdminError::new("malformed", error))
}

fn label(text: &str) -> Result<Label, AdminError> {
    text.parse().map_err(|error: LabelError| AdminError::new("malformed", error))
}

fn short(text: &str) -> Result<ShortText, AdminError> {
    ShortText::new(text).map_err(|error| AdminError::new("malformed", error))
}

/// Serves `router` on a socket at `path`, which only its owner may open, until `stop` resolves.
///
/// The directory has mode 0700, so nobody else can connect before the socket's mode is set.
///
/// # Errors
/// [`AdminServeError`] when another server runs there already, or the socket cannot be created.
pub async fn run(
    path: &Path,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), AdminServeError> {
    let failed = |source| AdminServeError::Socket { path: path.to_owned(), source };
    if StdUnixStream::connect(path).is_ok() {
        return Err(AdminServeError::Running(path.to_owned()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let served = axum::serve(listener, router).with_graceful_shutdown(stop).await;
    let _ = std::fs::remove_file(path);
    served.map_err(failed)
}

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminServeError {
    /// Another server answers on the socket.
    #[error("{}: another pawl-control-plane serves this state directory", .0.display())]
    Running(PathBuf),
    /// The socket cannot be created.
    #[error("{}: {source}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Why a command was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AdminError {
    /// For programs, kebab-case.
    pub error: String,
    /// For operators: what is wrong and what to do.
    pub message: String,
    /// The devices that may be meant, if a name matches no device or several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<NamedDevice>,
}

impl AdminError {
    pub(crate) fn new(error: &str, message: impl std::fmt::Display) -> Self {
        Self { error: error.to_owned(), message: message.to_string(), candidates: Vec::new() }
    }

    pub(crate) fn unknown_device() -> Self {
        OrderError::UnknownDevice.into()
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "command failed");
        Self::new("failed", error)
    }
}

impl From<ChainError> for AdminError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Store(error) => error.into(),
            ChainError::Broken(_) => Self::new("chain-broken", error),
        }
    }
}

impl From<OrderError> for AdminError {
    fn from(error: OrderError) -> Self {
        let code = match &error {
            OrderError::UnknownDevice => "unknown-device",
            OrderError::Refused(OrderRefused::NotPaired) => "not-paired",
            OrderError::Refused(OrderRefused::Pending { .. }) => "pending",
            OrderError::Refused(_) => "refused",
            OrderError::NothingReported => "nothing-reported",
            OrderError::Uncovered(_) => "uncovered",
            OrderError::Access(_) => "malformed",
            OrderError::OtherState { .. } => "other-state",
            OrderError::Retired => "retired",
            OrderError::NotRetired => "not-retired",
            OrderError::NotSuspended => "not-suspended",
            OrderError::OtherSuspension { .. } => "other-suspension",
            OrderError::Failed(error) => {
                tracing::error!(%error, "order failed");
                "failed"
            }
        };
        Self::new(code, error)
    }
}

impl From<AccessError> for AdminError {
    fn from(error: AccessError) -> Self {
        OrderError::from(error).into()
    }
}

impl From<ResolveError> for AdminError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Other => Self::new("other-incidents", error),
            ResolveError::Store(error) => error.into(),
        }
    }
}

impl From<ApproverError> for AdminError {
    fn from(error: ApproverError) -> Self {
        let code = match &error {
            ApproverError::Code(_) => "malformed",
            ApproverError::UnknownCode => "unknown-code",
            ApproverError::WrongCode { .. } => "wrong-code",
            ApproverError::Refused { .. } => "approval-refused",
            ApproverError::NotOpen => "not-open",
            ApproverError::NoApprovers(_) => "no-approvers",
            ApproverError::Store(_) => {
                tracing::error!(%error, "command failed");
                "failed"
            }
        };
        Self::new(code, error)
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let status = match self.error.as_str() {
            "unknown-device" | "deleted-device" => StatusCode::NOT_FOUND,
            "failed" | "chain-broken" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        };
        (status, Json(self)).into_response()
    }
}
