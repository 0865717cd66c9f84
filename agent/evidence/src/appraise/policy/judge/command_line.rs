use std::collections::BTreeSet;

use super::explain::Ruling;
use crate::appraise::policy::pattern::only_literally;
use crate::appraise::policy::{Allowed, Policy};
use crate::appraise::{Area, BootCoverage, Reason, Verdict};
use crate::eventlog::EventFact;
use crate::tpm::Digest;

const COMMAND_LINES: &str = "boot.command-lines";

/// A command line of which the log has the text.
pub(super) fn text(policy: &Policy, text: &str) -> Ruling {
    if policy.boot.command_lines.iter().any(|pattern| pattern.fits(text)) {
        return Ruling::Explained;
    }
    Ruling::refused(
        COMMAND_LINES,
        format!("the kernel's command line fits no pattern: {}{}", text.escape_debug(), remark(text)),
    )
}

/// What an operator has to know of a text that only a pattern without wildcards can fit.
pub(super) fn remark(text: &str) -> String {
    only_literally(text)
        .map(|reason| format!(" ({reason}; a pattern without wildcards can)"))
        .unwrap_or_default()
}

/// One of which the log has the digest alone: a pattern that fits one text alone can be hashed and compared.
pub(super) fn digest(policy: &Policy, event: &EventFact<'_>, digest: &Digest) -> Ruling {
    let texts = policy.boot.command_lines.iter().filter_map(|pattern| pattern.only_text());
    let listed = Allowed::find(&policy.boot.command_line_digests, digest).is_some();
    if listed || texts.into_iter().any(|text| event.is_command_line(&text)) {
        return Ruling::Explained;
    }
    let text = format!(
        "the kernel's command line, of which the log has no text, is none of those in the lists: sha256 {digest}"
    );
    Ruling::refused(COMMAND_LINES, text)
}

/// Where the policy knows command lines, one was measured into the PCR into which this boot chain measures it, and
/// that PCR is judged. Otherwise a log that calls its event something else would leave it out.
pub(super) fn is_measured(policy: &Policy, coverage: &BootCoverage, judged: &BTreeSet<u8>) -> Option<Reason> {
    let rules = &policy.boot;
    let known = !rules.command_lines.is_empty() || !rules.command_line_digests.is_empty();
    (known && !coverage.has_command_line_in(judged)).then(|| {
        let text = "no command line of a kernel was measured into a PCR that is judged";
        Reason::new(COMMAND_LINES, Area::Boot, Verdict::Contraindicated, text)
    })
}
