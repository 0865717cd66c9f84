use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::UnixListener;

/// Serves `router` on a socket at `path`, which its owner alone may open, until `stop` resolves.
///
/// The directory around it is 0700, so nobody else comes between making the socket and closing it
/// to others.
///
/// # Errors
/// [`AdminServeError`] when another server runs there already, or the socket cannot be made.
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

/// An admin socket that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminServeError {
    /// Another server answers there.
    #[error("{}: another pawl-control-plane serves this state directory", .0.display())]
    Running(PathBuf),
    /// The socket cannot be made.
    #[error("{}: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
