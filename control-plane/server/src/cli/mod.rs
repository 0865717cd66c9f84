//! The command line.

mod approve;
mod args;
mod command;
mod condition;
mod confirm;
mod count;
mod devices;
mod field;
mod local;
mod output;
mod policy;
mod pre_approve;
mod records;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use pawl_evidence::boot_image::ImageError;
use pawl_proto::{DeviceId, Digest};

use crate::bundle::{BundleError, SignatureError};
use crate::config::{Config, ConfigError};
use crate::control_plane::OpenError;
use crate::policy::PolicyError;
use crate::state::StateError;
use crate::{admin, serve};
use args::{Args, Verb};
use policy::{FilesError, PolicyVerb};

/// Exit codes of sysexits.h, as `--help` lists them.
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const CONFIG: u8 = 78;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    let json = args.json;
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(json);
            failure.exit_code()
        }
    }
}

/// Returns the definition of the command line, for man pages and completions.
#[must_use]
pub fn command_line() -> clap::Command {
    Args::command()
}

fn run(args: Args) -> Result<(), Failure> {
    if let Verb::VerifyBundle { file, ca, device } = &args.verb {
        return records::verify_bundle(file, ca, *device, args.json);
    }
    if let Verb::Policy { verb: PolicyVerb::Check { file } } = &args.verb {
        return policy::check(file.as_deref(), &args.config, args.json);
    }
    let config = Config::load(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    match args.verb {
        Verb::Serve { log, lost } => {
            tracing_subscriber::fmt()
                .with_max_level(log)
                .with_writer(std::io::stderr)
                .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
                .init();
            Ok(runtime.block_on(serve::serve(config, lost.into()))?)
        }
        Verb::Init { lost } => local::init(&config, lost.into(), args.json),
        Verb::VendorCas { verb } => local::run_vendor_cas(&verb, &config, &args.config, args.json),
        verb => runtime.block_on(command::run(verb, &config, args.json)),
    }
}

/// Reads a digest: 64 hexadecimal digits.
fn digest(text: &str) -> Result<Digest, String> {
    let bytes = hex::decode(text).unwrap_or_default();
    Digest::try_from(bytes.as_slice())
        .map_err(|_| "give 64 hexadecimal digits, as `show` prints them".to_owned())
}

/// Why the program failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Serve(#[from] serve::RunError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Client(#[from] admin::ClientError),
    #[error("{0}: not a session; `pawl-control-plane sessions` lists them")]
    Session(String),
    #[error("unexpected request from the server: is it of another version?")]
    Statement,
    #[error("there is no terminal to ask at; read the request and give --yes")]
    NobodyToAsk,
    #[error("not approved: nothing was signed")]
    NotApproved,
    #[error("this cannot be taken back, and there is no terminal to ask at: nothing was ordered; give --yes")]
    NobodyToConfirm,
    #[error("you did not confirm: nothing has changed")]
    NotConfirmed,
    #[error(transparent)]
    Key(#[from] pawl_approval::sign::FindError),
    #[error("cannot sign: {0}")]
    Sign(#[from] pawl_approval::sign::SignError),
    #[error("{}: {source}", file.display())]
    File { file: PathBuf, source: std::io::Error },
    #[error("{}: {source}", file.display())]
    Image { file: PathBuf, source: ImageError },
    #[error("{}: not an EFI signature list; give the future content of the variable", file.display())]
    SignatureList { file: PathBuf },
    #[error("give what changes: --boot, --kernel with --initrd and --command-line, --db, --dbx, or --pcr")]
    NothingToApprove,
    #[error(transparent)]
    Import(#[from] crate::vendor_cas::ImportError),
    #[error(transparent)]
    VendorCas(#[from] crate::vendor_cas::VendorCasError),
    #[error("{}: endorsement.vendor_cas is not set; name the directory of the vendors' certificates there", .0.display())]
    NoVendorDirectory(PathBuf),
    #[error("nothing was imported")]
    NothingImported,
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("{}: not a certificate in PEM; give the control plane's ca.pem", .0.display())]
    Authority(PathBuf),
    #[error("the bundle is about device {found}, not about {wanted}")]
    OtherDevice { wanted: DeviceId, found: DeviceId },
    #[error("{failed} of the records failed verification")]
    Records { failed: usize },
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    fn report(&self, json: bool) {
        use std::io::Write as _;
        // The outcome of the checks has been printed.
        if json && !matches!(self, Self::Records { .. } | Self::NothingImported) {
            let error = match self {
                Self::Client(admin::ClientError::Refused(refused)) => refused.clone(),
                Self::Client(admin::ClientError::NotRunning { .. }) => {
                    admin::AdminError::new("not-running", self)
                }
                Self::Config(_) | Self::Policy(_) | Self::VendorCas(_) | Self::NoVendorDirectory(_) => {
                    admin::AdminError::new("configuration", self)
                }
                Self::State(error) | Self::Serve(serve::RunError::Open(OpenError::State(error))) => {
                    admin::AdminError::new(error.code(), self)
                }
                _ => admin::AdminError::new("failed", self),
            };
            // Ignores a closed stdout.
            let _ = output::json(&error);
        }
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "pawl-control-plane: {self}");
        if let Self::Client(admin::ClientError::Refused(refused)) = self {
            let _ = write!(stderr, "{}", text::candidates(&refused.candidates));
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) | Self::Policy(_) | Self::VendorCas(_) | Self::NoVendorDirectory(_) => CONFIG,
            Self::Serve(serve::RunError::Open(OpenError::Policy(_) | OpenError::VendorCas(_))) => CONFIG,
            Self::State(error) | Self::Serve(serve::RunError::Open(OpenError::State(error)))
                if error.is_loss() =>
            {
                CONFIG
            }
            Self::Client(admin::ClientError::NotRunning { .. }) => UNAVAILABLE,
            Self::Session(_) | Self::NothingToApprove | Self::NobodyToConfirm => USAGE,
            _ => 1,
        })
    }
}
