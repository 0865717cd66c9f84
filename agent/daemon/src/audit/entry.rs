//! What happened, before it has its place in the chain.

use pawl_evidence::tpm::Attest;
use pawl_proto::Epoch;
use pawl_proto::codec::Version;
use pawl_proto::message::Verdict;
use pawl_proto::record::{DeviceFact, DeviceRecord};

/// A fact, and when it came to be.
pub(super) struct Entry {
    /// Unix time of the device, seconds.
    pub(super) time: u64,
    pub(super) moment: Option<Moment>,
    pub(super) epoch: Option<Epoch>,
    pub(super) fact: DeviceFact,
}

impl Entry {
    pub(super) fn into_record(self, sequence: u64) -> DeviceRecord {
        DeviceRecord {
            version: Version,
            sequence,
            time: self.time,
            clock: self.moment.map(|moment| moment.clock_ms),
            resets: self.moment.map(|moment| moment.resets),
            epoch: self.epoch,
            fact: self.fact,
        }
    }
}

/// The fact that a verdict came, and with it a lease or none.
pub(crate) fn judged(verdict: &Verdict) -> DeviceFact {
    DeviceFact::Verdict {
        sequence: verdict.sequence,
        result: verdict.result,
        evidence: verdict.answers,
        lease: verdict.lease.as_ref().map(|lease| lease.clock),
    }
}

/// A moment by the TPM's clock, which a host cannot set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The TPM's clock, ms.
    pub clock_ms: u64,
    /// The TPM's resetCount.
    pub resets: u32,
}

impl Moment {
    /// When this `TPMS_ATTEST` was made; none when it is no attestation.
    pub(crate) fn of(attest: &[u8]) -> Option<Self> {
        Attest::unmarshal(attest).ok().map(|attest| Self::read(&attest))
    }

    /// When this attestation was made.
    pub(crate) fn read(attest: &Attest) -> Self {
        Self { clock_ms: attest.clock.clock_ms, resets: attest.clock.reset_count }
    }
}
