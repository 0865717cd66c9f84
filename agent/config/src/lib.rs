//! The configuration of a device, for `pawld` and `pawlctl` alike.
//!
//! [`Config::load`] reads `/etc/pawl/pawl.toml`, then `conf.d/*.toml` beside it in the byte order of their names, then
//! the environment. A later source wins key by key: tables merge, arrays are replaced. `PAWL_CONTROL_PLANE__URL` sets
//! `url` in `[control_plane]`.
//!
//! A [`Config`] is valid: each value is checked where it is read, so that an error names the file and line, or the
//! variable, to change. The crate does not open the TPM, the socket or the control plane, so a valid configuration can
//! still name things that do not exist.
#![forbid(unsafe_code)]

mod config;
mod error;
mod layer;
mod load;
mod owner_auth;
mod value;

pub use config::{Config, ControlPlane, Logs, PairingConfig, TokenConfig, TpmConfig};
pub use error::{ConfigError, EXIT_CODE, Origin};
pub use load::environment;
pub use owner_auth::OwnerAuthError;
pub use value::{Audience, Endorsement, LogLevel, TokenName, ValueError};

/// The default path of the configuration.
pub const PATH: &str = "/etc/pawl/pawl.toml";
