//! An operator's name for a device.

use std::fmt;
use std::str::FromStr;

use pawl_proto::bounded::TextError;
use pawl_proto::message::ShortText;

/// What an operator writes for a group of devices begins so.
pub const GROUP_PREFIX: &str = "group:";

/// An operator's name for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(ShortText);

impl Label {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(LabelError::Empty);
        }
        if text.starts_with(GROUP_PREFIX) {
            return Err(LabelError::Group);
        }
        Ok(Self(ShortText::new(text)?))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// It is empty.
    #[error("the label is empty")]
    Empty,
    /// It would name a group.
    #[error("a label does not begin with {GROUP_PREFIX:?}, which names a group of devices")]
    Group,
    /// It is too long, or has control characters.
    #[error("the label: {0}")]
    Text(#[from] TextError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_line_of_text_that_names_no_group() {
        assert_eq!(" gate 4 ".parse::<Label>().unwrap().as_str(), "gate 4");
        assert_eq!("".parse::<Label>(), Err(LabelError::Empty));
        assert_eq!(" ".parse::<Label>(), Err(LabelError::Empty));
        assert_eq!("group:north".parse::<Label>(), Err(LabelError::Group));
        assert!(matches!("a\nb".parse::<Label>(), Err(LabelError::Text(_))));
        assert!(matches!("a".repeat(5000).parse::<Label>(), Err(LabelError::Text(_))));
    }
}
