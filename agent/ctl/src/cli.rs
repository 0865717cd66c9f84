//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pawl_config::TokenName;
use pawl_proto::message::{Scope, ShortText};

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed, or a check failed
  10  the device is not entitled: no token until it is
  64  wrong usage of this command
  69  the daemon cannot be reached
  77  not permitted to this user
  78  the configuration is missing or wrong";

/// Looks after this device's pairing: what it is, whether it holds, and how to end it.
#[derive(Debug, Parser)]
#[command(name = "pawlctl", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The daemon's socket [default: /run/pawl/pawld.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the device's state, why it is so, and what to do
    Status,
    /// Pair the device with its control plane and wait for the outcome
    Pair(Pair),
    /// Print an access token of the vault
    ///
    /// Prints the token alone. It is bound to the device key (RFC 9449): a receiver wants a proof beside it.
    /// With --method and --url, both are printed as the two header lines of that one request, for curl -H @- .
    Token(Token),
    /// Destroy the pairing's keys and tokens for good, by the TPM's counter
    Wipe(Wipe),
    /// Examine whatever the device needs to work, and name a remedy for each fault
    Check(Check),
    /// Export a fresh TPM quote and the logs for a verifier
    ///
    /// Writes attest.bin (TPMS_ATTEST), signature.bin (TPMT_SIGNATURE), ak.pem, nonce.hex (the quote's
    /// extraData), pcrs.bin (the values of the quoted PCRs of the sha256 bank, one after the other by index), and
    /// where the host has them bootlog.bin and ima.txt.
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

#[derive(Debug, Args)]
pub(crate) struct Pair {
    /// Why; whoever approves sees it
    #[arg(long, value_name = "TEXT", value_parser = reason, default_value = "")]
    pub(crate) reason: ShortText,
    /// A scope to ask for, instead of those in the configuration; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    pub(crate) scopes: Vec<Scope>,
    /// Stop waiting after so many seconds; the daemon goes on
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "120")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The name that the configuration gives it
    #[arg(value_name = "NAME")]
    pub(crate) name: TokenName,
    /// The method of the request that the token is for
    #[arg(long, requires = "url")]
    pub(crate) method: Option<String>,
    /// The address of the request that the token is for
    #[arg(long, requires = "method")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Wipe {
    /// Why; it goes into the receipt
    #[arg(long, value_name = "TEXT", value_parser = some_reason)]
    pub(crate) reason: ShortText,
    /// Do not ask on the terminal
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The device's configuration
    #[arg(long, value_name = "PATH", default_value = pawl_config::PATH)]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Evidence {
    /// The directory to write into
    #[arg(long, value_name = "DIR")]
    pub(crate) export: PathBuf,
    /// Replace what an earlier export left in the directory
    #[arg(long)]
    pub(crate) force: bool,
    /// A verifier's nonce for the quote, 64 hexadecimal digits; a random one otherwise
    #[arg(long, value_name = "HEX", value_parser = nonce)]
    pub(crate) nonce: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A firmware's event log: binary_bios_measurements
    #[arg(value_name = "BOOTLOG")]
    pub(crate) boot_log: PathBuf,
    /// An IMA log as well: binary_runtime_measurements or ascii_runtime_measurements
    #[arg(long, value_name = "LOG")]
    pub(crate) ima: Option<PathBuf>,
}

fn reason(text: &str) -> Result<ShortText, String> {
    ShortText::new(text).map_err(|error| error.to_string())
}

fn some_reason(text: &str) -> Result<ShortText, String> {
    if text.trim().is_empty() { Err("say why".to_owned()) } else { reason(text) }
}

fn scope(text: &str) -> Result<Scope, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a scope has printable ASCII characters without spaces".to_owned());
    }
    Scope::new(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("a number of seconds from 1 to 86400".to_owned()),
    }
}

fn nonce(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a nonce has 64 hexadecimal digits".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_holds() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn json_and_socket_stand_before_or_behind_the_command() {
        for line in ["pawlctl --json --socket /s status", "pawlctl status --json --socket /s"] {
            let cli = parse(line).unwrap();
            assert!(cli.json && cli.socket == Some("/s".into()), "{line}");
        }
    }

    #[test]
    fn every_command_is_understood() {
        for line in [
            "pawlctl status",
            "pawlctl pair",
            "pawlctl pair --reason moved --scope a --scope b --timeout 5",
            "pawlctl token telemetry",
            "pawlctl token telemetry --method GET --url https://api.example/v1",
            "pawlctl wipe --reason stolen --yes",
            "pawlctl check --config /etc/pawl/pawl.toml",
            "pawlctl evidence --export /tmp/x --force",
            "pawlctl replay log",
            "pawlctl replay log --ima ima --json",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "pawlctl",
            "pawlctl stat",
            "pawlctl wipe",
            "pawlctl wipe --reason=",
            "pawlctl pair --timeout 0",
            "pawlctl pair --scope=",
            "pawlctl token",
            "pawlctl token Telemetry",
            "pawlctl token ../status",
            "pawlctl token telemetry --url https://api.example",
            "pawlctl evidence",
            "pawlctl evidence --export x --nonce 00",
            "pawlctl replay",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let long = "x".repeat(257);
        assert!(Cli::try_parse_from(["pawlctl", "wipe", "--reason", &long]).is_err());
        assert!(Cli::try_parse_from(["pawlctl", "wipe", "--reason", "a\nb"]).is_err());
    }
}
