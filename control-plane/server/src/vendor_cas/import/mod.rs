//! Imports vendors' certificates and revocation lists into the vendor directory, after checking each.

mod archive;
mod source;
mod write;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use pawl_evidence::endorsement::{VendorCa, VendorCas, VendorList};

use super::read_files;
use super::view::{Duplicate, Entry, Imported, Refused};
pub use source::SourceError;
use source::SourceFile;
pub use write::WriteError;
use write::{NewFile, write_files};
use write::{ca_file_name, list_file_name, to_pem};

/// Imports the sources into the directory, and creates it if it is missing.
///
/// `progress` is called with the number of checked files and of all files. `now` is in Unix seconds.
///
/// # Errors
/// [`ImportError`] when a source or the directory cannot be read, or the directory cannot be written. A file that
/// cannot be imported is not an error: [`Imported::refused`] lists it.
pub fn import(
    directory: &Path,
    sources: &[PathBuf],
    now: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Imported, ImportError> {
    let existing = match directory.exists() {
        true => read_files(directory)?,
        false => Vec::new(),
    };
    let taken = existing.iter().map(|(name, _)| name.clone()).collect();
    let mut import = Import { now, taken, files: Vec::new(), report: Imported::into(directory) };
    let (labels, pool) = import.pool(existing, source::read(sources)?);
    import.add_cas(&labels, &pool, progress);
    import.add_lists(&labels, &pool);
    for skipped in pool.skipped() {
        if let Some(Origin::Source(label)) = origin(&labels, &skipped.file) {
            import.refuse(label, &skipped.reason, None);
        }
    }
    write_files(directory, &import.files)?;
    Ok(import.report)
}

/// The origin of a file of the pool.
#[derive(Debug)]
enum Origin {
    /// The directory, under this name.
    Directory(String),
    /// A source, with this label.
    Source(String),
}

struct Import {
    now: u64,
    /// The names in the directory, and those of the imported files.
    taken: HashSet<String>,
    files: Vec<NewFile>,
    report: Imported,
}

impl Import {
    /// Reads the directory and the sources as one store, whose files are named by number: an intermediate may have its root
    /// in either.
    fn pool(
        &mut self,
        existing: Vec<(String, Vec<u8>)>,
        sources: Vec<SourceFile>,
    ) -> (Vec<Origin>, VendorCas) {
        let (mut labels, mut files) = (Vec::new(), Vec::new());
        for (name, contents) in existing {
            files.push((labels.len().to_string(), contents));
            labels.push(Origin::Directory(name));
        }
        for SourceFile { label, contents } in sources {
            match contents {
                Ok(contents) => {
                    files.push((labels.len().to_string(), contents));
                    labels.push(Origin::Source(label));
                }
                Err(reason) => self.refuse(&label, &reason, None),
            }
        }
        (labels, VendorCas::from_files(files))
    }

    fn add_cas(&mut self, labels: &[Origin], pool: &VendorCas, progress: &mut dyn FnMut(usize, usize)) {
        let total = pool.cas().count();
        let mut known: HashMap<[u8; 32], String> = HashMap::new();
        for (file, ca, _) in pool.cas() {
            if let Some(Origin::Directory(name)) = origin(labels, file) {
                known.insert(ca.sha256(), name.clone());
            }
        }
        for (done, (file, ca, revoked_by)) in pool.cas().enumerate() {
            progress(done, total);
            let Some(Origin::Source(label)) = origin(labels, file) else { continue };
            if let Some(name) = known.get(&ca.sha256()) {
                self.report.duplicates.push(Duplicate { source: label.clone(), file: name.clone() });
                continue;
            }
            if let Some(issuer) = revoked_by {
                self.refuse(label, &format!("it was revoked by {issuer}, its issuer"), Some(ca));
                continue;
            }
            let rank = match ca.check(pool.cas().map(|(_, ca, _)| ca), self.now) {
                Ok(rank) => rank,
                Err(problem) => {
                    self.refuse(label, &problem.to_string(), Some(ca));
                    continue;
                }
            };
            let name = ca_file_name(ca);
            if !self.taken.insert(name.clone()) {
                self.refuse(label, &format!("the directory has another file of the name {name}"), Some(ca));
                continue;
            }
            known.insert(ca.sha256(), name.clone());
            let contents = to_pem(ca.der());
            self.report.imported.push(Entry::of_ca(&name, Some(label), ca, Ok(rank), None));
            self.files.push(NewFile { name, contents, replaces: false });
        }
    }

    /// Imports the newest list of each scope; the pool has the newest first.
    fn add_lists(&mut self, labels: &[Origin], pool: &VendorCas) {
        let mut seen: HashMap<[u8; 32], (String, VendorList)> = HashMap::new();
        for (file, list) in pool.lists() {
            let label = match origin(labels, file) {
                Some(Origin::Source(label)) => label,
                Some(Origin::Directory(name)) => {
                    seen.entry(list.scope()).or_insert_with(|| (name.clone(), list.clone()));
                    continue;
                }
                None => continue,
            };
            if let Err(problem) = list.check(pool.cas().map(|(_, ca, _)| ca)) {
                self.refuse(label, &problem.to_string(), None);
                continue;
            }
            if let Some((name, newer)) = seen.get(&list.scope()) {
                if newer.der() == list.der() {
                    self.report.duplicates.push(Duplicate { source: label.clone(), file: name.clone() });
                } else {
                    self.refuse(label, &format!("{name} is as new, or newer"), None);
                }
                continue;
            }
            let name = list_file_name(list);
            let is_its_own =
                |file: &str| matches!(origin(labels, file), Some(Origin::Directory(own)) if *own == name);
            let replaces =
                pool.lists().any(|(file, older)| is_its_own(file) && older.scope() == list.scope());
            if !self.taken.insert(name.clone()) && !replaces {
                self.refuse(label, &format!("the directory has another file of the name {name}"), None);
                continue;
            }
            seen.insert(list.scope(), (name.clone(), list.clone()));
            self.report.imported.push(Entry::of_list(&name, Some(label), list, Ok(()), self.now));
            self.files.push(NewFile { name, contents: list.der().to_vec(), replaces });
        }
    }

    fn refuse(&mut self, source: &str, reason: &str, ca: Option<&VendorCa>) {
        self.report.refused.push(Refused {
            source: source.to_owned(),
            reason: reason.to_owned(),
            vendor: ca.and_then(VendorCa::organization),
            name: ca.map(VendorCa::name),
        });
    }
}

fn origin<'a>(labels: &'a [Origin], file: &str) -> Option<&'a Origin> {
    labels.get(file.parse::<usize>().ok()?)
}

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] super::VendorCasError),
    /// The directory cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

#[cfg(test)]
mod tests;
