//! Policies: files in which an operator says what devices must be and run.
//!
//! Each device is judged by the file that is named after it, else by `default.toml`, and where there is neither by
//! the exact states that were accepted for it. The files are read at the start and on SIGHUP, all or none of
//! them: a directory with a broken file is not half in force.

mod render;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use pawl_evidence::appraise::policy::{ImaSection, Policy};
use pawl_evidence::ima::{FileDigest, FileDigestError, RuleSet, Rules, Signer, SignerError};
use pawl_proto::{DeviceId, Digest};
use pawl_verifier::DevicePolicy;

use crate::config::PolicyConfig;

pub(crate) use render::{heading, render, render_ima};
pub(crate) use words::{remedy, sentences};

/// The policies in force.
pub struct Policies {
    config: PolicyConfig,
    loaded: RwLock<Arc<Directory>>,
}

impl Policies {
    /// Reads them.
    ///
    /// # Errors
    /// [`PolicyError`] names the file, and the key where there is one.
    pub fn open(config: PolicyConfig) -> Result<Self, PolicyError> {
        let loaded = RwLock::new(Arc::new(Directory::read(&config)?));
        Ok(Self { config, loaded })
    }

    /// Reads them again. Those that were in force stay so when one of the files is broken. Gives how many there
    /// are.
    ///
    /// # Errors
    /// [`PolicyError`] names the file, and the key where there is one.
    pub fn reload(&self) -> Result<usize, PolicyError> {
        let read = Directory::read(&self.config)?;
        let count = read.len();
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        Ok(count)
    }

    /// The policy of a device; none where exact states are compared.
    #[must_use]
    pub fn of(&self, device: DeviceId) -> Option<Arc<DevicePolicy>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).of(device)
    }
}

/// The file for devices that have none of their own.
const DEFAULT: &str = "default.toml";

/// A directory of policies, as it was read.
#[derive(Default)]
pub(crate) struct Directory {
    devices: BTreeMap<DeviceId, Arc<DevicePolicy>>,
    default: Option<Arc<DevicePolicy>>,
}

impl Directory {
    /// Reads every file whose name ends in `.toml`.
    pub(crate) fn read(config: &PolicyConfig) -> Result<Self, PolicyError> {
        let path = config.directory();
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound && config.may_be_missing() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(PolicyError::new(path, error)),
        };
        let mut directory = Self::default();
        for entry in entries {
            let file = entry.map_err(|error| PolicyError::new(path, error))?.path();
            if file.extension().is_some_and(|extension| extension == "toml") {
                directory.add(&file)?;
            }
        }
        Ok(directory)
    }

    fn add(&mut self, file: &Path) -> Result<(), PolicyError> {
        if file.file_name().is_some_and(|name| name == DEFAULT) {
            self.default = Some(Arc::new(read(file)?));
            return Ok(());
        }
        let name = file.file_stem().and_then(|name| name.to_str());
        let device = name.and_then(|name| name.parse().ok());
        let device = device.ok_or_else(|| PolicyError::new(file, Problem::Name))?;
        self.devices.insert(device, Arc::new(read(file)?));
        Ok(())
    }

    /// The policy of a device.
    fn of(&self, device: DeviceId) -> Option<Arc<DevicePolicy>> {
        self.devices.get(&device).or(self.default.as_ref()).cloned()
    }

    /// All of them, by the names of their files.
    pub(crate) fn all(&self) -> impl Iterator<Item = &DevicePolicy> {
        self.devices.values().chain(&self.default).map(Arc::as_ref)
    }

    fn len(&self) -> usize {
        self.all().count()
    }
}

/// What people write by hand.
const POLICY_MAX_LEN: u64 = 1024 * 1024;
/// Some hundred thousand digests: every file of some distributions.
const DIGESTS_MAX_LEN: u64 = 64 * 1024 * 1024;
const SIGNER_MAX_LEN: u64 = 64 * 1024;

/// Reads a policy and the files that it names, which stand beside it unless their paths say otherwise.
///
/// # Errors
/// [`PolicyError`] names the file, and the key where there is one.
pub fn read(file: &Path) -> Result<DevicePolicy, PolicyError> {
    let fail = |problem| PolicyError::new(file, problem);
    let text = String::from_utf8(load(file, POLICY_MAX_LEN)?).map_err(|_| fail(Problem::Text))?;
    let policy: Policy = toml::from_str(&text).map_err(|error| fail(Problem::Parse(Box::new(error))))?;
    let mut digests = vec![Digest::of(text.as_bytes())];
    let ima = match &policy.ima {
        Some(section) => Some(rules(file, section, &mut digests)?),
        None => None,
    };
    let digest = match digests.as_slice() {
        [alone] => *alone,
        several => Digest::of(&several.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>()),
    };
    Ok(DevicePolicy { file: file.to_owned(), digest, policy: Arc::new(policy), ima })
}

/// The rules on files, out of the lists that the section names; adds the digests of those.
fn rules(file: &Path, section: &ImaSection, digests: &mut Vec<Digest>) -> Result<Rules, PolicyError> {
    let mut set =
        RuleSet { digests: BTreeSet::new(), signers: Vec::new(), exclusions: section.exclusions.clone() };
    for name in &section.digest_files {
        let list = beside(file, name);
        let bytes = load(&list, DIGESTS_MAX_LEN)?;
        digests.push(Digest::of(&bytes));
        let text = String::from_utf8(bytes).map_err(|_| PolicyError::new(&list, Problem::Text))?;
        for (line, written) in (1..).zip(text.lines()) {
            let read = read_digest(written)
                .map_err(|error| PolicyError::new(&list, Problem::Digest { line, error }))?;
            set.digests.extend(read);
        }
    }
    for name in &section.signer_files {
        let certificate = beside(file, name);
        let bytes = load(&certificate, SIGNER_MAX_LEN)?;
        digests.push(Digest::of(&bytes));
        let signer =
            Signer::read(name.clone(), &bytes).map_err(|error| PolicyError::new(&certificate, error))?;
        set.signers.push(signer);
    }
    Ok(Rules::new(set))
}

/// A line as `sha256sum` prints it: the digest comes first. An empty one and one after `#` say nothing.
fn read_digest(line: &str) -> Result<Option<FileDigest>, pawl_evidence::ima::FileDigestError> {
    match line.split_whitespace().next() {
        None => Ok(None),
        Some(word) if word.starts_with('#') => Ok(None),
        // In front of names with a backslash in them, sha256sum writes another.
        Some(word) => word.trim_start_matches('\\').parse().map(Some),
    }
}

fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(name)
}

fn load(file: &Path, limit: u64) -> Result<Vec<u8>, PolicyError> {
    let fail = |error: std::io::Error| PolicyError::new(file, error);
    let mut bytes = Vec::new();
    let read = File::open(file).map_err(fail)?.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    let length = u64::try_from(read.map_err(fail)?).unwrap_or(u64::MAX);
    if length > limit { Err(PolicyError::new(file, Problem::TooLong(limit))) } else { Ok(bytes) }
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct PolicyError {
    /// The file, or the directory.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// It is larger than any that people write.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// Not UTF-8.
    #[error("it is not a text in UTF-8")]
    Text,
    /// Not TOML, or with unknown, missing or mistyped keys.
    #[error("{0}")]
    Parse(Box<toml::de::Error>),
    /// Its name is none of a policy.
    #[error("name it default.toml, or after a device as `pawl-control-plane devices` lists them")]
    Name,
    /// A list of digests has a line that is none.
    #[error("line {line}: {error}")]
    Digest {
        /// Which.
        line: usize,
        /// Why.
        error: FileDigestError,
    },
    /// A signer's certificate cannot be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl PolicyError {
    fn new(file: &std::path::Path, problem: impl Into<Problem>) -> Self {
        Self { file: file.to_owned(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests;
