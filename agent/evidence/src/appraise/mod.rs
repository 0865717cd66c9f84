//! The judgement on a device's evidence.
//!
//! Every rule looks at all the evidence and gives its reasons; the worst of them is the result. What no rule
//! and no reference value provides for is refused. A rule is a function in `rules` and an entry in its list.

mod evidence;
mod reason;
mod reference;
mod rules;

pub use evidence::{BootLog, Evidence, HighWater};
pub use reason::{Appraisal, Area, Reason, Verdict};
pub use reference::{BootLogRule, BootState, ReferenceValues};

/// Appraises evidence against reference values.
pub fn appraise(evidence: &Evidence<'_>, reference: &ReferenceValues) -> Appraisal {
    Appraisal::new(rules::ALL.iter().flat_map(|rule| rule(evidence, reference)).collect())
}
