//! Wires the daemon: configuration, log, TPM, store, state machine, local API. Then it notifies systemd that it is ready, and
//! serves until SIGTERM.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use clap::Parser;
use pawl_config::{Config, ConfigError, OwnerAuthError};
use pawl_tpm::Options;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::Arguments;
use crate::api::Api;
use crate::clock::WallClock;
use crate::control_plane::ControlPlane;
use crate::device::{Device, StartError};
use crate::gate::Gate;
use crate::shared::Shared;
use crate::store::{Store, StoreError};
use crate::systemd::Marker;
use crate::tls::TlsError;
use crate::{api, posture, problem, systemd, telemetry, tpm_search};

/// Runs the daemon with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // If not even the usage can be printed, there is nothing else to do.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            // The log may not be started yet.
            eprintln!("pawld: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config, pawl_config::environment())?;
    telemetry::start(config.log);
    // Lock the state directory first: a second daemon must not open the TPM.
    let store = Store::open(&config.state_dir)?;
    let clock = WallClock::system();
    match store.time() {
        Ok(known) => known.iter().for_each(|known| clock.resume(known, &posture::boot_id())),
        Err(error) => tracing::warn!(%error, "the time of the last verdict cannot be read"),
    }
    let control_plane = ControlPlane::new(&config.control_plane, &clock)?;
    let mut options = tpm_options(&config)?;
    options.attestation_name = tpm_search::paired_with(&config, &store);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let found = runtime.block_on(async {
        let path = config.socket.clone();
        let listener = api::listen(&path).map_err(|error| Failure::Socket { path, error })?;
        let mut stop = StopSignals::new()?;
        tokio::select! {
            tpm = tpm_search::open(options, &listener) => Ok::<_, Failure>(Some((listener, tpm?, stop))),
            () = stop.wait() => Ok(None),
        }
    })?;
    let Some((listener, tpm, stop)) = found else {
        tracing::info!("stopped while waiting for the TPM");
        return Ok(());
    };
    let gate = Gate::closed(problem::unpaired(), Marker::of_service());
    let shared = Shared::new(config, tpm, store, gate, control_plane, clock);
    let (tpm, audit) = (shared.tpm.clone(), shared.audit.clone());
    let outcome = runtime.block_on(serve(Arc::new(shared), listener, stop));
    drop(runtime);
    audit.flush();
    let outcome = outcome.map(|link| {
        // The thread ends within its own grace period, also if the broker does not answer. A panic in it has been reported.
        let _ = link.map(JoinHandle::join);
    });
    // Flush what was loaded: a TPM without a resource manager has three slots.
    tpm.close();
    outcome
}

/// Serves until SIGTERM. Returns the thread of the link, which may still run.
async fn serve(
    shared: Arc<Shared>,
    listener: UnixListener,
    mut stop: StopSignals,
) -> Result<Option<JoinHandle<()>>, Failure> {
    let device = Device::start(Arc::clone(&shared)).await?;
    let (requests, inbox) = mpsc::channel(16);
    let api = tokio::spawn(Api::new(shared, requests).serve(listener));
    systemd::notify_ready();
    let link = device.run(inbox, async move { stop.wait().await }).await;
    api.abort();
    tracing::info!("stopped");
    Ok(link)
}

/// SIGTERM and SIGINT, from the creation of this value on.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::Runtime);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn tpm_options(config: &Config) -> Result<Options, Failure> {
    let mut options = Options::new(config.tpm.tcti.parse()?);
    options.counter = config.tpm.counter;
    options.owner_auth = config.tpm.read_owner_auth()?;
    options.endorsement = config.tpm.endorsement.as_str().parse().map_err(|_| Failure::Endorsement)?;
    Ok(options)
}

/// BSD's `EX_USAGE` and its siblings (sysexits.h).
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const CANNOT_CREATE: u8 = 73;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    OwnerAuth(#[from] OwnerAuthError),
    #[error("tpm.endorsement is not the name of an endorsement key")]
    Endorsement,
    #[error("tpm.tcti: {0}")]
    Tcti(#[from] pawl_tpm::TctiError),
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Tpm(#[from] pawl_tpm::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the socket {}: {error}; check its folder, and that no other pawld runs", path.display())]
    Socket { path: PathBuf, error: std::io::Error },
    #[error("cannot create the async runtime or its signal handlers: {0}")]
    Runtime(std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::OwnerAuth(_) | Self::Endorsement | Self::Tcti(_) | Self::Tls(_) => {
                pawl_config::EXIT_CODE
            }
            Self::Tpm(_) | Self::Start(_) => UNAVAILABLE,
            Self::Store(_) | Self::Socket { .. } => CANNOT_CREATE,
            Self::Runtime(_) => 1,
        }
    }
}
