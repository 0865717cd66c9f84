use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::boot_image::DigestSet;
use crate::eventlog::facts::EventFact;
use crate::tpm::TaggedDigest;

/// The replaced events, by their place in the log, with their new digests.
#[derive(Debug, Default)]
pub(super) struct Replacements<'a>(BTreeMap<usize, Cow<'a, DigestSet>>);

impl<'a> Replacements<'a> {
    pub(super) fn by(mut self, event: &EventFact<'_>, digests: &'a DigestSet) -> Self {
        self.0.insert(event.number, Cow::Borrowed(digests));
        self
    }

    pub(super) fn by_content(mut self, event: &EventFact<'_>, content: &[u8]) -> Self {
        self.0.insert(event.number, Cow::Owned(DigestSet::of(content)));
        self
    }

    /// Returns the new digest for an event of the present log.
    pub(super) fn digest(&self, number: usize, present: &TaggedDigest) -> TaggedDigest {
        let replaced = self.0.get(&number).and_then(|digests| digests.get(present.algorithm()));
        *replaced.unwrap_or(present)
    }
}
