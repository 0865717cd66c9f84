//! The JSON output of `vendor-cas`.

use std::path::{Path, PathBuf};

use pawl_evidence::endorsement::{CaProblem, CaRank, ListProblem, VendorCa, VendorCas, VendorList};
use serde::{Deserialize, Serialize};

/// `vendor-cas import`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// The vendor directory.
    pub directory: PathBuf,
    /// The imported certificates and lists.
    pub imported: Vec<Entry>,
    /// Sources that the directory already had, or that were given twice.
    pub duplicates: Vec<Duplicate>,
    /// The refused sources.
    pub refused: Vec<Refused>,
}

/// `vendor-cas list`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// The vendor directory.
    pub directory: PathBuf,
    /// Its certificates and lists.
    pub entries: Vec<Entry>,
    /// Its unused files.
    pub skipped: Vec<Refused>,
}

/// A CA's certificate or revocation list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its file in the vendor directory.
    pub file: String,
    /// The source that it was imported from.
    pub source: Option<String>,
    /// Its kind.
    pub kind: EntryKind,
    /// The organization of the certificate's subject.
    pub vendor: Option<String>,
    /// The common name of the CA.
    pub name: String,
    /// The common name of its issuer.
    pub issuer: String,
    /// The start of a certificate's validity, or when a list was published; Unix seconds.
    pub not_before: i64,
    /// The end of a certificate's validity, or when the next list is due, if ever; Unix seconds.
    pub not_after: Option<i64>,
    /// SHA-256 of a certificate, hexadecimal.
    pub sha256: Option<String>,
    /// How many certificates a list revokes.
    pub revokes: Option<usize>,
    /// Remarks for the operator.
    pub notes: Vec<String>,
}

/// The kind of an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A CA's certificate that it signed itself.
    Root,
    /// A CA's certificate that another CA signed.
    Intermediate,
    /// A revocation list.
    RevocationList,
}

/// A source that the directory already had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The source.
    pub source: String,
    /// The file with the same content.
    pub file: String,
}

/// A refused source or an unused file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The source or file.
    pub source: String,
    /// Why it is refused.
    pub reason: String,
    /// The organization of the certificate's subject, if it is a CA's.
    pub vendor: Option<String>,
    /// The common name of that CA.
    pub name: Option<String>,
}

impl Imported {
    pub(super) fn into(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            imported: Vec::new(),
            duplicates: Vec::new(),
            refused: Vec::new(),
        }
    }
}

impl Listed {
    pub(super) fn of(directory: &Path, cas: &VendorCas, now: u64) -> Self {
        let known = || cas.cas().map(|(_, ca, _)| ca);
        let certificates = cas
            .cas()
            .map(|(file, ca, revoked_by)| Entry::of_ca(file, None, ca, ca.check(known(), now), revoked_by));
        let lists =
            cas.lists().map(|(file, list)| Entry::of_list(file, None, list, list.check(known()), now));
        let mut entries: Vec<Entry> = certificates.chain(lists).collect();
        entries.sort_by(|one, other| {
            (&one.vendor, &one.name, &one.file).cmp(&(&other.vendor, &other.name, &other.file))
        });
        let skipped = cas.skipped().iter().map(|skipped| Refused {
            source: skipped.file.clone(),
            reason: skipped.reason.clone(),
            vendor: None,
            name: None,
        });
        Self { directory: directory.to_owned(), entries, skipped: skipped.collect() }
    }
}

impl Entry {
    pub(super) fn of_ca(
        file: &str,
        source: Option<&str>,
        ca: &VendorCa,
        checked: Result<CaRank, CaProblem>,
        revoked_by: Option<&str>,
    ) -> Self {
        let (not_before, not_after) = ca.validity();
        let mut notes: Vec<String> =
            revoked_by.map(|issuer| format!("revoked by {issuer}")).into_iter().collect();
        match checked {
            Ok(CaRank::Root | CaRank::Intermediate) => {}
            Ok(CaRank::UnknownIssuer) => notes.push(format!("{} is not in the directory", ca.issuer())),
            Err(problem) => notes.push(problem.to_string()),
        }
        Self {
            file: file.to_owned(),
            source: source.map(str::to_owned),
            kind: if ca.is_self_issued() { EntryKind::Root } else { EntryKind::Intermediate },
            vendor: ca.organization(),
            name: ca.name(),
            issuer: ca.issuer(),
            not_before,
            not_after: Some(not_after),
            sha256: Some(hex::encode(ca.sha256())),
            revokes: None,
            notes,
        }
    }

    pub(super) fn of_list(
        file: &str,
        source: Option<&str>,
        list: &VendorList,
        checked: Result<(), ListProblem>,
        now: u64,
    ) -> Self {
        let mut notes: Vec<String> = checked.err().map(|problem| problem.to_string()).into_iter().collect();
        if list.is_stale_at(now) {
            notes.push("out of date: later revocations are unknown".to_owned());
        }
        Self {
            file: file.to_owned(),
            source: source.map(str::to_owned),
            kind: EntryKind::RevocationList,
            vendor: None,
            name: list.issuer(),
            issuer: list.issuer(),
            not_before: list.this_update(),
            not_after: list.next_update(),
            sha256: None,
            revokes: Some(list.len()),
            notes,
        }
    }
}
