//! Values that are checked where they are read.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use pawl_proto::limits;
use pawl_proto::message::Scope;
use serde::Deserialize;

/// What the daemon logs: this and what is more severe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What was refused, or may fail next.
    Warn,
    /// What changed.
    #[default]
    Info,
    /// What was done.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Which endorsement key names the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Endorsement {
    /// The first that has a certificate in the TPM.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// RSA, 2048 bits.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// ECC over NIST P-256.
    #[serde(rename = "ecc-p256")]
    EccP256,
    /// ECC over NIST P-384.
    #[serde(rename = "ecc-p384")]
    EccP384,
}

impl Endorsement {
    /// Its name in the configuration, which `pawl-tpm` understands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rsa2048 => "rsa-2048",
            Self::EccP256 => "ecc-p256",
            Self::EccP384 => "ecc-p384",
        }
    }
}

/// The name of a token: 1 to 64 of a to z, 0 to 9 and `-`, so that it stands in a URL as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenName(String);

impl TokenName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::TokenName)
        }
    }
}

/// The resource that a token is meant for: an absolute URI without a fragment (RFC 8707, section 2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Audience(String);

impl Audience {
    /// The URI as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Audience {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (scheme, rest) = text.split_once(':').ok_or(ValueError::Audience)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let is_rest = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if is_scheme && is_rest && text.len() <= limits::AUDIENCE {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::Audience)
        }
    }
}

/// A path that means the same in every directory.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AbsolutePath(PathBuf);

impl FromStr for AbsolutePath {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let path = PathBuf::from(text);
        if path.is_absolute() && !text.contains('\0') { Ok(Self(path)) } else { Err(ValueError::Path) }
    }
}

impl From<AbsolutePath> for PathBuf {
    fn from(path: AbsolutePath) -> Self {
        path.0
    }
}

/// An NV index that the owner may define (TCG Registry of Reserved TPM 2.0 Handles).
#[derive(Debug, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct CounterIndex(pub(crate) u32);

impl TryFrom<u32> for CounterIndex {
    type Error = ValueError;

    fn try_from(index: u32) -> Result<Self, ValueError> {
        if (0x0180_0000..=0x01bf_ffff).contains(&index) { Ok(Self(index)) } else { Err(ValueError::Counter) }
    }
}

/// Scopes as RFC 6749 has them (section 3.3), each once and not too many.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Scopes(pub(crate) Vec<Scope>);

impl TryFrom<Vec<String>> for Scopes {
    type Error = ValueError;

    fn try_from(texts: Vec<String>) -> Result<Self, ValueError> {
        if texts.len() > limits::SCOPES {
            return Err(ValueError::TooManyScopes);
        }
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let mut scopes = Vec::with_capacity(texts.len());
        for text in texts {
            if text.is_empty() || !text.bytes().all(allowed) {
                return Err(ValueError::Scope);
            }
            let scope = Scope::new(text).map_err(|_| ValueError::Scope)?;
            if scopes.contains(&scope) {
                return Err(ValueError::ScopeTwice);
            }
            scopes.push(scope);
        }
        Ok(Self(scopes))
    }
}

/// Reads these from strings in the configuration.
macro_rules! from_string {
    ($($name:ident)*) => {$(
        impl TryFrom<String> for $name {
            type Error = ValueError;

            fn try_from(text: String) -> Result<Self, ValueError> {
                text.parse()
            }
        }
    )*};
}

from_string!(TokenName Audience AbsolutePath);

/// Why a value is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a token's name.
    #[error("the name of a token has 1 to 64 characters, each a to z, 0 to 9 or -")]
    TokenName,
    /// Not a resource.
    #[error("an audience is an absolute URI without a fragment, such as https://api.example")]
    Audience,
    /// Relative, or with a NUL in it.
    #[error("a path begins with / here, so that it means the same in every directory")]
    Path,
    /// An NV index that is not the owner's.
    #[error("the counter is an NV index from 0x01800000 to 0x01bfffff, the owner's range")]
    Counter,
    /// Not a scope.
    #[error("a scope has 1 to 64 printable ASCII characters without space, quote and backslash")]
    Scope,
    /// The same scope again.
    #[error("a scope is named twice")]
    ScopeTwice,
    /// More scopes than one pairing holds.
    #[error("at most {} scopes", limits::SCOPES)]
    TooManyScopes,
}
