//! `serve`: runs all parts of the control plane until a signal stops it.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admin::{self, AdminServeError};
use crate::broker::{self, TlsError};
use crate::clock::WallClock;
use crate::config::Config;
use crate::control_plane::{ControlPlane, OpenError};
use crate::http::{self, ServeError};
use crate::records;
use crate::state::LostDatabase;

/// Time for running requests when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Serves devices and operators until SIGTERM or SIGINT. SIGHUP reloads the policies and the vendors' certificates.
/// `lost` says whether a lost database may be replaced by an empty one.
///
/// # Errors
/// [`RunError`] when a part cannot start.
pub async fn serve(config: Config, lost: LostDatabase) -> Result<(), RunError> {
    let plane = Arc::new(ControlPlane::open(config, Arc::new(WallClock), lost)?);
    if plane.keys.created {
        tracing::info!(state_dir = %plane.config.state_dir.display(), "created keys and certificates");
    }
    if plane.config.lacks_signers() {
        tracing::warn!(
            "approvals.allowed_signers is not set: pairings that a person must approve will be refused"
        );
    }
    let (stop, stopping) = watch::channel(false);
    tokio::select! {
        ended = run_parts(&plane, &stopping) => ended,
        ended = reload_on_signal(&plane) => ended,
        ended = stop_on_signal(stop) => ended,
    }
}

/// Reloads the policies and the vendors' certificates at each SIGHUP.
async fn reload_on_signal(plane: &ControlPlane) -> Result<(), RunError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;
    loop {
        hangup.recv().await;
        match plane.policies.reload() {
            Ok(count) => tracing::info!(count, "read the policies again"),
            Err(error) => {
                tracing::error!(%error, "cannot read the policies again; the loaded policies stay in force")
            }
        }
        match plane.vendors.reload(plane.clock.now()) {
            Ok(count) => tracing::info!(count, "read the vendors' certificates again"),
            Err(error) => {
                tracing::error!(%error, "cannot read the vendors' certificates again; the loaded ones stay in force")
            }
        }
    }
}

/// Runs every part; the first failure stops all.
async fn run_parts(plane: &Arc<ControlPlane>, stopping: &watch::Receiver<bool>) -> Result<(), RunError> {
    let operators = async {
        let router = admin::router(Arc::clone(plane));
        Ok(admin::run(&plane.config.admin_socket(), router, stopped(stopping.clone())).await?)
    };
    let devices = async {
        let (config, router) = (&plane.config, http::router(Arc::clone(plane)));
        let (identity, stop) = (&plane.keys.https, stopped(stopping.clone()));
        Ok(http::run(config.listen, identity, config.limits, router, stop, GRACE).await?)
    };
    let messages = async {
        tokio::select! {
            ended = broker::run(Arc::clone(plane)) => Ok(ended?),
            () = stopped(stopping.clone()) => Ok(()),
        }
    };
    let retention = async {
        tokio::select! {
            () = records::trim_regularly(plane) => {}
            () = broker::revocations::keep_list(plane) => {}
            () = stopped(stopping.clone()) => {}
        }
        Ok(())
    };
    tokio::try_join!(operators, devices, messages, retention).map(|_| ())
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender was dropped, which also means to stop.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Signals all parts to stop at SIGTERM or SIGINT, and returns after twice the grace period.
async fn stop_on_signal(stop: watch::Sender<bool>) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let _ = stop.send(true);
    tokio::time::sleep(GRACE * 2).await;
    Ok(())
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Keys, database, policies or vendor certificates are unusable.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The HTTPS server cannot start.
    #[error(transparent)]
    Https(#[from] ServeError),
    /// The operators' socket cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminServeError),
    /// The connection to the broker cannot be configured.
    #[error("broker: {0}")]
    Broker(#[from] TlsError),
    /// Signals cannot be received.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}
