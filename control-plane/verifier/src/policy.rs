use std::path::PathBuf;
use std::sync::Arc;

use pawl_evidence::appraise::policy::Policy;
use pawl_evidence::ima::Rules;
use pawl_proto::Digest;

/// The policy that a device is appraised by.
#[derive(Debug)]
pub struct DevicePolicy {
    /// The path of the operator's file, for people. This crate never opens it.
    pub file: PathBuf,
    /// SHA-256 of the file. If it names other files: SHA-256 over its own SHA-256 and theirs, concatenated.
    pub digest: Digest,
    /// The rules on the boot.
    pub policy: Arc<Policy>,
    /// The rules on the files in the IMA log.
    pub ima: Option<Rules>,
}

impl DevicePolicy {
    /// Returns the handles of the NvPCRs that the policy names.
    #[must_use]
    pub fn nvpcrs(&self) -> Vec<u32> {
        self.policy.nvpcr.keys().map(|index| index.get()).collect()
    }

    /// Returns whether `asked` contains all NvPCRs that the policy names.
    #[must_use]
    pub fn asks_only(&self, asked: &[u32]) -> bool {
        self.policy.nvpcr.keys().all(|index| asked.contains(&index.get()))
    }

    /// Returns whether evidence is too old if it arrived `age` seconds after the challenge.
    #[must_use]
    pub fn is_too_old(&self, age: u64) -> bool {
        self.policy.freshness.max_age.is_some_and(|max| age > max)
    }
}
