//! Matches a whole text against a pattern with wildcards. The time is at most proportional to the length of the text
//! times that of the pattern, because an attacker can write either.
//!
//! The caller decides which items a wildcard matches. Wildcards of a pattern that decides about trust match at most the
//! bytes of [`is_plain`].
#![forbid(unsafe_code)]

/// One step of a pattern over items of type `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<T> {
    /// Exactly this item.
    Exactly(T),
    /// One item for which `stands_for` of [`matches()`] returns true.
    One,
    /// Any number of items for which `stands_for` of [`matches()`] returns true.
    Within,
    /// Any number of any items.
    Across,
}

/// Returns whether the whole text matches. `stands_for` decides which items [`Step::One`] and [`Step::Within`] match.
pub fn matches<T: Copy + PartialEq>(
    steps: &[Step<T>],
    text: impl IntoIterator<Item = T>,
    stands_for: impl Fn(T) -> bool,
) -> bool {
    // Marks each step that the next item may match, after the text so far.
    let mut next = vec![false; steps.len().saturating_add(1)];
    let mut after = next.clone();
    enter(steps, &mut next, 0);
    for item in text {
        after.fill(false);
        let reached = steps.iter().enumerate().zip(&next).filter(|(_, reached)| **reached);
        for ((position, step), _) in reached {
            match step {
                Step::Exactly(expected) if *expected == item => enter(steps, &mut after, position + 1),
                Step::One if stands_for(item) => enter(steps, &mut after, position + 1),
                Step::Within if stands_for(item) => enter(steps, &mut after, position),
                Step::Across => enter(steps, &mut after, position),
                _ => {}
            }
        }
        if !after.contains(&true) {
            return false;
        }
        std::mem::swap(&mut next, &mut after);
    }
    next.last() == Some(&true)
}

/// Returns whether a byte is printable ASCII, and neither a space nor a double quote.
///
/// A boot loader, the kernel and systemd interpret every other byte, or the text around it, in different ways. So `a=*`
/// must not match `a=" init=/bin/sh"`, nor a UTF-8 sequence whose last byte the kernel treats as a space.
#[must_use]
pub fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"'
}

/// Marks a step. A step that also matches no item marks the step after it, and so on. Stops at a marked step, whose
/// successors are marked already.
fn enter<T>(steps: &[Step<T>], marks: &mut [bool], position: usize) {
    for (position, mark) in marks.iter_mut().enumerate().skip(position) {
        let matches_nothing = matches!(steps.get(position), Some(Step::Within | Step::Across));
        if std::mem::replace(mark, true) || !matches_nothing {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(pattern: &str) -> Vec<Step<u8>> {
        let step = |byte| match byte {
            b'*' => Step::Within,
            b'?' => Step::One,
            b'%' => Step::Across,
            other => Step::Exactly(other),
        };
        pattern.bytes().map(step).collect()
    }

    fn is_match(pattern: &str, text: &str) -> bool {
        matches(&steps(pattern), text.bytes(), is_plain)
    }

    #[test]
    fn a_pattern_must_match_the_whole_text() {
        assert!(is_match("a*b*c", "axxbyybzc") && !is_match("a*b*c", "axxbyybz"));
        assert!(is_match("*", "") && is_match("a**", "a") && !is_match("?", "") && !is_match("", "a"));
        assert!(is_match("a?c", "abc") && !is_match("a?c", "ac") && !is_match("a?c", "abbc"));
    }

    #[test]
    fn a_wildcard_matches_no_byte_that_is_not_plain() {
        for byte in 0..=u8::MAX {
            let plain = (b'!'..=b'~').contains(&byte) && byte != b'"';
            for pattern in ["a*", "a?", "a?*"] {
                assert_eq!(matches(&steps(pattern), [b'a', byte], is_plain), plain, "{pattern} {byte:#04x}");
            }
            assert!(matches(&steps("a%"), [b'a', byte], is_plain), "{byte:#04x}");
            assert!(matches(&[Step::Exactly(byte)], [byte], is_plain), "{byte:#04x}");
        }
    }

    #[test]
    fn time_is_bounded_with_many_wildcards() {
        assert!(!is_match(&("a*".repeat(500) + "b"), &"a".repeat(2000)));
    }
}
