//! Matching a whole text with wildcards, in time bounded by the text times the pattern: both can be hostile.
//!
//! Each user says what its wildcards stand for. A pattern that decides about trust uses [`is_plain`] or less.
#![forbid(unsafe_code)]

/// A step of a pattern over texts of `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<T> {
    /// This item.
    Exactly(T),
    /// One item that a wildcard stands for.
    One,
    /// Any number of items that a wildcard stands for.
    Within,
    /// Any number of any items.
    Across,
}

/// Returns whether the whole text matches. `stands_for` says what [`Step::One`] and [`Step::Within`] stand for.
pub fn matches<T: Copy + PartialEq>(
    steps: &[Step<T>],
    text: impl IntoIterator<Item = T>,
    stands_for: impl Fn(T) -> bool,
) -> bool {
    // Every step that could come next, after the text so far.
    let mut next = vec![false; steps.len().saturating_add(1)];
    let mut after = next.clone();
    enter(steps, &mut next, 0);
    for item in text {
        after.fill(false);
        let reached = steps.iter().enumerate().zip(&next).filter(|(_, reached)| **reached);
        for ((position, step), _) in reached {
            match step {
                Step::Exactly(wanted) if *wanted == item => enter(steps, &mut after, position + 1),
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
/// A boot loader, the kernel and systemd read every other byte, or the text around it, in different ways: `a=*` must
/// not match `a=" init=/bin/sh"`, nor a UTF-8 sequence whose last byte the kernel takes for a space.
#[must_use]
pub fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"'
}

/// Marks a step, and those behind it that can be had for nothing; a marked one has had those behind it marked.
fn enter<T>(steps: &[Step<T>], marks: &mut [bool], position: usize) {
    for (position, mark) in marks.iter_mut().enumerate().skip(position) {
        let free = matches!(steps.get(position), Some(Step::Within | Step::Across));
        if std::mem::replace(mark, true) || !free {
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
    fn the_whole_text_matches_or_nothing() {
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
    fn many_wildcards_take_no_more_time_than_the_lengths() {
        assert!(!is_match(&("a*".repeat(500) + "b"), &"a".repeat(2000)));
    }
}
