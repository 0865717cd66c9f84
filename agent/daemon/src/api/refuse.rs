//! The local API while the TPM is unavailable: answers every call with the problem.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request as HttpRequest;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pawl_local_api::Problem;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::DEADLINE;
use super::answer::{Answer, Response};
use super::peer::Peer;
use super::room::Room;

/// Answers callers with a problem, a bounded number at a time.
pub(crate) struct Refusals {
    room: Arc<Room>,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Self { room: Arc::default() }
    }

    /// Answers every caller with this problem until it is dropped. Answers in progress are completed.
    pub(crate) async fn answer(&self, listener: &UnixListener, problem: &Problem) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Most likely the process is out of descriptors: wait until some are closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Some(seat) = self.room.admit(Peer::of(&stream).holder()) else { continue };
            let problem = problem.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = refuse(stream, &problem) => {}
                    () = seat.evicted() => {}
                }
            });
        }
    }
}

/// Serves one request only: a connection that stayed open would get the problem even after the TPM is available.
async fn refuse(stream: UnixStream, problem: &Problem) {
    let service = service_fn(|_: HttpRequest<Incoming>| async {
        Ok::<Response, Infallible>(Answer::unavailable(problem).into_response())
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEADLINE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(DEADLINE, connection).await {
        tracing::debug!(%error, "a caller disconnected");
    }
}
