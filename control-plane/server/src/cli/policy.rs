//! `policy`: checks, explains and learns policies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use pawl_evidence::appraise::policy::{ImaSection, Weight};
use pawl_evidence::ima::{Aggregate, AsciiLog, BinaryLog, Entry, ImaError, Outcome};
use pawl_evidence::tpm::{HashAlgorithm, TaggedDigest};
use pawl_verifier::DevicePolicy;
use pawl_verifier::report::bank_hash;

use super::args::DEVICE;
use super::command::Server;
use super::{Failure, digest, output, text};
use crate::admin::view::{CheckedView, ExplanationView, LearntView, PolicyView};
use crate::config::{Config, PolicyConfig};
use crate::policy::{Directory, read, render_ima, sentences};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyVerb {
    /// Check policies and describe their rules, without a server
    ///
    /// An error names the file and the wrong key.
    Check {
        /// One file; by default all policies of the configuration
        file: Option<PathBuf>,
    },
    /// Appraise a device's last evidence by the policy in force, with every reason and what to do
    Explain {
        #[arg(help = DEVICE)]
        device: String,
    },
    /// Write a policy that allows a device's present boot and no other
    ///
    /// The policy allows whatever the device runs now: read it before you use it. Put it into the policy directory
    /// under the device's name, or as default.toml, and reload the server.
    Learn(LearnArgs),
}

#[derive(Debug, Args)]
pub(super) struct LearnArgs {
    #[arg(help = DEVICE)]
    device: String,
    /// The file to write; by default the policy is printed
    #[arg(long, value_name = "FILE", requires = "state")]
    output: Option<PathBuf>,
    /// The digest of the boot state to learn from, as `show`, `policy explain` and this command without --output print
    /// it
    ///
    /// The command fails if the device has since sent evidence of another state.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    state: Option<pawl_proto::Digest>,
    /// A copy of the device's IMA log: the digests of all files that it names are written to a list beside the policy
    #[arg(long, value_name = "FILE", requires = "output")]
    ima: Option<PathBuf>,
}

/// Checks one policy, or all that the configuration at this path names.
pub(super) fn check(file: Option<&Path>, config: &Path, json: bool) -> Result<(), Failure> {
    let checked = match file {
        Some(file) => vec![checked(&read(file)?)],
        None => of_directory(&Config::load(config)?.policy)?,
    };
    if json { Ok(output::json(&checked)?) } else { Ok(output::text(&text::checked_policies(&checked))?) }
}

fn of_directory(config: &PolicyConfig) -> Result<Vec<CheckedView>, Failure> {
    Ok(Directory::read(config)?.all().map(checked).collect())
}

fn checked(policy: &DevicePolicy) -> CheckedView {
    CheckedView { policy: PolicyView::from(policy), rules: sentences(&policy.policy) }
}

/// Runs the commands that need the server.
pub(super) async fn run(server: &Server, verb: PolicyVerb) -> Result<(), Failure> {
    match verb {
        // This command needs no server; `main` runs it.
        PolicyVerb::Check { .. } => Ok(()),
        PolicyVerb::Explain { device } => {
            let view: ExplanationView =
                server.client.get(&server.path(&device, "/explanation").await?).await?;
            server.print(&view, text::explanation)
        }
        PolicyVerb::Learn(args) => learn(server, args).await,
    }
}

async fn learn(server: &Server, args: LearnArgs) -> Result<(), Failure> {
    let query = args.state.map(|state| format!("?state={state}")).unwrap_or_default();
    let mut learnt: LearntView =
        server.client.get(&server.path(&args.device, &format!("/learnt-policy{query}")).await?).await?;
    let Some(file) = args.output else { return server.print(&learnt, |learnt| learnt.policy.clone()) };
    if let Some(log) = args.ima {
        let section = learn_files(&log, &file, &learnt)?;
        learnt.policy.push_str(&render_ima(&section));
    }
    write(&file, learnt.policy.as_bytes())?;
    server.print(&learnt, |_| text::learnt(&file))
}

/// Writes the list of digests beside the policy, and returns the section that names it.
fn learn_files(log: &Path, policy: &Path, learnt: &LearntView) -> Result<ImaSection, Failure> {
    let quoted = learnt.pcr_10.and_then(|value| TaggedDigest::new(bank_hash(value.bank()), value.as_bytes()));
    let quoted = quoted.ok_or(FilesError::NotQuoted)?;
    let bytes = std::fs::read(log).map_err(|source| Failure::File { file: log.to_owned(), source })?;
    let files = FileDigests::learn(&bytes, &quoted)?;
    let list = policy.with_extension("digests");
    write(&list, files.list.as_bytes())?;
    let name = list.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(ImaSection {
        require_anchored: files.anchored,
        // A violation hides which content ran, so a learnt policy refuses it.
        violations: Weight::Refuse,
        digest_files: name.into_iter().collect(),
        ..ImaSection::default()
    })
}

fn write(file: &Path, contents: &[u8]) -> Result<(), Failure> {
    output::file(file, contents).map_err(|source| Failure::File { file: file.to_owned(), source })
}

/// The path of the kernel's own first entry, which needs no digest.
const BOOT_AGGREGATE: &[u8] = b"boot_aggregate";

/// A list of the digests of all executed files of an IMA log, with their paths, as `sha256sum` prints it.
struct FileDigests {
    list: String,
    /// Whether the log replays to the quoted PCR 10.
    anchored: bool,
}

impl FileDigests {
    /// Reads the part of a log, binary or ASCII, that replays to the quoted PCR 10.
    fn learn(log: &[u8], quoted: &TaggedDigest) -> Result<Self, FilesError> {
        // A binary log begins with the number of a PCR in 32 bits, little-endian.
        if log.get(1..4) == Some(&[0, 0, 0]) {
            Self::of(BinaryLog::new, log, quoted)
        } else {
            Self::of(AsciiLog::new, log, quoted)
        }
    }

    fn of<'a, I>(
        read: impl Fn(&'a [u8]) -> I,
        log: &'a [u8],
        quoted: &TaggedDigest,
    ) -> Result<Self, FilesError>
    where
        I: Iterator<Item = Result<Entry<'a>, ImaError>>,
    {
        let (consumed, anchored) = match Aggregate::new(quoted.algorithm()).advance(read(log), quoted)? {
            Outcome::Anchored { consumed, .. } => (consumed, true),
            Outcome::Unanchored => (log.len(), false),
            Outcome::Inactive => return Err(FilesError::Inactive),
            Outcome::Diverged => return Err(FilesError::Diverged),
        };
        let mut files = BTreeMap::new();
        for entry in read(log.get(..consumed).unwrap_or_default()) {
            let entry = entry?;
            let path = entry.path().filter(|path| *path != BOOT_AGGREGATE);
            let digest = entry.file_digest().filter(|file| file.digest.algorithm() != HashAlgorithm::Sha1);
            if let (Some(path), Some(digest)) = (path, digest) {
                files.entry(digest).or_insert_with(|| path.escape_ascii().to_string());
            }
        }
        let mut list = String::new();
        for (digest, path) in files {
            let _ = writeln!(list, "{digest}  {path}");
        }
        Ok(Self { list, anchored })
    }
}

/// Why no list can be created from an IMA log.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FilesError {
    #[error(transparent)]
    Log(#[from] ImaError),
    #[error("the device's last report shows that IMA is off")]
    Inactive,
    #[error(
        "this log does not match PCR 10 of the device's last report: copy the log from the device after `refresh`, \
         in the same boot"
    )]
    Diverged,
    #[error("the device's last report does not cover PCR 10")]
    NotQuoted,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pawl_evidence::ima::FileDigest;

    use super::*;

    fn log(boot: &str, file: &str) -> Vec<u8> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        std::fs::read(fixtures.join(boot).join(file)).unwrap()
    }

    /// Returns PCR 10 after the whole log.
    fn pcr_10(log: &[u8]) -> TaggedDigest {
        let mut aggregate = Aggregate::new(HashAlgorithm::Sha256);
        assert_eq!(aggregate.absorb(BinaryLog::new(log)).unwrap(), log.len());
        *aggregate.value()
    }

    #[test]
    fn a_list_has_the_files_of_the_log_in_either_form() {
        let binary = log("x86-good", "ima_binary_runtime_measurements");
        let quoted = pcr_10(&binary);
        let files = FileDigests::learn(&binary, &quoted).unwrap();
        assert!(files.anchored && files.list.contains("  /init\n"), "{}", files.list);
        assert!(!files.list.contains("boot_aggregate"));
        for line in files.list.lines() {
            line.split_whitespace().next().unwrap().parse::<FileDigest>().unwrap();
        }
        let ascii = log("x86-good", "ima_ascii_runtime_measurements");
        assert_eq!(FileDigests::learn(&ascii, &quoted).unwrap().list, files.list);
    }

    #[test]
    fn nothing_is_learnt_from_a_log_that_does_not_match_the_report() {
        let log_of_another = log("x86-good-2nd-boot", "ima_binary_runtime_measurements");
        let quoted = pcr_10(&log("x86-good", "ima_binary_runtime_measurements"));
        assert!(matches!(FileDigests::learn(&log_of_another, &quoted), Err(FilesError::Diverged)));
    }

    #[test]
    fn a_log_with_which_pcr_10_was_never_extended_is_learnt_as_unanchored() {
        let log = log("arm64-good", "ima_binary_runtime_measurements");
        let never_extended = TaggedDigest::filled(HashAlgorithm::Sha256, 0);
        assert!(!FileDigests::learn(&log, &never_extended).unwrap().anchored);
    }
}
