//! Patterns for the kernel's command line and for commands of the boot loader.
//!
//! In both, `*` stands for any number of characters, `?` for one, and `\` takes the meaning of the character behind
//! it. What a wildcard may stand for is narrow on purpose, because a boot loader, the kernel, the initrd and systemd
//! cut the same text into parameters in different ways: see [`CommandLinePattern`] and [`LoaderCommandPattern`].

mod command_line;
mod index;
mod loader_command;
mod parameter;
mod written;

pub use command_line::CommandLinePattern;
pub(super) use index::PatternIndex;
pub use loader_command::LoaderCommandPattern;

use thiserror::Error;

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A wildcard could stand for the name of a parameter.
    #[error(
        "{0:?} has a wildcard in the name of a parameter: give wildcards behind a `=`, or in a path that begins with \
         `/` or `(`"
    )]
    Name(String),
    /// A wildcard could stand for the name of a command.
    #[error("{0:?} has wildcards and does not begin with the name of a command")]
    Command(String),
    /// Text beside wildcards that would never fit.
    #[error(
        "{0:?} has wildcards beside something else than printable ASCII: write such a text without wildcards, with \
         `\\*` and `\\?` for a star and a question mark"
    )]
    Characters(String),
}

/// The longest text that wildcards fit, in bytes.
///
/// The kernel keeps `COMMAND_LINE_SIZE - 1` bytes of its command line and drops what comes behind: 2048 on x86 and
/// arm64, 1024 on arm. Otherwise a long value for a wildcard would push the last parameters out of sight. A log does
/// not say for which architecture it is, so that the smallest of them counts. GRUB puts `BOOT_IMAGE=` in front after
/// it has measured the line.
pub(super) const WILDCARD_TEXT_MAX: usize = 1024 - 1 - "BOOT_IMAGE=".len();

/// What both kinds of patterns have in common.
pub(super) trait Pattern {
    /// The one text that the pattern was made of; `None` when it has wildcards.
    fn only_text(&self) -> Option<String>;

    /// Whether the whole text fits.
    fn fits(&self, text: &str) -> bool;

    /// The text with one space between its parts: two texts of the same parts fit the same patterns. `None` for a
    /// text that fits only the pattern that has it literally.
    fn normal_form(text: &str) -> Option<String>;
}

/// Says why a pattern with wildcards does not fit this text, where that is the text's own fault.
pub(super) fn only_literally(text: &str) -> Option<String> {
    if !is_printable_ascii(text) {
        return Some("it has other characters than printable ASCII, which no wildcard fits".to_owned());
    }
    let len = text.len();
    (len > WILDCARD_TEXT_MAX).then(|| {
        format!("it has {len} bytes, more than the {WILDCARD_TEXT_MAX} that a pattern with wildcards fits")
    })
}

fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
