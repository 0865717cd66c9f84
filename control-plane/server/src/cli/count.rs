//! `devices --count-by`: how many devices have which value of a field.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

/// How many devices have which value of a field.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// The field.
    pub(super) field: &'static str,
    /// The most frequent value first.
    pub(super) counts: Vec<Count>,
    /// How many devices were counted.
    pub(super) devices: usize,
}

/// A value and how many devices have it, in [`Counts`].
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    /// The value; none for devices without one.
    pub(super) value: Option<String>,
    /// How many devices have it.
    pub(super) devices: usize,
}

impl Counts {
    /// Counts the values that devices have of a field.
    pub(super) fn of(field: &'static str, values: impl Iterator<Item = Option<String>>) -> Self {
        let mut devices = 0;
        let mut counted: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for value in values {
            devices += 1;
            *counted.entry(value).or_default() += 1;
        }
        let mut counts: Vec<Count> =
            counted.into_iter().map(|(value, devices)| Count { value, devices }).collect();
        counts.sort_by_key(|count| Reverse(count.devices));
        Self { field, counts, devices }
    }
}
