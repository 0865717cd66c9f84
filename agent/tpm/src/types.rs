use std::num::NonZeroU16;

use pawl_evidence::lease::LeaseTerms;
use pawl_evidence::tpm::HashAlgorithm;

use crate::EndorsementKind;

/// The identity of the device: its endorsement key and its attestation key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The template of the endorsement key.
    pub endorsement: EndorsementKind,
    /// The endorsement key's TPMT_PUBLIC.
    pub ek_public: Vec<u8>,
    /// The endorsement key's name (name algorithm and digest).
    pub ek_name: Vec<u8>,
    /// The endorsement key's certificate, then the chain that the TPM holds, each in DER. Empty if the TPM has
    /// no certificate. Read from NV and not verified.
    pub ek_certificates: Vec<Vec<u8>>,
    /// The hash algorithms of the active PCR banks, as far as Pawl supports them.
    pub pcr_banks: Vec<HashAlgorithm>,
    /// The attestation key's TPMT_PUBLIC.
    pub ak_public: Vec<u8>,
    /// The attestation key's name (name algorithm and digest).
    pub ak_name: Vec<u8>,
}

/// The epoch counter at the time it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The counter's value.
    pub epoch: u64,
    /// Its TPMS_NV_PUBLIC, with the written attribute set.
    pub public: Vec<u8>,
    /// Its name (name algorithm and digest), by which policies refer to it.
    pub name: Vec<u8>,
}

/// The result of [`crate::Tpm::test_counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterTest {
    /// The NV index that the test used.
    pub handle: u32,
    /// The highest value of the removed counter.
    pub before: u64,
    /// The first value of the counter that was defined after it.
    pub after: u64,
}

impl CounterTest {
    /// NV writes of one test: two definitions, three increments, two removals.
    pub const WRITES: u32 = 7;

    /// Returns whether a counter that is defined anew starts above its old values.
    pub fn is_passed(&self) -> bool {
        self.after > self.before
    }
}

/// What the keys of a pairing are bound to: an epoch, the control plane's keys, and the pairing.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The counter with the epoch in which the keys work.
    pub counter: Counter,
    /// TPMT_PUBLIC of the key with which the control plane signs leases.
    pub lease_public: Vec<u8>,
    /// TPMT_PUBLIC of the key with which the control plane authorizes actions.
    pub action_public: Vec<u8>,
    /// The policyRef of the pairing: these keys refuse leases and authorizations for another pairing.
    pub policy_ref: [u8; 32],
}

/// The four keys of a pairing.
pub struct PairingKeys {
    /// Authenticates the TLS client; works in its epoch only.
    pub link: KeyBlob,
    /// Signs proofs and assertions; works under a lease.
    pub device: KeyBlob,
    /// Seals the vault's 32 bytes; opens under a lease.
    pub vault: KeyBlob,
    /// Signs one assurance for each authorization; works in its epoch only.
    pub action: KeyBlob,
    /// The name of the keys' parent, the storage root key, as the bus reported it. Trust it once the attestation
    /// key has certified one of the keys below it.
    pub storage_key: Vec<u8>,
}

/// A key as stored on disk. The TPM that created it encrypts the private part, which no other TPM can load. It
/// has no `Debug` so that it stays out of logs.
#[derive(Clone)]
pub struct KeyBlob {
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// The contents of the TPM2B_PRIVATE.
    pub private: Vec<u8>,
}

/// An NV index that anybody may read, and its contents. Unsigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvDigest {
    /// The index's TPMS_NV_PUBLIC.
    pub public: Vec<u8>,
    /// Its contents: a digest, or other data of at most that size.
    pub value: Vec<u8>,
}

/// A structure that the attestation key signed, and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// TPMS_ATTEST.
    pub attest: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// The TPM's clock and reset counts (TPMS_CLOCK_INFO). Unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds with power since the TPM was last cleared.
    pub clock_ms: u64,
    /// TPM resets since the TPM was last cleared.
    pub reset_count: u32,
    /// TPM restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether the TPM is sure that it never reported a higher `clock_ms` before.
    pub safe: bool,
}

/// What a TPM says of itself (TPM_PT, TPM 2.0 Library, part 2, section 6.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// TPM_PT_MANUFACTURER: the vendor's id in four characters (TCG Vendor ID Registry).
    pub manufacturer: String,
    /// TPM_PT_VENDOR_STRING_1 to 4, joined.
    pub model: String,
    /// TPM_PT_FIRMWARE_VERSION_1 and 2.
    pub firmware: (u32, u32),
    /// TPM_PT_REVISION: the revision of the specification times 100.
    pub revision: u32,
    /// TPM_PT_CLOCK_UPDATE: at most so many milliseconds pass between two writes of the clock to NV memory.
    pub clock_update_ms: Option<u32>,
    /// TPM_PT_NV_COUNTERS_AVAIL: how many more counters can be defined.
    pub counters_available: Option<u32>,
    /// TPM_PT_NV_WRITE_RECOVERY: milliseconds before a command that writes NV memory is accepted again.
    pub nv_write_recovery_ms: Option<u32>,
    /// TPM_PT_HR_TRANSIENT_AVAIL: how many more objects can be loaded.
    pub transient_slots: Option<u32>,
}

/// A lease, with everything that the TPM needs to check it. Untrusted until the TPM has checked it.
#[derive(Clone, Debug)]
pub struct LeaseGrant {
    /// TPMT_PUBLIC of the lease key.
    pub lease_public: Vec<u8>,
    /// The policyRef of the pairing.
    pub policy_ref: [u8; 32],
    /// The conditions under which the keys work.
    pub terms: LeaseTerms,
    /// The lease key's ECDSA signature, r and s of 32 bytes each.
    pub signature: [u8; 64],
}

/// The control plane's authorization for the action key to sign one digest, once, in one policy session
/// (TPM2_PolicySigned). Untrusted until the TPM has checked it.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// TPMT_PUBLIC of the authorization key, which the device pinned when it paired.
    pub authority_public: Vec<u8>,
    /// The policyRef of the pairing.
    pub policy_ref: [u8; 32],
    /// The authorization ends this many seconds after the start of the session. The type excludes zero, which never
    /// expires, and negative numbers, for which the TPM returns a reusable ticket.
    pub expiration_s: NonZeroU16,
    /// The authorization key's ECDSA signature, r and s of 32 bytes each.
    pub signature: [u8; 64],
}
