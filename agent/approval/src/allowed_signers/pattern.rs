//! Lists of patterns, as ssh_config(5), PATTERNS, describes them.

use pawl_wildcard::Step;

/// Patterns separated by commas: `*` stands for any characters, `?` for one; `!` in front excludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatternList(String);

impl PatternList {
    pub(super) fn new(list: String) -> Self {
        Self(list)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a pattern matches and no excluding one does.
    pub(super) fn matches(&self, text: &str) -> bool {
        let excluded = self.0.split(',').filter_map(|pattern| pattern.strip_prefix('!'));
        let mut excluded = excluded.filter(|pattern| matches(pattern, text));
        excluded.next().is_none() && self.included().any(|pattern| matches(pattern, text))
    }

    /// The names in the list that stand for themselves alone.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.included().filter(|pattern| !is_wild(pattern))
    }

    /// Whether there are patterns that stand for many names.
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

/// Returns whether the pattern matches the whole text. As in ssh-keygen, a wildcard stands for any byte: names are no
/// commands, and an exclusion must not miss a name for a character in it.
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
