use std::collections::BTreeMap;

use pawl_proto::{Digest, PcrValue};
use serde::{Deserialize, Serialize};

/// What a device runs: values of the PCRs that leases name, all of one bank.
pub type BootState = BTreeMap<u8, PcrValue>;

/// Returns SHA-256 over the values of a boot state, in ascending order of the PCRs.
#[must_use]
pub fn boot_digest(state: &BootState) -> Digest {
    let values: Vec<u8> = state.values().flat_map(|value| value.as_bytes().to_vec()).collect();
    Digest::of(&values)
}

/// A boot state that a device may be in.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedState {
    /// What an operator calls it.
    pub name: String,
    /// How it came to be accepted.
    pub by: AcceptedBy,
    /// The values.
    pub pcrs: BootState,
    /// It was approved ahead, and the device has not been in it since.
    pub ahead: bool,
    /// When it was accepted last, Unix seconds.
    pub accepted_at: u64,
}

impl AcceptedState {
    /// Returns the state of a device at its first pairing, as an accepted one.
    #[must_use]
    pub fn at_first_pairing(pcrs: BootState, now: u64) -> Self {
        let name = "the first pairing".to_owned();
        Self { name, by: AcceptedBy::FirstPairing, pcrs, ahead: false, accepted_at: now }
    }

    /// Returns whether a device with these quoted PCRs is in this state.
    #[must_use]
    pub fn is_reached_by(&self, quoted: &BootState) -> bool {
        self.pcrs.iter().all(|(pcr, value)| quoted.get(pcr) == Some(value))
    }
}

/// How a boot state came to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceptedBy {
    /// The device ran it when it was first paired: nobody has looked at what it is.
    FirstPairing,
    /// An operator accepted what the device had reported.
    Operator,
    /// An operator approved it before the device ran it.
    PreApproval,
}
