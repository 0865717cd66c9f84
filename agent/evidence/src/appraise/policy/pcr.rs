use serde::Deserialize;

use super::allowed::{AllowedList, digest};
use super::sections::Weight;
use crate::tpm::{PCR_COUNT, TaggedDigest};

/// The number of a PCR, as a section name has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct PcrIndex(u8);

/// `[pcr.N]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PcrSection {
    /// The weight of an event that no rule explains. The PCRs of a lease are appraised without such a section
    /// too; other PCRs are ignored without one.
    pub unexplained: Weight,
    /// Events that are allowed in it, whatever they mean.
    pub digests: AllowedList,
    /// Allowed values. PCRs above 14 are in no log, so no other rule applies to them.
    #[serde(deserialize_with = "values")]
    pub values: Vec<TaggedDigest>,
    /// Values that are allowed although the boot event log does not explain them, because firmware of this model
    /// extends the PCR without logging it. The log's events of such a PCR are ignored.
    #[serde(deserialize_with = "values")]
    pub unlogged: Vec<TaggedDigest>,
}

impl PcrSection {
    /// Returns whether the value itself is allowed, so that no event needs an explanation.
    pub(super) fn allows(&self, value: &TaggedDigest) -> bool {
        self.values.contains(value) || self.unlogged.contains(value)
    }
}

impl PcrIndex {
    /// Returns the PCR with this number; `None` if there is no such PCR.
    pub fn new(index: u8) -> Option<Self> {
        (index < PCR_COUNT).then_some(Self(index))
    }

    /// Returns the number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<String> for PcrIndex {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let index = name.parse().ok().and_then(Self::new);
        index.ok_or_else(|| format!("pcr.{name}: give a number from 0 to {}", PCR_COUNT.saturating_sub(1)))
    }
}

pub(super) fn values<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<TaggedDigest>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    written.iter().map(|text| digest(text).map_err(serde::de::Error::custom)).collect()
}
