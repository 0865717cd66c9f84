//! The command line.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pawl_approval::{CodeError, Confirmation};
use pawl_config::TokenName;
use pawl_proto::message::{Scope, ShortText};
use pawl_proto::{DeviceId, SessionId};

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed, or a check failed
  10  the device is not entitled to tokens
  64  wrong usage
  69  pawld is not running or does not answer
  75  still waiting when --timeout expired
  76  refused by the control plane or an approver, or not approved in time
  77  permission denied
  78  the configuration is missing or invalid
 130  interrupted";

/// Shows, makes and ends this device's pairing with its control plane, through the pawld daemon.
#[derive(Debug, Parser)]
#[command(name = "pawlctl", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// The subcommand
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// Path of the daemon's socket [default: /run/pawl/pawld.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the device's state, the reason for it, and what to do
    Status,
    /// Pair the device with its control plane and wait for the outcome
    ///
    /// For a device without a live pairing. If the operator's policy requires a person's approval, this shows the user
    /// code and waits, as re-pair does.
    Pair(Pair),
    /// Pair the device again: after a repair, a swapped disk or TPM, or an operator's order
    ///
    /// Shows what pawld detected and which pairing will end, opens an approval session, and shows the user code for an
    /// approver elsewhere. With --sign-with you approve here. A live pairing keeps working until the approval. Ctrl-C
    /// before the approval cancels the session; after the approval the daemon completes the pairing by itself.
    ///
    /// With --json, each change is one JSON object on a line of standard output. The last line is the outcome: the
    /// device's status, or the problem.
    #[command(name = "re-pair")]
    RePair(Pair),
    /// Cancel the approval session that is open on this device
    ///
    /// For a session that another terminal opened, or that the device opened by itself. Nothing has changed before the
    /// approval: a live pairing keeps working. A session that is approved cannot be cancelled.
    Cancel,
    /// Print an access token from the vault
    ///
    /// Prints only the token. It is bound to the device key (RFC 9449): the resource server also requires a DPoP proof.
    /// With --method and --url this prints token and proof as the two header lines of one request, for curl -H @- .
    Token(Token),
    /// Have the device's TPM sign for one protected action, and print the assurance
    ///
    /// The control plane decides by its policy for the action, or asks an approver. Prints only the assurance, a
    /// compact JWS (RFC 7515) that is valid for this action, resource, digest and session only.
    Action(Action),
    /// Show the device's assurance records and verify their hash chain
    Records(Records),
    /// Destroy the pairing's keys and tokens permanently, by incrementing the TPM's counter
    Wipe(Wipe),
    /// End the pairing and remove all Pawl data from the TPM
    ///
    /// Wipes the pairing as wipe does, then undefines the epoch counter. For a device that no longer uses Pawl. If the
    /// counter is defined again, it starts above every earlier value, so an old pairing can never work again.
    Deprovision(Deprovision),
    /// Exit with 0 if the device is entitled to tokens, with 10 if it is not
    Entitled(Entitled),
    /// Check everything that the device needs, and name a remedy for each fault
    ///
    /// Run it as root: it reads the logs that the daemon reads. For systemd's measurement log it checks that the daemon
    /// can open it, that its last record is complete (the file's sticky bit), that it fits into a report (256 KiB), that
    /// it exists if systemd measures this boot, and that it explains the PCRs for which it has records, as the kernel
    /// shows them (Linux 5.12 and later).
    Check(Check),
    /// Export a fresh TPM quote and the logs for a verifier
    ///
    /// Writes attest.bin (TPMS_ATTEST), signature.bin (TPMT_SIGNATURE), ak.pem, nonce.hex (the quote's
    /// extraData), pcrs.bin (the values of the quoted PCRs, in ascending order of index), and,
    /// if the host has these logs, bootlog.bin, measurelog.bin and ima.txt.
    ///
    /// Verify with tpm2-tools: tpm2_checkquote -u ak.pem -m attest.bin -s signature.bin -g sha256
    /// -q $(cat nonce.hex)
    Evidence(ExportEvidence),
    /// Replay a boot event log without TPM or daemon, and print the PCR values
    ///
    /// Prints the PCRs that the log extends or whose initial value it states. An IMA log adds PCR 10 of the sha1 and
    /// sha256 banks. In other banks, the kernel's build options decide what it extends.
    Replay(Replay),
}

/// `pair` and `re-pair`.
#[derive(Debug, Args)]
pub struct Pair {
    /// The reason; the approver sees it
    #[arg(long, value_name = "TEXT", value_parser = reason, default_value = "")]
    pub reason: ShortText,
    /// A scope to request instead of those in the configuration; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// The device that this one replaces, after its TPM was swapped; its pairing ends
    #[arg(long, value_name = "DEVICE")]
    pub replaces: Option<DeviceId>,
    /// Follow the open session instead of opening a new one
    #[arg(long, conflicts_with_all = ["reason", "scopes", "replaces"])]
    pub attach: bool,
    /// Submit the confirmation code that the approver reads to you, and follow the open session
    #[arg(long, value_name = "CODE", value_parser = confirmation, conflicts_with_all = ["reason", "scopes", "replaces"])]
    pub confirm: Option<Confirmation>,
    /// Stop waiting after this many seconds; the daemon continues
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "900")]
    pub timeout: Duration,
    /// Options for the approval
    #[command(flatten)]
    pub approving: Approving,
}

impl Pair {
    /// Returns whether another command opened the session.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attach || self.confirm.is_some()
    }
}

/// Options for an approval, here or elsewhere.
#[derive(Debug, Args)]
pub struct Approving {
    /// Approve here with this SSH key: a file, "agent" for ssh-agent's only key, or SHA256:… for one of its keys
    ///
    /// With a private key's file ssh-keygen signs, and asks for the passphrase itself; pawlctl never reads the key.
    /// Shows the whole statement and asks before it signs. To use ssh-agent under sudo, run
    /// sudo --preserve-env=SSH_AUTH_SOCK pawlctl ….
    #[arg(long, value_name = "KEY")]
    pub sign_with: Option<String>,
    /// Sign without asking on the terminal
    #[arg(long, requires = "sign_with")]
    pub yes: bool,
    /// Do not draw a QR code
    #[arg(long)]
    pub no_qr: bool,
}

/// `action`.
#[derive(Debug, Args)]
pub struct Action {
    /// The action's name in the control plane's policy
    #[arg(value_name = "ACTION", value_parser = some_text, required_unless_present = "attach", conflicts_with = "attach")]
    pub action: Option<ShortText>,
    /// Target of the action
    #[arg(long, value_name = "TEXT", value_parser = some_text, required_unless_present = "attach", conflicts_with = "attach")]
    pub resource: Option<ShortText>,
    /// SHA-256 of the input, 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = digits, required_unless_present_any = ["attach", "file"])]
    pub digest: Option<String>,
    /// The input as a file, instead of its SHA-256
    #[arg(long, value_name = "PATH", conflicts_with_all = ["attach", "digest"])]
    pub file: Option<PathBuf>,
    /// Your application's session; the assurance is valid in no other
    #[arg(long, value_name = "TEXT", value_parser = some_text, required_unless_present = "attach", conflicts_with = "attach")]
    pub session: Option<ShortText>,
    /// The reason; the approver sees it
    #[arg(long, value_name = "TEXT", value_parser = reason, default_value = "", conflicts_with = "attach")]
    pub reason: ShortText,
    /// Follow an action that was requested before
    #[arg(long, value_name = "ID", conflicts_with = "digest")]
    pub attach: Option<SessionId>,
    /// With --attach: submit the confirmation code that the approver reads to you
    #[arg(long, value_name = "CODE", value_parser = confirmation, requires = "attach", conflicts_with = "action")]
    pub confirm: Option<Confirmation>,
    /// Stop waiting after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "900")]
    pub timeout: Duration,
    /// Options for the approval
    #[command(flatten)]
    pub approving: Approving,
}

/// `records`.
#[derive(Debug, Args)]
pub struct Records {
    /// Start after the record with this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub after: u64,
}

/// `token`.
#[derive(Debug, Args)]
pub struct Token {
    /// The token's name in the configuration
    #[arg(value_name = "NAME")]
    pub name: TokenName,
    /// HTTP method of the request
    #[arg(long, requires = "url")]
    pub method: Option<String>,
    /// URL of the request
    #[arg(long, requires = "method")]
    pub url: Option<String>,
}

/// `wipe`.
#[derive(Debug, Args)]
pub struct Wipe {
    /// The reason; the receipt contains it
    #[arg(long, value_name = "TEXT", value_parser = some_text)]
    pub reason: ShortText,
    /// Do not ask for confirmation; required without a terminal
    #[arg(long)]
    pub yes: bool,
}

/// `deprovision`.
#[derive(Debug, Args)]
pub struct Deprovision {
    /// Do not ask for confirmation; required without a terminal
    #[arg(long)]
    pub yes: bool,
}

/// `entitled`.
#[derive(Debug, Args)]
pub struct Entitled {
    /// Wait until the device is entitled
    #[arg(long)]
    pub wait: bool,
    /// Keep running while the device is entitled, and notify systemd; used by pawl-entitled.service
    #[arg(long)]
    pub hold: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Path of the device's configuration
    #[arg(long, value_name = "PATH", default_value = pawl_config::PATH)]
    pub config: PathBuf,
    /// Test whether this TPM does everything that Pawl needs, and print a report that you can forward
    ///
    /// Runs the whole mechanism on scratch objects of the TPM, which do not affect a pairing, and removes them: a counter
    /// that is incremented, removed and defined again; keys under a lease, which the TPM refuses for other PCRs, another
    /// epoch, too many resets, a past deadline and another signature; a sealed secret; a quote and certificates; the
    /// clock. Writes the TPM's NV memory 8 times; do not run it routinely, because writes wear the memory out. Needs root
    /// and a running pawld.
    #[arg(long)]
    pub tpm: bool,
}

/// `evidence`.
#[derive(Debug, Args)]
pub struct ExportEvidence {
    /// The directory to write into
    #[arg(long, value_name = "DIR")]
    pub export: PathBuf,
    /// Replace the files of an earlier export in the directory
    #[arg(long)]
    pub force: bool,
    /// A verifier's nonce for the quote, 64 hexadecimal digits; random by default
    #[arg(long, value_name = "HEX", value_parser = digits)]
    pub nonce: Option<String>,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The firmware's event log: binary_bios_measurements
    #[arg(value_name = "BOOTLOG")]
    pub boot_log: PathBuf,
    /// systemd's measurement log: tpm2-measure.log
    #[arg(long, value_name = "LOG")]
    pub measure_log: Option<PathBuf>,
    /// The IMA log: binary_runtime_measurements or ascii_runtime_measurements
    #[arg(long, value_name = "LOG")]
    pub ima: Option<PathBuf>,
}

fn reason(text: &str) -> Result<ShortText, String> {
    ShortText::new(text).map_err(|error| error.to_string())
}

fn some_text(text: &str) -> Result<ShortText, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { reason(text) }
}

fn confirmation(text: &str) -> Result<Confirmation, String> {
    text.parse().map_err(|error: CodeError| error.to_string())
}

fn scope(text: &str) -> Result<Scope, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a scope consists of printable ASCII characters without spaces".to_owned());
    }
    Scope::new(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be a number of seconds from 1 to 86400".to_owned()),
    }
}

/// Parses a digest or a nonce. Returns it in lower case.
fn digits(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be 64 hexadecimal digits".to_owned())
    }
}
