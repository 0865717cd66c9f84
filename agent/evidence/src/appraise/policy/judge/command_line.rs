use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};

use super::explain::Ruling;
use crate::appraise::policy::pattern::{PatternIndex, only_literally};
use crate::appraise::policy::{AllowedList, CommandLinePattern, Policy};
use crate::appraise::{Area, BootCoverage, Reason, TrustTier};
use crate::eventlog::command_line_digests;
use crate::tpm::TaggedDigest;

const COMMAND_LINES: &str = "boot.command-lines";

/// The rules for command lines, indexed because a log can have many command lines.
pub(super) struct CommandLines<'p> {
    patterns: PatternIndex<'p, CommandLinePattern>,
    listed: &'p AllowedList,
    /// The digests of the patterns without wildcards, in each form in which a command line is measured.
    digests: OnceCell<HashSet<TaggedDigest>>,
}

impl<'p> CommandLines<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        Self {
            patterns: PatternIndex::new(&policy.boot.command_lines),
            listed: &policy.boot.command_line_digests,
            digests: OnceCell::new(),
        }
    }

    /// Judges a command line whose text is in the log.
    pub(super) fn text(&self, text: &str) -> Ruling {
        if self.patterns.fits(text) {
            return Ruling::Explained;
        }
        Ruling::refused(
            COMMAND_LINES,
            format!("the kernel's command line fits no pattern: {}{}", text.escape_debug(), remark(text)),
        )
    }

    /// Judges a command line of which the log has only the digest. Only patterns without wildcards can be hashed
    /// and compared.
    pub(super) fn digest(&self, digest: &TaggedDigest) -> Ruling {
        let forms = |text| command_line_digests(digest.algorithm(), text);
        let digests = self.digests.get_or_init(|| self.patterns.texts().flat_map(forms).collect());
        if self.listed.allows(digest) || digests.contains(digest) {
            return Ruling::Explained;
        }
        let text = format!(
            "the kernel's command line, of which the log has no text, is none of those in the lists: {} {digest}",
            digest.algorithm()
        );
        Ruling::refused(COMMAND_LINES, text)
    }
}

/// Returns why only a pattern without wildcards can match this text, as an addition to a reason.
pub(super) fn remark(text: &str) -> String {
    only_literally(text)
        .map(|reason| format!(" ({reason}; a pattern without wildcards can)"))
        .unwrap_or_default()
}

/// If the policy has rules for command lines, checks that this boot chain measured one into a PCR that is
/// appraised. Otherwise a log could hide a command line by giving its event another type.
pub(super) fn is_measured(policy: &Policy, coverage: &BootCoverage, judged: &BTreeSet<u8>) -> Option<Reason> {
    let rules = &policy.boot;
    let known = !rules.command_lines.is_empty() || !rules.command_line_digests.is_empty();
    (known && !coverage.has_command_line_in(judged)).then(|| {
        let text = "no command line of a kernel was measured into a PCR that is judged";
        Reason::new(COMMAND_LINES, Area::Boot, TrustTier::Contraindicated, text)
    })
}
