//! The local API while there is no TPM: every call is answered with the problem.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request as HttpRequest;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pawl_proto::local::Problem;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::DEADLINE;
use super::answer::{Answer, Response};
use super::peer::Peer;
use super::room::Room;

/// Refuses callers, a bounded number at a time.
pub(crate) struct Refusals {
    room: Arc<Room>,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Self { room: Arc::default() }
    }

    /// Refuses every caller with this problem. Ends only when it is dropped; answers under way are
    /// finished.
    pub(crate) async fn answer(&self, listener: &UnixListener, problem: &Problem) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely: let some be given back.
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

/// One request, one answer: a connection that stayed open would be refused when the TPM is there.
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
        tracing::debug!(%error, "a caller went away");
    }
}
