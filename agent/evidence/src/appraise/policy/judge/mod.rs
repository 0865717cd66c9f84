//! The rules of a policy. Rules for single events say whether an event is explained ([`explain`]); the others
//! return reasons.

mod command_line;
mod events;
mod explain;
mod firmware;
mod freshness;
mod nvpcr;
mod os_separator;
mod pcrs;
mod runtime;
mod secure_boot;
mod unified;
mod unlogged;

pub(super) use firmware::machine_tables;
pub(super) use nvpcr::made as made_nvpcrs;
pub(super) use secure_boot::entry_digest;
pub(super) use unified::started as started_unified_image;

use super::Policy;
use super::boot::Boot;
use crate::appraise::rules::{boot_coverage, boot_log, boot_state};
use crate::appraise::{BootLogRule, Evidence, Reason, ReferenceValues, TrustTier};

/// Appraises evidence by the rules of a policy.
pub(in crate::appraise) fn judge(
    policy: &Policy,
    evidence: &Evidence<'_>,
    reference: &ReferenceValues,
) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = freshness::is_young_enough(policy, evidence).into_iter().collect();
    reasons.extend(runtime::is_allowed(policy, evidence));
    let log_rule = if policy.boot_log.required { BootLogRule::Require } else { BootLogRule::AllowAbsent };
    let of_log = boot_log::accounts_for_pcrs(evidence, log_rule, |pcr, value| {
        unlogged::weigh(policy, reference, pcr, value)
    });
    // Ignore the contents of a log that does not replay.
    let worthless = of_log.iter().any(|reason| reason.tier == TrustTier::Contraindicated);
    reasons.extend(of_log);
    if !worthless {
        reasons.extend(judge_boot(policy, evidence, reference));
    }
    reasons
}

fn judge_boot(policy: &Policy, evidence: &Evidence<'_>, reference: &ReferenceValues) -> Vec<Reason> {
    let quoted = evidence.quote.pcrs();
    let logged = evidence.boot_log.and_then(|log| Boot::read(log, evidence.measure_log, quoted).ok());
    let (boot, explained) = match logged {
        Some(boot) => {
            let explained = events::are_explained(policy, &boot, evidence, reference);
            (boot, explained)
        }
        None => {
            let mut explained = boot_state::is_accepted(evidence, reference);
            explained.extend(boot_coverage::without_log(evidence, reference));
            (Boot::unlogged(quoted), explained)
        }
    };
    let nvpcrs = nvpcr::are_allowed(policy, &boot, evidence);
    // Requirements come first, because operators should fix them first.
    let required = [secure_boot::is_on(policy, &boot), firmware::version_is_allowed(policy, &boot)];
    required.into_iter().flatten().chain(explained).chain(nvpcrs).collect()
}
