use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pawl_evidence::appraise::policy::{ImaSection, Policy};
use pawl_evidence::ima::{FileDigest, RuleSet, Rules, Signer};
use pawl_proto::Digest;
use pawl_verifier::DevicePolicy;

use super::{PolicyError, Problem};

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
