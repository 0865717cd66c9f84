//! One source of configuration: every key optional, every key known, every value checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pawl_proto::BaseUrl;
use pawl_proto::message::Scope;
use serde::Deserialize;

use crate::config::{Config, ControlPlane, Logs, PairingConfig, TokenConfig, TpmConfig};
use crate::error::ConfigError;
use crate::value::{AbsolutePath, Audience, CounterIndex, Endorsement, LogLevel, Scopes, TokenName};

/// Merges a later source with an earlier one.
pub(crate) trait Over {
    /// Returns both as one. Where both set a value, `self` wins over `below`.
    fn over(self, below: Self) -> Self;
}

impl<T> Over for Option<T> {
    fn over(self, below: Self) -> Self {
        self.or(below)
    }
}

/// Declares a table of optional keys, and how to merge two of it.
macro_rules! table {
    ($name:ident { $($key:ident: $type:ty,)* }) => {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $(pub(crate) $key: $type,)*
        }

        impl Over for $name {
            fn over(self, below: Self) -> Self {
                Self { $($key: self.$key.over(below.$key),)* }
            }
        }
    };
}

table!(Layer {
    state_dir: Option<AbsolutePath>,
    socket: Option<AbsolutePath>,
    log: Option<LogLevel>,
    control_plane: ControlPlaneLayer,
    tpm: TpmLayer,
    pairing: PairingLayer,
    logs: LogsLayer,
    token: Option<Tokens>,
});

table!(ControlPlaneLayer {
    url: Option<BaseUrl>,
    ca: Option<AbsolutePath>,
});

table!(TpmLayer {
    tcti: Option<String>,
    counter: Option<CounterIndex>,
    endorsement: Option<Endorsement>,
    owner_auth: Option<AbsolutePath>,
});

table!(PairingLayer {
    automatic: Option<bool>,
    scopes: Option<Scopes>,
});

table!(LogsLayer {
    boot: Option<AbsolutePath>,
    measure: Option<AbsolutePath>,
    ima: Option<AbsolutePath>,
    ima_ascii: Option<AbsolutePath>,
});

impl Layer {
    /// Fills in the defaults. `path` is the main file, for the error; `credential` is the default of `tpm.owner_auth`.
    ///
    /// # Errors
    /// [`ConfigError::MissingKey`] if a key without a default is in no source.
    pub(crate) fn into_config(self, path: &Path, credential: Option<PathBuf>) -> Result<Config, ConfigError> {
        let Self { state_dir, socket, log, control_plane, tpm, pairing, logs, token } = self;
        let missing = |key| ConfigError::MissingKey { key, path: path.to_owned() };
        let tokens: Vec<_> = token.map(|tokens| tokens.0).unwrap_or_default();
        Ok(Config {
            state_dir: or_path(state_dir.map(Into::into), "/var/lib/pawl"),
            socket: or_path(socket.map(Into::into), pawl_local_api::SOCKET),
            log: log.unwrap_or_default(),
            control_plane: ControlPlane {
                url: control_plane.url.ok_or_else(|| missing("control_plane.url"))?,
                ca: control_plane.ca.ok_or_else(|| missing("control_plane.ca"))?.into(),
            },
            tpm: TpmConfig {
                tcti: tpm.tcti.unwrap_or_else(|| "auto".to_owned()),
                counter: tpm.counter.map_or(DEFAULT_COUNTER, |counter| counter.0),
                endorsement: tpm.endorsement.unwrap_or_default(),
                owner_auth: tpm.owner_auth.map(Into::into).or(credential),
            },
            pairing: PairingConfig {
                automatic: pairing.automatic.unwrap_or(false),
                scopes: pairing.scopes.map_or_else(|| scopes_of(&tokens), |scopes| scopes.0),
            },
            logs: Logs {
                boot: logs.boot.map(Into::into),
                measure: or_path(logs.measure.map(Into::into), "/run/log/systemd/tpm2-measure.log"),
                ima: or_path(
                    logs.ima.map(Into::into),
                    "/sys/kernel/security/ima/binary_runtime_measurements",
                ),
                ima_ascii: or_path(
                    logs.ima_ascii.map(Into::into),
                    "/sys/kernel/security/ima/ascii_runtime_measurements",
                ),
            },
            tokens,
        })
    }
}

/// One `[[token]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenLayer {
    pub(crate) name: TokenName,
    pub(crate) scopes: Scopes,
    pub(crate) audience: Option<Audience>,
}

impl From<TokenLayer> for TokenConfig {
    fn from(layer: TokenLayer) -> Self {
        Self { name: layer.name, scopes: layer.scopes.0, audience: layer.audience }
    }
}

/// All `[[token]]` of one source, with unique names.
#[derive(Deserialize)]
#[serde(try_from = "Vec<TokenLayer>")]
pub(crate) struct Tokens(pub(crate) Vec<TokenConfig>);

impl TryFrom<Vec<TokenLayer>> for Tokens {
    type Error = DuplicateToken;

    fn try_from(tokens: Vec<TokenLayer>) -> Result<Self, DuplicateToken> {
        let mut names = BTreeSet::new();
        for token in &tokens {
            if !names.insert(token.name.as_str()) {
                return Err(DuplicateToken(token.name.clone()));
            }
        }
        Ok(Self(tokens.into_iter().map(TokenConfig::from).collect()))
    }
}

/// Two tokens of one name.
#[derive(Debug, thiserror::Error)]
#[error("two tokens are called `{0}`: give each a name of its own")]
pub(crate) struct DuplicateToken(TokenName);

/// The NV index of the epoch counter, as in `pawl_tpm::DEFAULT_COUNTER`.
const DEFAULT_COUNTER: u32 = 0x0180_5041;

fn or_path(configured: Option<PathBuf>, default: &str) -> PathBuf {
    configured.unwrap_or_else(|| PathBuf::from(default))
}

/// Returns each scope once, in the order in which the tokens name them.
fn scopes_of(tokens: &[TokenConfig]) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = Vec::new();
    for scope in tokens.iter().flat_map(|token| &token.scopes) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}
