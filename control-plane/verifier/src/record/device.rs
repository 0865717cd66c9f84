use pawl_proto::message::Finding;
use serde::{Deserialize, Serialize};

/// How far a device's own chain of records is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Which of the device's chains, from 1: another one begins with a pairing, if at all.
    pub chain: u32,
    /// The sequence of its last record.
    pub sequence: u64,
    /// The digest of that record, hexadecimal.
    pub digest: String,
}

/// What is wrong, or new, with the records of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RecordFinding {
    /// They cannot be read, do not follow from one another, or are more than a report may carry.
    Malformed,
    /// The device shows fewer records than it has shown before: the end was cut off.
    Regress,
    /// A record that is known here has another digest there: the chain was written anew.
    Fork,
    /// Records between the known ones and these will never come: the device dropped them.
    Gap,
    /// The device sends none, though it did before.
    Absent,
    /// Another chain began, as it may with a pairing.
    BeganAnew,
    /// Another chain began with a pairing, and the device says that nothing about it had changed.
    BeganAnewUnchanged,
}

impl RecordFinding {
    /// The name of a chain that begins anew in a session with this finding of the device.
    #[must_use]
    pub fn began_anew(finding: Finding) -> Self {
        match finding {
            Finding::NothingChanged => Self::BeganAnewUnchanged,
            _ => Self::BeganAnew,
        }
    }
}
