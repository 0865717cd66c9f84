//! The local API: HTTP on a Unix socket, for workloads and for `pawlctl`.
//!
//! Callers are hostile until the kernel has identified them. Their requests are limited in number, size and time. The gate serves
//! tokens, not the state machine: no work of the daemon delays a workload, and a closed gate serves nothing.

mod action;
mod answer;
mod epoch;
mod evidence;
mod pairing;
mod peer;
mod refuse;
mod room;
mod status;
mod token;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use pawl_local_api::Problem;
use pawl_proto::limits;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::device::Request;
use crate::problem;
use crate::shared::Shared;
use crate::systemd;
use answer::{Answer, Response};
use peer::Peer;
pub(crate) use refuse::Refusals;
use room::{Room, Seat};

/// The state that every route uses.
#[derive(Clone)]
pub(crate) struct Api {
    shared: Arc<Shared>,
    device: mpsc::Sender<Request>,
}

/// Time for the head of a request, and again for its body.
const DEADLINE: Duration = Duration::from_secs(10);
/// Limit of a body. The longest is an approval: a statement in hexadecimal and an armored signature.
const BODY_LIMIT: usize = 2 * limits::STATEMENT + limits::SSH_SIGNATURE + 1024;

/// Opens the socket: the one that systemd passed, or one at `path`.
///
/// # Errors
/// If another daemon serves the path, or the path cannot be bound.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = match systemd::passed_socket() {
        Some(socket) => socket.into(),
        None => bind(path)?,
    };
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket)
}

fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon serves this socket"));
        }
        fs::remove_file(path)?;
    }
    let socket = std::os::unix::net::UnixListener::bind(path)?;
    // The group may use tokens. The permissions of the directory limit access further.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(socket)
}

impl Api {
    pub(crate) fn new(shared: Arc<Shared>, device: mpsc::Sender<Request>) -> Self {
        Self { shared, device }
    }

    /// Serves until the task is dropped.
    pub(crate) async fn serve(self, listener: UnixListener) {
        let room = Arc::new(Room::default());
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection on the local socket");
                    // Most likely the process is out of descriptors: wait until some are closed.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let peer = Peer::of(&stream);
            let Some(seat) = room.admit(peer.holder()) else {
                tracing::debug!(?peer, "refused a connection: too many connections");
                continue;
            };
            let api = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = api.connection(stream, peer, &seat) => {}
                    () = seat.evicted() => tracing::debug!(?peer, "closed an idle connection to make room for another"),
                }
            });
            // Let the new task read a request that has arrived, before another caller can take the connection's place.
            tokio::task::yield_now().await;
        }
    }

    async fn connection(self, stream: UnixStream, peer: Peer, seat: &Seat) {
        let api = &self;
        let service = service_fn(move |request: HttpRequest<Incoming>| async move {
            let (head, body) = request.into_parts();
            let answer = match answer::receive(body, DEADLINE).await {
                Ok(body) => {
                    let serving = seat.serve();
                    let waits = may_wait(&head.method, &head.uri);
                    if waits && !serving.wait() {
                        Answer::too_many_waiting()
                    } else {
                        let answer = api.route(peer, HttpRequest::from_parts(head, body)).await;
                        // The connection has its place among the waiting calls until it ends.
                        if waits { answer.closing() } else { answer }
                    }
                }
                Err(refused) => refused,
            };
            Ok::<Response, Infallible>(answer.into_response())
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(DEADLINE)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a caller disconnected");
        }
    }

    async fn route(&self, peer: Peer, request: HttpRequest<Bytes>) -> Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        match (&parts.method, path) {
            (&Method::GET, "/v1/status") => self.status().await,
            (&Method::GET, "/v1/entitlement") => self.entitlement(query).await,
            (&Method::GET, "/v1/evidence") => self.evidence(peer, query).await,
            (&Method::GET, "/v1/records") => self.records(peer, query).await,
            (&Method::POST, "/v1/pair") => self.pair(peer, body).await,
            (&Method::POST, "/v1/wipe") => self.wipe(peer, body).await,
            (&Method::POST, "/v1/deprovision") => self.deprovision(peer).await,
            (&Method::POST, "/v1/self-test") => self.self_test(peer).await,
            (&Method::POST, "/v1/tpm-test") => self.test_tpm(peer).await,
            (&Method::GET, "/v1/session") => self.session(peer).await,
            (&Method::DELETE, "/v1/session") => self.give_up_session(peer).await,
            (&Method::POST, "/v1/session/approval") => self.approve_session(peer, body).await,
            (&Method::POST, "/v1/session/confirmation") => self.confirm_session(peer, body).await,
            (&Method::POST, "/v1/actions") => self.begin_action(peer, body).await,
            (method, path) => {
                if let (&Method::GET, Some(name)) = (method, path.strip_prefix("/v1/tokens/")) {
                    self.token(name, query).await
                } else if let Some(session) = path.strip_prefix("/v1/actions/") {
                    self.action(peer, method, session, body).await
                } else {
                    Answer::not_found(method, path)
                }
            }
        }
    }

    /// Sends a request to the state machine and waits for its answer.
    async fn ask<T>(
        &self,
        request: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> Request,
    ) -> Result<T, Problem> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.device.send(request(reply)).await.map_err(|_| problem::stopping())?;
        answer.await.map_err(|_| problem::stopping())
    }
}

/// Returns whether the answer may take long: it depends on a change of the entitlement, or on the control plane.
fn may_wait(method: &Method, uri: &Uri) -> bool {
    match uri.path() {
        "/v1/entitlement" => uri.query().and_then(|query| answer::parameter(query, "wait")).is_some(),
        "/v1/session/approval" | "/v1/session/confirmation" | "/v1/actions" => method == Method::POST,
        path => path.starts_with("/v1/actions/"),
    }
}
