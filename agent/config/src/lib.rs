//! The configuration of a device, for `pawld` and `pawlctl` alike.
//!
//! It is read from `/etc/pawl/pawl.toml`, then from `conf.d/*.toml` beside it in the byte order
//! of their names, then from the environment. What comes later wins key by key: tables merge,
//! arrays are replaced. `PAWL_CONTROL_PLANE__URL` sets `url` in `[control_plane]`.
//!
//! A [`Config`] that exists is valid: each value is checked where it is read, so that an error
//! can name the file and the line, or the variable, that has to change.
#![forbid(unsafe_code)]

mod config;
mod environment;
mod error;
mod layer;
mod load;
mod owner_auth;
mod value;

pub use config::{Config, ControlPlane, Logs, Pairing, TokenConfig, TpmConfig};
pub use environment::environment;
pub use error::{ConfigError, EXIT_CODE, Origin};
pub use owner_auth::OwnerAuthError;
pub use value::{Audience, Endorsement, LogLevel, TokenName, ValueError};

/// Where the configuration is when nobody says otherwise.
pub const PATH: &str = "/etc/pawl/pawl.toml";
