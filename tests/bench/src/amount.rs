//! How much, and of what.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// A figure or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Amount {
    /// How many times another amount.
    Times(f64),
    Time(Duration),
    Bytes(u64),
    Count(u64),
    Text(String),
}

impl Amount {
    /// How many times `floor` a time is.
    pub(crate) fn ratio(time: Duration, floor: Duration) -> Self {
        Self::Times(time.as_secs_f64() / floor.as_secs_f64())
    }

    /// Whether it is at most `limit`, which must be of the same kind.
    pub(crate) fn is_within(&self, limit: &Self) -> bool {
        match (self, limit) {
            (Self::Times(figure), Self::Times(limit)) => figure <= limit,
            (Self::Time(figure), Self::Time(limit)) => figure <= limit,
            (Self::Bytes(figure), Self::Bytes(limit)) | (Self::Count(figure), Self::Count(limit)) => {
                figure <= limit
            }
            _ => false,
        }
    }

    /// The bare value: times in milliseconds.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Times(times) => json!(rounded(*times)),
            Self::Time(time) => json!(rounded(milliseconds(*time))),
            Self::Bytes(number) | Self::Count(number) => json!(number),
            Self::Text(text) => json!(text),
        }
    }

    /// What one of it is called in JSON; nothing for what is only counted.
    pub(crate) fn unit(&self) -> &'static str {
        match self {
            Self::Times(_) => "times",
            Self::Time(_) => "ms",
            Self::Bytes(_) => "bytes",
            Self::Count(_) | Self::Text(_) => "",
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Times(times) => format!("{times:.2} x"),
            Self::Time(time) => format!("{:.2} ms", milliseconds(*time)),
            Self::Bytes(bytes) if *bytes < 100_000 => format!("{bytes} B"),
            Self::Bytes(bytes) => format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000),
            Self::Count(count) => count.to_string(),
            Self::Text(text) => text.clone(),
        };
        f.pad(&text)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_meets_its_limit_and_no_limit_of_another_kind() {
        assert!(Amount::Bytes(1023).is_within(&Amount::Bytes(1023)));
        assert!(!Amount::Bytes(1024).is_within(&Amount::Bytes(1023)));
        assert!(!Amount::Bytes(1).is_within(&Amount::Count(5)));
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(Amount::Bytes(5_987_654).to_string(), "5.98 MB");
        assert_eq!(Amount::Time(Duration::from_micros(1234)).to_string(), "1.23 ms");
        assert_eq!(Amount::ratio(Duration::from_millis(3), Duration::from_millis(2)).to_string(), "1.50 x");
    }
}
