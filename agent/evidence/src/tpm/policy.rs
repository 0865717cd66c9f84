use super::hash::sha256;
use super::name::Name;
use super::pcr::PcrSelection;

const CC_POLICY_NV: u32 = 0x0000_0149;
const CC_POLICY_SIGNED: u32 = 0x0000_0160;
const CC_POLICY_AUTHORIZE: u32 = 0x0000_016a;
const CC_POLICY_COUNTER_TIMER: u32 = 0x0000_016d;
const CC_POLICY_PCR: u32 = 0x0000_017f;

/// A policy digest, computed as in a SHA-256 trial session of the TPM (TPM 2.0 Library, part 3, section 23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDigest([u8; 32]);

/// How a policy compares a value with its operand (TPM_EO). Values are unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Value = operand.
    Equal,
    /// Value < operand.
    LessThan,
    /// Value ≤ operand.
    AtMost,
}

impl Comparison {
    /// Returns the TPM_EO.
    pub const fn id(self) -> u16 {
        match self {
            Self::Equal => 0x0000,
            Self::LessThan => 0x0005,
            Self::AtMost => 0x0009,
        }
    }
}

impl PolicyDigest {
    /// Returns the empty policy: 32 zero bytes.
    pub fn new() -> Self {
        Self([0; 32])
    }

    /// Adds `TPM2_PolicyPCR`: the selected PCRs have values with this digest.
    #[must_use]
    pub fn pcr(self, selection: &PcrSelection, pcr_digest: &[u8; 32]) -> Self {
        self.step(CC_POLICY_PCR, &[&selection.marshal(), pcr_digest])
    }

    /// Adds `TPM2_PolicyNV`: compares the contents of an NV index from `offset` with `operand`.
    #[must_use]
    pub fn nv(self, index: &Name, operand: &[u8], offset: u16, comparison: Comparison) -> Self {
        let arguments = sha256(&[operand, &offset.to_be_bytes(), &comparison.id().to_be_bytes()]);
        self.step(CC_POLICY_NV, &[&arguments, index.as_bytes()])
    }

    /// Adds `TPM2_PolicyCounterTimer`: compares TPMS_TIME_INFO from `offset` with `operand`.
    #[must_use]
    pub fn counter_timer(self, operand: &[u8], offset: u16, comparison: Comparison) -> Self {
        let arguments = sha256(&[operand, &offset.to_be_bytes(), &comparison.id().to_be_bytes()]);
        self.step(CC_POLICY_COUNTER_TIMER, &[&arguments])
    }

    /// Adds `TPM2_PolicySigned`: the holder of this key authorizes the use, for this reference.
    #[must_use]
    pub fn signed(self, key: &Name, policy_ref: &[u8]) -> Self {
        self.step(CC_POLICY_SIGNED, &[key.as_bytes()]).refer(policy_ref)
    }

    /// Adds `TPM2_PolicyAuthorize`: replaces everything before by "any policy that this key approves for this
    /// reference".
    #[must_use]
    pub fn authorize(key: &Name, policy_ref: &[u8]) -> Self {
        Self::new().step(CC_POLICY_AUTHORIZE, &[key.as_bytes()]).refer(policy_ref)
    }

    /// Returns the digest.
    pub fn finish(self) -> [u8; 32] {
        self.0
    }

    fn step(self, command: u32, arguments: &[&[u8]]) -> Self {
        let command = command.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&self.0, &command];
        parts.extend(arguments);
        Self(sha256(&parts))
    }

    /// Hashes the policyRef: the second half of PolicyUpdate().
    fn refer(self, policy_ref: &[u8]) -> Self {
        Self(sha256(&[&self.0, policy_ref]))
    }
}

impl Default for PolicyDigest {
    fn default() -> Self {
        Self::new()
    }
}
