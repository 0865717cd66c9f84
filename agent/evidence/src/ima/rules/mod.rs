//! A policy's rules for the files that a device measured.
//!
//! [`Rules`] explain an entry by an allowed digest, a signature, or an excluded path. Entries without an
//! explanation are [`Offender`]s in the [`Findings`]. The appraisal weighs violations and whether the log is
//! anchored, which needs no second pass over the entries.

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

/// The rules. Any one of them suffices to explain an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// Digests of files and other measured objects.
    pub digests: BTreeSet<FileDigest>,
    /// Who may sign files (`security.ima`).
    pub signers: Vec<Signer>,
    /// Paths that are not checked. Root can put or mount anything there.
    pub exclusions: Vec<PathPattern>,
}

/// A [`RuleSet`] with its id, by which findings identify the rules that made them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    set: RuleSet,
    id: [u8; 32],
}

impl Rules {
    /// Computes the id of a set of rules.
    pub fn new(set: RuleSet) -> Self {
        let id = identify(&set);
        Self { set, id }
    }

    /// Returns the SHA-256 of the rules: two sets with the same id judge every log alike.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// Returns the set of rules.
    pub fn set(&self) -> &RuleSet {
        &self.set
    }
}

fn identify(set: &RuleSet) -> [u8; 32] {
    let mut text = String::from("pawl ima rules 1\n");
    let mut line = |kind: &str, value: &str| {
        // The length prevents two values from reading as another pair.
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
