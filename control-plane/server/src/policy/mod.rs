//! Policies: the operator's files of rules on what devices must run.
//!
//! Each device is appraised by the file that is named after it, otherwise by `default.toml`, otherwise by the exact boot
//! states that were accepted for it. The files are read at the start and at SIGHUP, all or none of them: with one broken
//! file, the loaded policies stay in force.

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
    /// Reads the policies.
    ///
    /// # Errors
    /// [`PolicyError`] names the file and, if one key is wrong, the key.
    pub fn open(config: PolicyConfig) -> Result<Self, PolicyError> {
        let loaded = RwLock::new(Arc::new(Directory::read(&config)?));
        Ok(Self { config, loaded })
    }

    /// Reads the policies again, and returns how many there are. When a file is broken, the loaded policies stay in force.
    ///
    /// # Errors
    /// [`PolicyError`] names the file and, if one key is wrong, the key.
    pub fn reload(&self) -> Result<usize, PolicyError> {
        let read = Directory::read(&self.config)?;
        let count = read.len();
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        Ok(count)
    }

    /// Returns the policy of a device; none if exact states are compared.
    #[must_use]
    pub fn of(&self, device: DeviceId) -> Option<Arc<DevicePolicy>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).of(device)
    }
}

/// The file for devices without a file of their own.
const DEFAULT: &str = "default.toml";

/// The policies of a directory.
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

    /// Returns the policy of a device.
    fn of(&self, device: DeviceId) -> Option<Arc<DevicePolicy>> {
        self.devices.get(&device).or(self.default.as_ref()).cloned()
    }

    /// Returns all policies, by the names of their files.
    pub(crate) fn all(&self) -> impl Iterator<Item = &DevicePolicy> {
        self.devices.values().chain(&self.default).map(Arc::as_ref)
    }

    fn len(&self) -> usize {
        self.all().count()
    }
}

/// The largest policy, which people write by hand.
const POLICY_MAX_LEN: u64 = 1024 * 1024;
/// The largest list of digests: some hundred thousand files, as many as some distributions have.
const DIGESTS_MAX_LEN: u64 = 64 * 1024 * 1024;
const SIGNER_MAX_LEN: u64 = 64 * 1024;

/// Reads a policy and the files that it names, whose paths are relative to its directory.
///
/// # Errors
/// [`PolicyError`] names the file and, if one key is wrong, the key.
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

/// Reads the lists that an IMA section names, and adds their digests to `digests`.
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

/// Parses a line as `sha256sum` prints it, with the digest first. Empty lines and lines with `#` are skipped.
fn read_digest(line: &str) -> Result<Option<FileDigest>, pawl_evidence::ima::FileDigestError> {
    match line.split_whitespace().next() {
        None => Ok(None),
        Some(word) if word.starts_with('#') => Ok(None),
        // sha256sum puts a backslash before the digest of a name that contains one.
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

/// Why a policy cannot be used.
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
    /// It is too large.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// Not UTF-8.
    #[error("it is not valid UTF-8")]
    Text,
    /// Not TOML, or with unknown, missing or mistyped keys.
    #[error("{0}")]
    Parse(Box<toml::de::Error>),
    /// Its name is neither `default.toml` nor that of a device.
    #[error("name it default.toml, or after a device as `pawl-control-plane devices` lists them")]
    Name,
    /// A line of a list of digests is malformed.
    #[error("line {line}: {error}")]
    Digest {
        /// The line's number.
        line: usize,
        /// What is wrong with it.
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
