//! The command line.

#[cfg(test)]
mod tests;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pawl_approval::Confirmation;
use pawl_config::TokenName;
use pawl_proto::message::{Scope, ShortText};
use pawl_proto::{DeviceId, SessionId};

use value::{confirmation, digits, reason, scope, seconds, some_text};

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed, or a check failed
  10  the device is not entitled: no token until it is
  64  wrong usage of this command
  69  the daemon cannot be reached, or has gone away
  75  still waiting when --timeout was over
  76  refused by the control plane or an approver, or approved by nobody in time
  77  not permitted to this user
  78  the configuration is missing or wrong
 130  interrupted";

/// Looks after this device's pairing: what it is, whether it holds, and how to end it.
#[derive(Debug, Parser)]
#[command(name = "pawlctl", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What is asked for
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// The daemon's socket [default: /run/pawl/pawld.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// What is asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the device's state, why it is so, and what to do
    Status,
    /// Pair the device with its control plane and wait for the outcome
    ///
    /// For a device without a live pairing. Where the operator's policy wants a person's approval, this shows the
    /// code for it and waits, as re-pair does.
    Pair(Pair),
    /// Pair the device again: after a repair, a swapped disk or TPM, or an operator's order
    ///
    /// Says what was found and what would end, opens a session, and shows the code with which somebody approves it
    /// from elsewhere. With --sign-with it is approved here. A live pairing works on until the approval; Ctrl-C
    /// before the approval gives the session up. After it the daemon goes on, with or without this command.
    ///
    /// With --json, each change is one object on a line of standard output, and the last line is the outcome: the
    /// status, or what is wrong.
    #[command(name = "re-pair")]
    RePair(Pair),
    /// Print an access token of the vault
    ///
    /// Prints the token alone. It is bound to the device key (RFC 9449): a receiver wants a proof beside it.
    /// With --method and --url, both are printed as the two header lines of that one request, for curl -H @- .
    Token(Token),
    /// Have the device's TPM sign for one protected action, and print the assurance
    ///
    /// The control plane decides by its policy for the action, or an approver does. Prints the assurance alone, a
    /// compact JWS (RFC 7515) that counts for this action, resource, digest and session only.
    Action(Action),
    /// Show the device's assurance records, and check that their chain holds
    Records(Records),
    /// Destroy the pairing's keys and tokens for good, by the TPM's counter
    Wipe(Wipe),
    /// End the pairing, and remove everything of Pawl from the TPM
    ///
    /// Wipes the pairing as wipe does, then undefines the epoch counter. For a device that leaves Pawl. A counter
    /// that is defined again starts above every earlier value, so nothing of an old pairing ever works again.
    Deprovision(Deprovision),
    /// Tell by the exit code whether the device is entitled: 0 if it is, 10 if it is not
    Entitled(Entitled),
    /// Examine whatever the device needs to work, and name a remedy for each fault
    ///
    /// Run it as root: it reads the logs that the daemon reads. Of systemd's measurement log it tells whether the daemon
    /// can open it, whether a record of it was never finished (the file's sticky bit), whether it is longer than the 256
    /// KiB that are reported, whether it is absent although systemd measures this boot, and whether it explains the PCRs
    /// that it has records of, as the kernel shows them (Linux 5.12 and later).
    Check(Check),
    /// Export a fresh TPM quote and the logs for a verifier
    ///
    /// Writes attest.bin (TPMS_ATTEST), signature.bin (TPMT_SIGNATURE), ak.pem, nonce.hex (the quote's
    /// extraData), pcrs.bin (the values of the quoted PCRs, one after the other by index), and
    /// where the host has them bootlog.bin, measurelog.bin and ima.txt.
    ///
    /// tpm2-tools check them with: tpm2_checkquote -u ak.pem -m attest.bin -s signature.bin -g sha256
    /// -q $(cat nonce.hex)
    Evidence(Evidence),
    /// Replay a boot event log without a TPM or a daemon, and print the PCR values
    ///
    /// Prints the PCRs that the log extends, or whose start it states. An IMA log adds PCR 10 of the sha1 and
    /// sha256 banks: what goes into it in others depends on how the kernel is built.
    Replay(Replay),
}

/// `pair` and `re-pair`.
#[derive(Debug, Args)]
pub struct Pair {
    /// Why; whoever approves sees it
    #[arg(long, value_name = "TEXT", value_parser = reason, default_value = "")]
    pub reason: ShortText,
    /// A scope to ask for, instead of those in the configuration; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// The device whose place this one takes, after its TPM was swapped: its pairing ends
    #[arg(long, value_name = "DEVICE")]
    pub replaces: Option<DeviceId>,
    /// Follow the session that is open already, instead of opening one
    #[arg(long, conflicts_with_all = ["reason", "scopes", "replaces"])]
    pub attach: bool,
    /// Hand in the confirmation that an approver was shown, and go on with the session that is open
    #[arg(long, value_name = "CODE", value_parser = confirmation, conflicts_with_all = ["reason", "scopes", "replaces"])]
    pub confirm: Option<Confirmation>,
    /// Stop waiting after so many seconds; the daemon goes on
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "900")]
    pub timeout: Duration,
    /// Who approves, and how it is shown
    #[command(flatten)]
    pub approving: Approving,
}

impl Pair {
    /// Another command has opened the session.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attach || self.confirm.is_some()
    }
}

/// How a session is approved here, or shown to who approves it elsewhere.
#[derive(Debug, Args)]
pub struct Approving {
    /// Approve here with this SSH key: a file, "agent" for ssh-agent's only key, or SHA256:… for one of its keys
    ///
    /// With a private key's file ssh-keygen signs, and asks for the passphrase itself; pawlctl never reads the key.
    /// Shows the whole statement that is signed, and asks before it signs. With sudo, an agent is reached by
    /// sudo --preserve-env=SSH_AUTH_SOCK.
    #[arg(long, value_name = "KEY")]
    pub sign_with: Option<String>,
    /// Sign without asking on the terminal
    #[arg(long, requires = "sign_with")]
    pub yes: bool,
    /// Draw no QR code
    #[arg(long)]
    pub no_qr: bool,
}

/// `action`.
#[derive(Debug, Args)]
pub struct Action {
    /// The action's name, which a policy of the control plane has
    #[arg(value_name = "ACTION", value_parser = some_text, required_unless_present = "attach", conflicts_with = "attach")]
    pub action: Option<ShortText>,
    /// On what it acts
    #[arg(long, value_name = "TEXT", value_parser = some_text, required_unless_present = "attach", conflicts_with = "attach")]
    pub resource: Option<ShortText>,
    /// SHA-256 of what it acts with, 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = digits, required_unless_present_any = ["attach", "file"])]
    pub digest: Option<String>,
    /// The file that it acts with, instead of its SHA-256
    #[arg(long, value_name = "PATH", conflicts_with_all = ["attach", "digest"])]
    pub file: Option<PathBuf>,
    /// The session of your own in which the assurance shall count, and in no other
    #[arg(long, value_name = "TEXT", value_parser = some_text, required_unless_present = "attach", conflicts_with = "attach")]
    pub session: Option<ShortText>,
    /// Why; whoever approves sees it
    #[arg(long, value_name = "TEXT", value_parser = reason, default_value = "", conflicts_with = "attach")]
    pub reason: ShortText,
    /// Go on with an action that was asked for before
    #[arg(long, value_name = "ID", conflicts_with = "digest")]
    pub attach: Option<SessionId>,
    /// With --attach: hand in the confirmation that an approver was shown
    #[arg(long, value_name = "CODE", value_parser = confirmation, requires = "attach", conflicts_with = "action")]
    pub confirm: Option<Confirmation>,
    /// Stop waiting after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "900")]
    pub timeout: Duration,
    /// Who approves, and how it is shown
    #[command(flatten)]
    pub approving: Approving,
}

/// `records`.
#[derive(Debug, Args)]
pub struct Records {
    /// Begin behind the record with this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub after: u64,
}

/// `token`.
#[derive(Debug, Args)]
pub struct Token {
    /// The name that the configuration gives it
    #[arg(value_name = "NAME")]
    pub name: TokenName,
    /// The method of the request that the token is for
    #[arg(long, requires = "url")]
    pub method: Option<String>,
    /// The address of the request that the token is for
    #[arg(long, requires = "method")]
    pub url: Option<String>,
}

/// `wipe`.
#[derive(Debug, Args)]
pub struct Wipe {
    /// Why; it goes into the receipt
    #[arg(long, value_name = "TEXT", value_parser = some_text)]
    pub reason: ShortText,
    /// Do not ask on the terminal
    #[arg(long)]
    pub yes: bool,
}

/// `deprovision`.
#[derive(Debug, Args)]
pub struct Deprovision {
    /// Do not ask on the terminal
    #[arg(long)]
    pub yes: bool,
}

/// `entitled`.
#[derive(Debug, Args)]
pub struct Entitled {
    /// Wait until it is
    #[arg(long)]
    pub wait: bool,
    /// While it is, keep running, and tell systemd so: for pawl-entitled.service
    #[arg(long)]
    pub hold: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The device's configuration
    #[arg(long, value_name = "PATH", default_value = pawl_config::PATH)]
    pub config: PathBuf,
}

/// `evidence`.
#[derive(Debug, Args)]
pub struct Evidence {
    /// The directory to write into
    #[arg(long, value_name = "DIR")]
    pub export: PathBuf,
    /// Replace what an earlier export left in the directory
    #[arg(long)]
    pub force: bool,
    /// A verifier's nonce for the quote, 64 hexadecimal digits; a random one otherwise
    #[arg(long, value_name = "HEX", value_parser = digits)]
    pub nonce: Option<String>,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// A firmware's event log: binary_bios_measurements
    #[arg(value_name = "BOOTLOG")]
    pub boot_log: PathBuf,
    /// systemd's log of what it extended later: tpm2-measure.log
    #[arg(long, value_name = "LOG")]
    pub measure_log: Option<PathBuf>,
    /// An IMA log as well: binary_runtime_measurements or ascii_runtime_measurements
    #[arg(long, value_name = "LOG")]
    pub ima: Option<PathBuf>,
}
