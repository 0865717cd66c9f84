//! Principals, and the lists of patterns that name them (ssh_config(5), PATTERNS).

use std::fmt;
use std::str::FromStr;

use pawl_wildcard::Step;

use crate::key::Fingerprint;

const MAX_LEN: usize = 256;

/// The principal of a line: its first word, which is a name or, as OpenSSH allows, a list of names and patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(PatternList);

impl Principal {
    /// Returns the principal as written.
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

/// The text is not a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("principals are 1 to {MAX_LEN} bytes without control characters")]
pub struct NotAPrincipal;

/// Who approved, and with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The principal.
    pub principal: Principal,
    /// The key.
    pub key: Fingerprint,
}

impl Approver {
    /// Returns whether both may be the same person. Where two people must approve, it must be false. It is true for one
    /// key under two names, for names that overlap, and if patterns leave it open.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        self.key == other.key || self.principal.may_be(&other.principal)
    }
}

/// Patterns separated by commas: `*` matches any characters, `?` one; a leading `!` excludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatternList(String);

impl PatternList {
    pub(super) fn new(list: String) -> Self {
        Self(list)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether a pattern matches and no excluding one does.
    pub(super) fn matches(&self, text: &str) -> bool {
        let excluded = self.0.split(',').filter_map(|pattern| pattern.strip_prefix('!'));
        let mut excluded = excluded.filter(|pattern| matches(pattern, text));
        excluded.next().is_none() && self.included().any(|pattern| matches(pattern, text))
    }

    /// Returns the names without wildcards.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.included().filter(|pattern| !is_wild(pattern))
    }

    /// Returns whether any pattern matches several names.
    pub(super) fn has_wildcards(&self) -> bool {
        self.included().any(is_wild)
    }

    fn included(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').filter(|pattern| !pattern.starts_with('!'))
    }
}

fn is_wild(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Returns whether the pattern matches the whole text. As in ssh-keygen, a wildcard stands for any byte: an exclusion must
/// not miss a name because of a character in it.
fn matches(pattern: &str, text: &str) -> bool {
    let step = |byte| match byte {
        b'*' => Step::Within,
        b'?' => Step::One,
        other => Step::Exactly(other),
    };
    let steps: Vec<_> = pattern.bytes().map(step).collect();
    pawl_wildcard::matches(&steps, text.bytes(), |_| true)
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

    fn list(list: &str) -> PatternList {
        PatternList::new(list.to_owned())
    }

    #[test]
    fn patterns() {
        assert!(matches("pawl-approval@v1", "pawl-approval@v1"));
        assert!(!matches("pawl-approval@v1", "pawl-approval@v10"));
        assert!(matches("*@v?", "pawl-approval@v1"));
        assert!(matches("a*b*c", "axxbyybzc"));
        assert!(!matches("a*b*c", "axxbyybz"));
        assert!(matches("*", "") && matches("a**", "a"));
        assert!(!matches("", "a") && !matches("?", ""));
        let many = "a*".repeat(50) + "b";
        assert!(!matches(&many, &"a".repeat(2000)));
    }

    #[test]
    fn an_exclusion_wins() {
        assert!(list("*,!root@*").matches("alice@example.com"));
        assert!(!list("*,!root@*").matches("root@example.com"));
        assert!(!list("*,!root@*").matches("root@example.com \u{e9}"));
        assert!(!list("!root@*").matches("alice@example.com"));
    }
}
