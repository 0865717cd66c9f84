//! What a policy has to say about the files that a device has measured.
//!
//! [`Rules`] explain entries: by a digest that is allowed, by a signature, or by a path that is left out. What they
//! do not explain is an [`Offender`] among the [`Findings`]. Whether the log is anchored, and what violations are
//! worth, is for the appraisal to say: it is known without looking at the entries again.

mod findings;
mod offender;
mod pattern;
mod signature;
mod signer;

use std::collections::BTreeSet;

pub use findings::Findings;
pub use offender::{Offender, Why};
pub use pattern::{PathPattern, PatternError};
pub use signer::{Signer, SignerError};

use super::FileDigest;
use crate::tpm::sha256;

/// What explains an entry. Each of these is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// Digests of files, and of other things that the kernel measures.
    pub digests: BTreeSet<FileDigest>,
    /// Who may sign files (`security.ima`).
    pub signers: Vec<Signer>,
    /// Paths that are not looked at. Root can put anything there, and can mount anything there.
    pub exclusions: Vec<PathPattern>,
}

/// A [`RuleSet`] with its identity, by which findings know the rules under which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    set: RuleSet,
    id: [u8; 32],
}

impl Rules {
    /// Takes a set of rules.
    pub fn new(set: RuleSet) -> Self {
        let id = identify(&set);
        Self { set, id }
    }

    /// SHA-256 over the rules: two of the same identity judge every log alike.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// The rules themselves.
    pub fn set(&self) -> &RuleSet {
        &self.set
    }
}

fn identify(set: &RuleSet) -> [u8; 32] {
    let mut text = String::from("pawl ima rules 1\n");
    let mut line = |kind: &str, value: &str| {
        // The length in front: no value can pass for two.
        text.push_str(&format!("{kind} {} {value}\n", value.len()));
    };
    for digest in &set.digests {
        line("digest", &digest.to_string());
    }
    for signer in &set.signers {
        line("signer", &signer.identity());
    }
    for exclusion in &set.exclusions {
        line("exclude", exclusion.as_str());
    }
    sha256(&[text.as_bytes()])
}
