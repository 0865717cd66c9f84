use pawl_evidence::tpm::ClockInfo;
use pawl_proto::PcrBank;
use serde::{Deserialize, Serialize};

/// When something happened, by the TPM that attested it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmTime {
    /// The TPM's clock, milliseconds.
    pub clock: u64,
    /// Its resets.
    pub resets: u32,
    /// Its restarts since the last reset.
    pub restarts: u32,
}

impl From<ClockInfo> for TpmTime {
    fn from(clock: ClockInfo) -> Self {
        Self { clock: clock.clock_ms, resets: clock.reset_count, restarts: clock.restart_count }
    }
}

/// Something that a TPM attested to, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// What the attestation covers: SHA-256 of it is the qualifying data.
    pub covers: String,
    /// `TPMS_ATTEST`.
    pub attest: String,
    /// Its `TPMT_SIGNATURE`, by the attestation key.
    pub signature: String,
}

/// What the lease key signed, in hexadecimal: with the terms beside it and the pairing's counter
/// and policyRef it can be computed anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseSigned {
    /// Their bank.
    #[serde(default, skip_serializing_if = "PcrBank::is_default")]
    pub bank: PcrBank,
    /// The PCRs whose values `pcr_digest` is made of.
    pub pcrs: Vec<u8>,
    /// SHA-256 over the approved policy and the pairing's policyRef.
    pub digest: String,
    /// The signature over it, r and s.
    pub signature: String,
}
