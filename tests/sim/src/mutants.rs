//! Mutants: faults that are put back into the code on purpose. The simulator, or the test that a mutant names, has to find
//! each.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

/// `mutants.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutants {
    /// In their order.
    pub mutant: Vec<Mutant>,
}

/// A fault that can be put back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name.
    pub name: String,
    /// The number of the fault in the issue that found it.
    pub fault: Option<u8>,
    /// The promises that it may break; the simulator finds it by one of them.
    #[serde(default)]
    pub breaks: Vec<String>,
    /// The test that finds what the simulator has no part of.
    pub test: Option<UnitTest>,
    /// What it changes.
    pub edit: Vec<Edit>,
}

/// A unit test of a crate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitTest {
    /// The crate.
    pub package: String,
    /// Its name, or a part of it.
    pub name: String,
    /// It is a test of the crate's program instead.
    #[serde(default)]
    pub is_of_program: bool,
}

/// One change of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, from the folder of the workspace.
    pub file: PathBuf,
    /// The text, which the file has exactly once.
    pub find: String,
    /// What takes its place.
    pub replace: String,
}

/// Why a mutant cannot be put in.
#[derive(Debug, thiserror::Error)]
pub enum MutantError {
    /// The list cannot be read.
    #[error("{}: {error}", .path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        error: toml::de::Error,
    },
    /// A file cannot be read or written.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        error: io::Error,
    },
    /// The text is not there, or there more than once: the code has changed since the mutant was written.
    #[error("mutant {name}: {} has the text {count} times; change the mutant with the code", .file.display())]
    Text {
        /// The mutant.
        name: String,
        /// The file.
        file: PathBuf,
        /// How often it has the text.
        count: usize,
    },
}

impl Mutants {
    /// Reads the list of a workspace.
    ///
    /// # Errors
    /// [`MutantError`]
    pub fn of(workspace: &Path) -> Result<Self, MutantError> {
        let path = workspace.join("tests/sim/mutants.toml");
        toml::from_str(&read(&path)?).map_err(|error| MutantError::List { path, error })
    }
}

impl Mutant {
    /// Returns what is built for it: whether that is tests, and the folder of the first crate that it changes.
    #[must_use]
    pub fn builds(&self) -> (bool, PathBuf) {
        let file = self.edit.first().map(|edit| edit.file.components());
        (
            self.test.is_some(),
            file.into_iter().flatten().take_while(|part| part.as_os_str() != "src").collect(),
        )
    }

    /// Returns the files that it changes, with their new contents.
    ///
    /// # Errors
    /// [`MutantError`]
    pub fn files(&self, workspace: &Path) -> Result<Vec<(PathBuf, String)>, MutantError> {
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for Edit { file, find, replace } in &self.edit {
            let known =
                files.iter().position(|(path, _)| path == file).map(|position| files.remove(position));
            let text = known.map_or_else(|| read(&workspace.join(file)), |(_, text)| Ok(text))?;
            let count = text.matches(find.as_str()).count();
            if count != 1 {
                return Err(MutantError::Text { name: self.name.clone(), file: file.clone(), count });
            }
            files.push((file.clone(), text.replacen(find.as_str(), replace, 1)));
        }
        Ok(files)
    }
}

fn read(path: &Path) -> Result<String, MutantError> {
    fs::read_to_string(path).map_err(|error| MutantError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::promises::Promise;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn each_mutants_text_stands_in_its_file_exactly_once() {
        let workspace = workspace();
        for mutant in Mutants::of(&workspace).unwrap().mutant {
            let files = mutant.files(&workspace).unwrap_or_else(|error| panic!("{error}"));
            assert!(!files.is_empty(), "{} changes nothing", mutant.name);
        }
    }

    #[test]
    fn each_mutant_says_what_finds_it() {
        let promises: BTreeSet<String> = Promise::ALL.iter().map(|promise| format!("{promise:?}")).collect();
        let mut names = BTreeSet::new();
        for Mutant { name, breaks, test, .. } in Mutants::of(&workspace()).unwrap().mutant {
            assert!(names.insert(name.clone()), "two mutants have the name {name}");
            assert!(
                breaks.iter().all(|promise| promises.contains(promise)),
                "{name} breaks an unknown promise"
            );
            assert_eq!(breaks.is_empty(), test.is_some(), "{name} is found by promises or by a test");
        }
    }
}
