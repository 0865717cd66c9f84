//! The device daemon. [`core`] decides and does no I/O; the other modules execute its decisions. The man page is generated from
//! [`Arguments`]. The simulator runs `core`, and `store` on a simulated disk.

mod action;
mod api;
mod approval;
mod audit;
mod clock;
mod control_plane;
pub mod core;
mod daemon;
mod device;
mod fail_point;
mod gate;
mod jws;
mod link;
mod posture;
mod problem;
mod random;
mod record;
mod shared;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod store;
mod systemd;
mod telemetry;
mod tls;
mod tpm_search;
mod tpm_test;
mod vault;

use pawl_backoff as backoff;

use std::path::PathBuf;

pub use daemon::main;

use clap::Parser;

const EXIT_CODES: &str = "\
Exit codes:
  0   stopped
  1   failed
  64  wrong usage
  69  the TPM cannot be used
  73  the state directory or the socket cannot be used
  78  the configuration is missing or wrong";

/// Pawl's device daemon: pairs this device, reports its posture, and holds keys and tokens that
/// only its TPM can use, until the control plane revokes them.
#[derive(Parser)]
#[command(
    name = "pawld",
    version,
    after_help = EXIT_CODES
)]
pub struct Arguments {
    /// The configuration file; conf.d/*.toml beside it and PAWL_… variables are merged over it.
    #[arg(long, default_value = pawl_config::PATH)]
    pub config: PathBuf,
}
