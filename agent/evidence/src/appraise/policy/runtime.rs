use serde::Deserialize;

use super::sections::Weight;
use crate::ima::PathPattern;

/// `[ima]`
///
/// The allowed digests, signers and exclusions are in [`crate::ima::Rules`], which the policy's reader builds
/// from the files named here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ImaSection {
    /// Whether PCR 10 must confirm the log. If the kernel finds its TPM too late, nothing ties the log to the
    /// TPM.
    pub require_anchored: bool,
    /// The weight of an entry that no rule explains.
    pub unexplained: Weight,
    /// The weight of a file that was written to while it was measured.
    pub violations: Weight,
    /// Files with the digests of allowed files, one per line, as `sha256sum` prints them.
    pub digest_files: Vec<String>,
    /// Certificates or public keys, PEM or DER, whose signatures allow a file.
    pub signer_files: Vec<String>,
    /// Paths of files that may have any content: `*` stays within a directory, `**` crosses directories.
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
