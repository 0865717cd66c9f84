use serde::Deserialize;

use super::sections::Weight;
use crate::ima::PathPattern;

/// `[ima]`
///
/// Which digests, signers and exclusions there are is for [`crate::ima::Rules`]: the reader of the policy makes
/// them of the files that it names.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ImaSection {
    /// PCR 10 must account for the log. Where the kernel finds its TPM too late, nothing ties the log to it.
    pub require_anchored: bool,
    /// How an entry weighs that no rule explains.
    pub unexplained: Weight,
    /// How a file weighs that was written to while it was measured.
    pub violations: Weight,
    /// Files with digests of files that may be run, one in a line, as `sha256sum` prints them.
    pub digest_files: Vec<String>,
    /// Certificates or public keys, PEM or DER, whose signatures allow a file.
    pub signer_files: Vec<String>,
    /// Paths of files that may have any content: `*` stays within a directory, `**` does not.
    #[serde(deserialize_with = "patterns")]
    pub exclusions: Vec<PathPattern>,
}

impl Default for ImaSection {
    fn default() -> Self {
        Self {
            require_anchored: true,
            unexplained: Weight::Refuse,
            violations: Weight::Warn,
            digest_files: Vec::new(),
            signer_files: Vec::new(),
            exclusions: Vec::new(),
        }
    }
}

fn patterns<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PathPattern>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    written.iter().map(|text| PathPattern::new(text).map_err(serde::de::Error::custom)).collect()
}
