use serde::Deserialize;

use super::allowed::{AllowedList, digest};
use super::sections::Weight;
use crate::tpm::{Digest, PCR_COUNT};

/// The number of a PCR, as it stands in the name of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct PcrIndex(u8);

/// `[pcr.N]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PcrSection {
    /// How an event of it weighs that no rule explains. PCRs of a lease are judged without such a section too,
    /// others are not looked at.
    pub unexplained: Weight,
    /// Events that are allowed in it, whatever they are.
    pub digests: AllowedList,
    /// Whole values that it may have. The PCRs above 14 are in no log, and have no other rule.
    #[serde(deserialize_with = "values")]
    pub values: Vec<Digest>,
    /// Whole values that it may have although the boot event log does not explain them, because firmware of this
    /// model extends the PCR without logging it. What the log says of such a PCR counts for nothing.
    #[serde(deserialize_with = "values")]
    pub unlogged: Vec<Digest>,
}

impl PcrSection {
    /// Whether the whole value is allowed, so that no event needs to be explained.
    pub(super) fn allows(&self, value: &Digest) -> bool {
        self.values.contains(value) || self.unlogged.contains(value)
    }
}

impl PcrIndex {
    /// The number of a PCR that there is.
    pub fn new(index: u8) -> Option<Self> {
        (index < PCR_COUNT).then_some(Self(index))
    }

    /// The number.
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

pub(super) fn values<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Digest>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    written.iter().map(|text| digest(text).map_err(serde::de::Error::custom)).collect()
}
