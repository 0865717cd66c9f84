//! The command line of `pawld`, apart from what it does: its man page is made of it, too.
#![forbid(unsafe_code)]

use std::path::PathBuf;

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
