//! `policy`: files that say what devices must be and run.

mod files;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use pawl_evidence::appraise::policy::{ImaSection, Weight};
use pawl_evidence::tpm::TaggedDigest;

use super::command::{Server, path};
use super::{Failure, digest, output, text};
use crate::admin::view::{CheckedView, ExplanationView, LearntView, PolicyView};
use crate::config::{Config, PolicyConfig};
use crate::policy::{Directory, read, render_ima, sentences};
use files::Files;
pub(super) use files::FilesError;
use pawl_verifier::DevicePolicy;
use pawl_verifier::report::bank_hash;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyVerb {
    /// Read policies and say what they mean, without a server
    ///
    /// A file that cannot be used is named, with the key that is wrong.
    Check {
        /// One file; without it all that the configuration names
        file: Option<PathBuf>,
    },
    /// Judge what a device last showed by the policy in force, with every reason and what to do
    Explain { device: String },
    /// Write the policy that a device's present boot satisfies, and no other boot
    ///
    /// It takes on trust what the device runs now: read it before you use it. Put it into the policy
    /// directory under the device's name, or as default.toml, and reload the server.
    Learn(LearnArgs),
}

#[derive(Debug, Args)]
pub(super) struct LearnArgs {
    device: String,
    /// Where to write it; without this it is printed
    #[arg(long, value_name = "FILE", requires = "state")]
    output: Option<PathBuf>,
    /// The boot state to learn from, as `show`, `policy explain` and this command without --output show it
    ///
    /// It is refused when the device has shown another one since.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    state: Option<pawl_proto::Digest>,
    /// A copy of the device's IMA log: the digests of all files that it names go into a list beside the policy
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

/// Carries out those that need the running server.
pub(super) async fn run(server: &Server, verb: PolicyVerb) -> Result<(), Failure> {
    match verb {
        // It needs no server, and is dealt with before.
        PolicyVerb::Check { .. } => Ok(()),
        PolicyVerb::Explain { device } => {
            let view: ExplanationView = server.client.get(&path(&device, "/explanation")?).await?;
            server.print(&view, text::explanation)
        }
        PolicyVerb::Learn(args) => learn(server, args).await,
    }
}

async fn learn(server: &Server, args: LearnArgs) -> Result<(), Failure> {
    let query = args.state.map(|state| format!("?state={state}")).unwrap_or_default();
    let mut learnt: LearntView =
        server.client.get(&path(&args.device, &format!("/learnt-policy{query}"))?).await?;
    let Some(file) = args.output else { return server.print(&learnt, |learnt| learnt.policy.clone()) };
    if let Some(log) = args.ima {
        let section = learn_files(&log, &file, &learnt)?;
        learnt.policy.push_str(&render_ima(&section));
    }
    write(&file, learnt.policy.as_bytes())?;
    server.print(&learnt, |_| text::learnt(&file))
}

/// Writes the list of digests beside the policy, and gives the section that names it.
fn learn_files(log: &Path, policy: &Path, learnt: &LearntView) -> Result<ImaSection, Failure> {
    let quoted = learnt.pcr_10.and_then(|value| TaggedDigest::new(bank_hash(value.bank()), value.as_bytes()));
    let quoted = quoted.ok_or(FilesError::NotQuoted)?;
    let bytes = std::fs::read(log).map_err(|source| Failure::File { file: log.to_owned(), source })?;
    let files = Files::learn(&bytes, &quoted)?;
    let list = policy.with_extension("digests");
    write(&list, files.list.as_bytes())?;
    let name = list.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(ImaSection {
        require_anchored: files.anchored,
        // A violation hides which content ran, so a learnt policy does not let one pass.
        violations: Weight::Refuse,
        digest_files: name.into_iter().collect(),
        ..ImaSection::default()
    })
}

fn write(file: &Path, contents: &[u8]) -> Result<(), Failure> {
    output::file(file, contents).map_err(|source| Failure::File { file: file.to_owned(), source })
}
