use std::fmt;
use std::str::FromStr;

use super::pattern::PatternList;
use crate::key::Fingerprint;

const MAX_LEN: usize = 256;

/// Whose key a line lists: its first word as written, which is a name or, as OpenSSH allows, a list of names
/// and patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(PatternList);

impl Principal {
    /// The principal as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn may_be(&self, other: &Self) -> bool {
        self.0.names().any(|name| other.0.matches(name))
            || other.0.names().any(|name| self.0.matches(name))
            || (self.0.has_wildcards() && other.0.has_wildcards())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Principal {
    type Err = NotAPrincipal;

    fn from_str(text: &str) -> Result<Self, NotAPrincipal> {
        let is_one = !text.is_empty() && text.len() <= MAX_LEN && !text.chars().any(char::is_control);
        if is_one { Ok(Self(PatternList::new(text.to_owned()))) } else { Err(NotAPrincipal) }
    }
}

/// The text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("principals are 1 to {MAX_LEN} bytes without control characters")]
pub struct NotAPrincipal;

/// Who approved, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// Whose key it is.
    pub principal: Principal,
    /// The key.
    pub key: Fingerprint,
}

impl Approver {
    /// Whether the two may be one person: where two persons must approve, this must be false. True for one
    /// key under two names, for names that overlap, and where patterns leave it open.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        self.key == other.key || self.principal.may_be(&other.principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PublicKey;
    use crate::wire::put_string;

    fn approver(principal: &str, key: u8) -> Approver {
        let mut blob = Vec::new();
        put_string(&mut blob, b"ssh-ed25519");
        put_string(&mut blob, &[key; 32]);
        let key = PublicKey::parse_blob(&blob).unwrap().fingerprint();
        Approver { principal: principal.parse().unwrap(), key }
    }

    #[test]
    fn two_persons_share_neither_key_nor_name() {
        let alice = approver("alice@example.com", 1);
        assert!(!alice.may_be(&approver("bob@example.com", 2)));
        assert!(alice.may_be(&approver("bob@example.com", 1)));
        assert!(alice.may_be(&approver("alice@example.com", 2)));
        assert!(alice.may_be(&approver("admin@example.com,alice@example.com", 2)));
        assert!(approver("alice@*", 2).may_be(&alice));
        assert!(alice.may_be(&approver("alice@*", 2)));
        assert!(!alice.may_be(&approver("*,!alice@*", 2)));
        assert!(approver("*@example.com", 1).may_be(&approver("*@example.org", 2)));
    }

    #[test]
    fn a_principal_can_be_shown() {
        assert_eq!("".parse::<Principal>(), Err(NotAPrincipal));
        assert_eq!("alice\u{1b}[2J".parse::<Principal>(), Err(NotAPrincipal));
        assert_eq!("a".repeat(MAX_LEN + 1).parse::<Principal>(), Err(NotAPrincipal));
    }
}
