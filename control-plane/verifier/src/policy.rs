use std::path::PathBuf;
use std::sync::Arc;

use pawl_evidence::appraise::policy::Policy;
use pawl_evidence::ima::Rules;
use pawl_proto::Digest;

/// The policy that a device is appraised by.
#[derive(Debug)]
pub struct DevicePolicy {
    /// The operator's file. It is shown to people and never opened here.
    pub file: PathBuf,
    /// SHA-256 of the file; where it names others, of its own SHA-256 and of theirs, one after the other.
    pub digest: Digest,
    /// The rules on the boot.
    pub policy: Arc<Policy>,
    /// The rules on single files that are run.
    pub ima: Option<Rules>,
}

impl DevicePolicy {
    /// Returns the handles of the NvPCRs that the policy names.
    #[must_use]
    pub fn nvpcrs(&self) -> Vec<u32> {
        self.policy.nvpcr.keys().map(|index| index.get()).collect()
    }

    /// Returns whether the policy names no NvPCR but these.
    #[must_use]
    pub fn asks_only(&self, asked: &[u32]) -> bool {
        self.policy.nvpcr.keys().all(|index| asked.contains(&index.get()))
    }

    /// Returns whether evidence that came so many seconds after the challenge is older than it may be.
    #[must_use]
    pub fn is_too_old(&self, age: u64) -> bool {
        self.policy.freshness.max_age.is_some_and(|max| age > max)
    }
}
