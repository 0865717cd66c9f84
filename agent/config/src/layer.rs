//! One source of configuration: every key optional, every key known, every value checked.

use std::collections::BTreeSet;

use pawl_proto::BaseUrl;
use serde::Deserialize;

use crate::config::TokenConfig;
use crate::value::{AbsolutePath, Audience, CounterIndex, Endorsement, LogLevel, Scopes, TokenName};

/// What a later source does to an earlier one.
pub(crate) trait Over {
    /// The two as one; where both say something, `self` wins over `below`.
    fn over(self, below: Self) -> Self;
}

impl<T> Over for Option<T> {
    fn over(self, below: Self) -> Self {
        self.or(below)
    }
}

/// Declares a table whose keys may each be absent, and how one lies over another.
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

/// One `[[token]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenLayer {
    pub(crate) name: TokenName,
    pub(crate) scopes: Scopes,
    pub(crate) audience: Option<Audience>,
}

/// Every `[[token]]` of one source, no two of one name.
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
