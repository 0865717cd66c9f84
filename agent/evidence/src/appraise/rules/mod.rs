//! The rules of an appraisal.

mod boot_log;
mod boot_state;
mod freshness;
mod runtime;

use super::evidence::Evidence;
use super::reason::{Area, Reason, Verdict};
use super::reference::ReferenceValues;

/// Gives at least one reason when the rule applies, an affirming one included.
pub(super) type Rule = fn(&Evidence<'_>, &ReferenceValues) -> Vec<Reason>;

pub(super) const ALL: &[Rule] =
    &[boot_state::is_accepted, boot_log::accounts_for_pcrs, runtime::is_measured, freshness::never_goes_back];

fn reason(area: Area, verdict: Verdict, text: impl Into<String>) -> Reason {
    Reason { area, verdict, text: text.into() }
}
