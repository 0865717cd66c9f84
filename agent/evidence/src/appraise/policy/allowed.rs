use std::collections::HashSet;
use std::ops::Deref;

use serde::de;
use serde::de::{Deserialize, Deserializer};

use crate::ima::{FileDigest, Hashed};
use crate::tpm::{HashAlgorithm, TaggedDigest};

/// An allowed digest: SHA-256, or SHA-384 for events of that bank.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// The digest that appraisal compares.
    pub digest: TaggedDigest,
    /// The operator's name for it, for display only.
    pub name: String,
}

/// A list of allowed digests, each once, in the written order. Lookups take constant time, because a log can be
/// as long as the list.
#[derive(Debug, Clone, Default)]
pub struct AllowedList {
    entries: Vec<Allowed>,
    digests: HashSet<TaggedDigest>,
}

impl AllowedList {
    /// Returns whether an entry allows this digest.
    pub fn allows(&self, digest: &TaggedDigest) -> bool {
        self.digests.contains(digest)
    }

    /// Adds an entry, unless an entry with the same digest exists.
    pub fn push(&mut self, allowed: Allowed) {
        if self.digests.insert(allowed.digest) {
            self.entries.push(allowed);
        }
    }

    /// Removes the last entry.
    pub fn pop(&mut self) -> Option<Allowed> {
        let last = self.entries.pop()?;
        self.digests.remove(&last.digest);
        Some(last)
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Deref for AllowedList {
    type Target = [Allowed];

    fn deref(&self) -> &[Allowed] {
        &self.entries
    }
}

impl Extend<Allowed> for AllowedList {
    fn extend<T: IntoIterator<Item = Allowed>>(&mut self, entries: T) {
        entries.into_iter().for_each(|entry| self.push(entry));
    }
}

impl FromIterator<Allowed> for AllowedList {
    fn from_iter<T: IntoIterator<Item = Allowed>>(entries: T) -> Self {
        let mut list = Self::default();
        list.extend(entries);
        list
    }
}

impl PartialEq for AllowedList {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<'de> Deserialize<'de> for AllowedList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Allowed>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "Allowed", deny_unknown_fields)]
        struct AllowedToml {
            digest: String,
            #[serde(default)]
            name: String,
        }
        let written = AllowedToml::deserialize(deserializer)?;
        let digest = digest(&written.digest).map_err(de::Error::custom)?;
        Ok(Self { digest, name: written.name })
    }
}

/// Parses a SHA-256 or SHA-384 digest as `sha256sum` and `sha384sum` print it, or with `sha256:` or `sha384:` in
/// front.
pub(super) fn digest(text: &str) -> Result<TaggedDigest, String> {
    let malformed =
        || format!("{text:?} is not a digest: give 64 hexadecimal digits for SHA-256, or 96 for SHA-384");
    let read: FileDigest = text.trim().to_ascii_lowercase().parse().map_err(|_| malformed())?;
    let usable = [HashAlgorithm::Sha256, HashAlgorithm::Sha384];
    let plain = read.of == Hashed::Contents && usable.contains(&read.digest.algorithm());
    if plain { Ok(read.digest) } else { Err(malformed()) }
}
