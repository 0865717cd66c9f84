//! Lists of patterns, as ssh_config(5), PATTERNS, describes them.

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

/// Whether the pattern matches the whole text. Time: at most the product of their lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on when what follows the last star did not fit: one byte further in the text.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', behind)), _) => {
                star = Some((behind, text));
                pattern = behind;
            }
            (Some((expected, behind)), Some((found, rest))) if *expected == b'?' || expected == found => {
                (pattern, text) = (behind, rest);
            }
            _ => match star {
                Some((behind, [_, rest @ ..])) => {
                    star = Some((behind, rest));
                    (pattern, text) = (behind, rest);
                }
                _ => return false,
            },
        }
    }
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
        assert!(!list("!root@*").matches("alice@example.com"));
    }
}
