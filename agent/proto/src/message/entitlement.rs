//! What the operator grants a device.

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::bounded::Text;
use crate::{limits, open_enum};

/// The resource that a token is for (RFC 8707): an absolute URI without a fragment.
pub type Audience = Text<{ limits::AUDIENCE }>;

/// Scopes and audiences, as an operator grants them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The scopes, at most [`limits::SCOPES`].
    pub scopes: Vec<Scope>,
    /// The audiences, at most [`limits::AUDIENCES`].
    pub audiences: Vec<Audience>,
}

open_enum! {
    /// The operator's decision, independent of the attestation result.
    pub enum Standing {
        /// The device may work.
        Active = "active",
        /// The device may not work until the operator resumes it. Nothing is destroyed.
        Suspended = "suspended",
    }
}

/// What the operator grants a device now. Every verdict carries it. The device requests and serves no token that
/// exceeds it, and the control plane issues none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    /// Whether the device may work at all.
    pub standing: Standing,
    /// The scopes that its tokens may have, at most [`limits::SCOPES`].
    pub scopes: Vec<Scope>,
    /// The audiences that its tokens may have, at most [`limits::AUDIENCES`]. A token that names none is for
    /// the control plane's own URL.
    pub audiences: Vec<Audience>,
}

impl Entitlement {
    /// Returns what a token with these scopes and this audience needs beyond the entitlement; `None` if it needs
    /// nothing more.
    pub fn lacking<'a>(&self, scopes: impl IntoIterator<Item = &'a str>, audience: &str) -> Option<Lacking> {
        let is_granted = |scope: &str| self.scopes.iter().any(|granted| granted.as_str() == scope);
        let scopes: Vec<String> =
            scopes.into_iter().filter(|scope| !is_granted(scope)).map(str::to_owned).collect();
        let has_audience = self.audiences.iter().any(|granted| granted.as_str() == audience);
        let audience = (!has_audience).then(|| audience.to_owned());
        (!scopes.is_empty() || audience.is_some()).then_some(Lacking { scopes, audience })
    }
}

/// What a token needs and the operator has not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The scopes.
    pub scopes: Vec<String>,
    /// The audience.
    pub audience: Option<String>,
}

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.scopes.len() == 1 { "the scope" } else { "the scopes" };
        match (self.scopes.is_empty(), &self.audience) {
            (false, None) => write!(f, "{word} {}", self.scopes.join(" ")),
            (false, Some(audience)) => {
                write!(f, "{word} {} and the audience {audience}", self.scopes.join(" "))
            }
            (true, Some(audience)) => write!(f, "the audience {audience}"),
            (true, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entitlement() -> Entitlement {
        Entitlement {
            standing: Standing::Active,
            scopes: vec![Text::lossy("telemetry"), Text::lossy("door")],
            audiences: vec![Text::lossy("https://api.example")],
        }
    }

    #[test]
    fn a_token_inside_the_entitlement_lacks_nothing() {
        assert_eq!(entitlement().lacking(["door"], "https://api.example"), None);
        assert_eq!(entitlement().lacking(["door", "telemetry"], "https://api.example"), None);
        assert_eq!(entitlement().lacking([], "https://api.example"), None);
    }

    #[test]
    fn a_token_outside_it_lacks_what_was_not_granted() {
        let lacking = |scopes: &[&str], audience| {
            let lacking = entitlement().lacking(scopes.iter().copied(), audience);
            lacking.unwrap().to_string()
        };
        let api = "https://api.example";
        assert_eq!(lacking(&["admin"], api), "the scope admin");
        assert_eq!(lacking(&["door"], "https://api.example/"), "the audience https://api.example/");
        assert_eq!(
            lacking(&["admin", "door", "root"], "https://other.example"),
            "the scopes admin root and the audience https://other.example"
        );
    }
}
