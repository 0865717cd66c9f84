//! Patterns for the kernel's command line and for boot loader commands.
//!
//! In both, `*` matches any number of characters, `?` one character, and `\` makes the next character literal.
//! Wildcards match only few characters, because boot loader, kernel, initrd and systemd split the same text into
//! parameters in different ways: see [`CommandLinePattern`] and [`LoaderCommandPattern`].

mod command_line;
mod loader_command;
mod words;

use std::collections::HashSet;

use thiserror::Error;

pub use command_line::CommandLinePattern;
pub use loader_command::LoaderCommandPattern;

/// Why a text is not a valid pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A wildcard could match the name of a parameter.
    #[error(
        "{0:?} has a wildcard in the name of a parameter: give wildcards after a `=`, or in a path that begins with \
         `/` or `(`"
    )]
    Name(String),
    /// A wildcard could match the name of a command.
    #[error("{0:?} has wildcards and does not begin with the name of a command")]
    Command(String),
    /// The literal text has characters that a pattern with wildcards never matches.
    #[error(
        "{0:?} has wildcards, and characters other than printable ASCII: write such a text without wildcards, with \
         `\\*` and `\\?` for a star and a question mark"
    )]
    Characters(String),
}

/// The longest text that wildcards match, in bytes.
///
/// The kernel keeps `COMMAND_LINE_SIZE - 1` bytes of its command line and drops the rest: 2048 on x86 and arm64,
/// 1024 on arm. Without this limit, a wildcard could match a value so long that the kernel drops the last parameters. A
/// log does not name the architecture, so the smallest size counts. GRUB puts `BOOT_IMAGE=` in front after it has
/// measured the line.
pub(super) const WILDCARD_TEXT_MAX: usize = 1024 - 1 - "BOOT_IMAGE=".len();

/// The operations that both kinds of patterns have.
pub(in crate::appraise) trait Pattern {
    /// Returns the literal text; `None` if the pattern has wildcards.
    fn only_text(&self) -> Option<String>;

    /// Returns whether the whole text matches.
    fn fits(&self, text: &str) -> bool;

    /// Returns the text with single spaces between its parts: texts with the same normal form match the same
    /// patterns. `None` for a text that only a literal pattern matches.
    fn normal_form(text: &str) -> Option<String>;
}

/// Returns why no pattern with wildcards can match this text, if its own characters or length are the cause.
pub(in crate::appraise) fn only_literally(text: &str) -> Option<String> {
    if !is_printable_ascii(text) {
        return Some("it has characters other than printable ASCII, which no wildcard matches".to_owned());
    }
    let len = text.len();
    (len > WILDCARD_TEXT_MAX).then(|| {
        format!("it has {len} bytes, more than the {WILDCARD_TEXT_MAX} that a pattern with wildcards matches")
    })
}

fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The patterns of one rule. A text is looked up among the patterns without wildcards and compared with the
/// others, so that many learnt patterns cost no more than a few.
pub(in crate::appraise) struct PatternIndex<'p, P> {
    texts: HashSet<String>,
    normal_forms: HashSet<String>,
    wildcards: Vec<&'p P>,
}

impl<'p, P: Pattern> PatternIndex<'p, P> {
    pub(in crate::appraise) fn new(patterns: &'p [P]) -> Self {
        let mut index = Self { texts: HashSet::new(), normal_forms: HashSet::new(), wildcards: Vec::new() };
        for pattern in patterns {
            match pattern.only_text() {
                Some(text) => {
                    index.normal_forms.extend(P::normal_form(&text));
                    index.texts.insert(text);
                }
                None => index.wildcards.push(pattern),
            }
        }
        index
    }

    /// Returns whether one of the patterns matches.
    pub(in crate::appraise) fn fits(&self, text: &str) -> bool {
        self.texts.contains(text)
            || P::normal_form(text).is_some_and(|form| self.normal_forms.contains(&form))
            || self.wildcards.iter().any(|pattern| pattern.fits(text))
    }

    /// Returns the texts of the patterns without wildcards.
    pub(in crate::appraise) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }
}
