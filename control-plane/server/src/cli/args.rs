use std::path::PathBuf;

use clap::{Parser, Subcommand};
use pawl_proto::{DeviceId, Digest};
use tracing::level_filters::LevelFilter;

use super::devices::DevicesArgs;
use super::digest;
use super::local::VendorCasVerb;
use super::policy::PolicyVerb;
use super::pre_approve::PreApproveArgs;
use crate::config::DEFAULT_PATH;
use crate::state::LostDatabase;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   refused or failed
  64  wrong usage
  69  the server does not run
  78  the configuration cannot be used";

/// How the operator names a device.
pub(super) const DEVICE: &str = "The device: its id, a prefix of the id (6 characters or more), or its label";

/// The reference control plane of Pawl
#[derive(Debug, Parser)]
#[command(name = "pawl-control-plane", version, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
    /// Path of the configuration
    #[arg(long, global = true, default_value = DEFAULT_PATH, value_name = "PATH")]
    pub(super) config: PathBuf,
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RecordsArgs {
    #[arg(help = DEVICE)]
    pub(super) device: String,
    /// Show the device's own records instead, as far as they are kept
    #[arg(long = "device")]
    pub(super) own: bool,
    /// Verify both chains, and the quotes, receipts, leases, approvals and assurances in them
    #[arg(long)]
    pub(super) verify: bool,
    /// Write the records to a file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(super) export: Option<PathBuf>,
    /// Write both chains as one signed bundle, for `verify-bundle`
    #[arg(long, requires = "export", conflicts_with = "own")]
    pub(super) bundle: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct EntitleArgs {
    #[arg(help = DEVICE)]
    pub(super) device: String,
    /// A scope to grant
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(super) scopes: Vec<String>,
    /// An audience to grant: the absolute URI of a resource. Without a granted audience, tokens are for the control plane's
    /// own URL. With one, grant that URL as well if the device needs it
    #[arg(long = "audience", value_name = "URI")]
    pub(super) audiences: Vec<String>,
    /// A scope to remove
    #[arg(long = "remove-scope", value_name = "SCOPE")]
    pub(super) remove_scopes: Vec<String>,
    /// An audience to remove
    #[arg(long = "remove-audience", value_name = "URI")]
    pub(super) remove_audiences: Vec<String>,
    /// Remove every scope and audience that --scope and --audience do not name
    #[arg(long, conflicts_with_all = ["remove_scopes", "remove_audiences"])]
    pub(super) exactly: bool,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct LostArgs {
    /// Create an empty database where the keys exist and the database is lost
    ///
    /// Restore a backup instead if there is one. An empty database has no device, no suspension and no record: enrol each
    /// device again. It counts each device's next pairing as its first.
    #[arg(long)]
    accept_empty_database: bool,
}

impl From<LostArgs> for LostDatabase {
    fn from(args: LostArgs) -> Self {
        if args.accept_empty_database { Self::Accepted } else { Self::Refused }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Serve devices and operators
    Serve {
        /// How much to log to stderr: error, warn, info, debug or trace
        #[arg(long, default_value = "info", value_name = "LEVEL")]
        log: LevelFilter,
        #[command(flatten)]
        lost: LostArgs,
    },
    /// Create keys, certificates and the database, and print their paths
    Init {
        #[command(flatten)]
        lost: LostArgs,
    },
    /// Enrol devices, so that they can pair
    ///
    /// Name a device of `pending` by its id or a prefix of it. Compare the id with the one that `pawlctl status` shows
    /// at the device: host name and address are not proven.
    Enrol {
        /// A device of `pending`: its id, or a prefix of it (6 characters or more)
        #[arg(value_name = "PENDING")]
        pending: Vec<String>,
        /// SHA-256 of each device's endorsement key, as `pawlctl status` shows it
        #[arg(long, required_unless_present = "pending", num_args = 1.., value_name = "HEX")]
        ek_sha256: Vec<String>,
        /// A label for these devices
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// Let them pair without a TPM vendor's certificate, although `endorsement.vendor_cas` requires one
        ///
        /// Then only the enrolled hash verifies the endorsement key. Every approver sees this exception. To require the
        /// certificate again, enrol the device without this option.
        #[arg(long)]
        without_certificate: bool,
        /// A scope to grant, in addition to those that the devices already have
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// An audience to grant; without any, tokens are for the control plane's own URL
        #[arg(long = "audience", value_name = "URI")]
        audiences: Vec<String>,
    },
    /// List the devices that asked to be paired and are not enrolled
    ///
    /// The TPM of each has proven that it has this endorsement key. Host name and address are not proven. The list
    /// keeps the last 256 devices, and of one address the last `limits.pending_per_address`.
    Pending,
    /// Change the scopes and audiences that a device is granted, at once
    ///
    /// --scope and --audience add to what the device has; --remove-scope and --remove-audience remove; with --exactly the
    /// device keeps only what --scope and --audience name. The token endpoint applies the change at once. A verdict carries
    /// it to the device, which drops the tokens outside it and requests new ones. Tokens that a resource server already
    /// has remain valid until they expire. Without options this shows what is granted.
    Entitle(EntitleArgs),
    /// List the devices
    ///
    /// FIELD is one of device, label, certificate, status, standing, pairing, epoch, verdict, lease_until, last_report
    /// (Unix seconds), overdue, online, hostname, kernel, system, product, architecture, agent, uptime (seconds), load,
    /// memory, swap, state, root (MiB free) and cpu (degrees Celsius). From online on the values are the device's own
    /// statements.
    Devices(DevicesArgs),
    /// Show everything about a device
    Show {
        #[arg(help = DEVICE)]
        device: String,
    },
    /// Revoke a device permanently: its TPM ends the epoch, and its keys and tokens become unusable
    ///
    /// The control plane stops tokens and leases at once; the device's receipt proves that the epoch has ended. An enrolled
    /// device may be paired again, in a later epoch. Suspend it as well to prevent that.
    Revoke {
        #[arg(help = DEVICE)]
        device: String,
        /// The reason; shown on the device
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Do not ask for confirmation; required if there is no terminal to ask at
        #[arg(long)]
        yes: bool,
    },
    /// Revoke a device and order it to pair again
    Repair {
        #[arg(help = DEVICE)]
        device: String,
        /// The reason; shown on the device
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Do not ask for confirmation; required if there is no terminal to ask at
        #[arg(long)]
        yes: bool,
    },
    /// Give a device another label
    Rename {
        #[arg(help = DEVICE)]
        device: String,
        /// The label from now on
        #[arg(required_unless_present = "remove")]
        label: Option<String>,
        /// Remove the label
        #[arg(long, conflicts_with = "label")]
        remove: bool,
    },
    /// Retire a device that goes out of service: its entitlement ends, its history stays
    ///
    /// The control plane revokes the live pairing, and removes all scopes and audiences. The device leaves the list of
    /// `devices`; `devices --retired` has it. To use it again, enrol it again.
    Retire {
        #[arg(help = DEVICE)]
        device: String,
        /// The reason; shown on the device
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Do not ask for confirmation; required where there is no terminal to ask at
        #[arg(long)]
        yes: bool,
    },
    /// Delete a retired device: only its audit records stay
    ///
    /// `records ID` shows and exports them; the id must be given in full. The list for the broker still has its link
    /// certificates.
    Delete {
        #[arg(help = DEVICE)]
        device: String,
        /// Do not ask for confirmation; required where there is no terminal to ask at
        #[arg(long)]
        yes: bool,
    },
    /// Suspend a device until it is resumed; destroys nothing
    Suspend {
        #[arg(help = DEVICE)]
        device: String,
        /// The reason; shown on the device
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Resume a suspended device
    ///
    /// `show` and `suspend` show the number of the suspension and its reason. If the device has since been suspended
    /// again, it stays suspended: see `show` for the new number.
    Resume {
        #[arg(help = DEVICE)]
        device: String,
        /// The number of the suspension that you reviewed
        #[arg(long, value_name = "NUMBER")]
        suspension: u64,
    },
    /// Ask a device to report now
    Refresh {
        #[arg(help = DEVICE)]
        device: String,
    },
    /// List approval sessions: the requests, who approved, and what was refused
    Sessions {
        /// Only those of this device: its id, a prefix of the id (6 characters or more), or its label
        device: Option<String>,
    },
    /// Approve a device's request with an SSH key
    ///
    /// Shows the whole request and asks before it signs. Then it prints a confirmation code: read it to the person at the
    /// device. The approval counts once the code is typed there.
    Approve {
        /// The code that the device shows
        #[arg(long, value_name = "CODE")]
        code: String,
        /// A private key file, with which ssh-keygen signs; or a key in the ssh-agent: its .pub file, its fingerprint, or
        /// `agent` for the only one
        #[arg(long, value_name = "KEY")]
        sign_with: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Decline a session that waits for approval
    Decline {
        session: String,
        /// The reason; shown to the person at the device
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Accept a boot state that a device has reported, for example after an approved update
    ///
    /// `show` and `policy explain` show the state and its digest. If the device has since reported another state,
    /// nothing is accepted: review the new state.
    Accept {
        #[arg(help = DEVICE)]
        device: String,
        /// The digest of the boot state that you reviewed
        #[arg(long, value_name = "DIGEST", value_parser = digest)]
        state: Digest,
    },
    /// Check, explain and learn policies
    Policy {
        #[command(subcommand)]
        verb: PolicyVerb,
    },
    /// Manage the CAs of trusted TPM vendors: the directory of `endorsement.vendor_cas`
    VendorCas {
        #[command(subcommand)]
        verb: VendorCasVerb,
    },
    /// Approve a future boot state, so that the device's keys work before its network does
    ///
    /// The PCRs are computed from the device's last boot event log and from the files of the update. The control plane
    /// asks the device to report, and its verdict carries a lease for that state; `show` shows whether the device has
    /// the lease. The measurements of U-Boot are not computed: for such a device give the PCRs with --pcr. A lease
    /// cannot be withdrawn from a device that is out of reach: it ends when it expires, or when the device is revoked.
    ///
    /// The measurements of systemd are taken from the present boot. So the computation is wrong if the update changes
    /// them: from a systemd that does not extend the os-separator to one that does (261), from a systemd-stub that does
    /// not start the kernel itself or measure the SMBIOS table to one that does (258, 262), or to another signing key
    /// of the policy for the initrd, if the lease names PCR 9 and no other PCR replaces it. The device then boots
    /// without a valid lease, and the verdict on its first report brings one. If the present stub adds a boot secret
    /// (262), PCR 9 cannot be computed, and the lease names PCRs 12 and 13 instead. No lease names PCR 11, PCR 15 or an
    /// NvPCR: they are not computed.
    PreApprove(PreApproveArgs),
    /// Resolve the clone and rollback incidents of a device after an investigation
    ///
    /// `show` shows the incidents and the digest of those that are open. If another incident has since been opened,
    /// none is resolved: review it.
    Settle {
        #[arg(help = DEVICE)]
        device: String,
        /// The digest of the incidents that you reviewed
        #[arg(long, value_name = "DIGEST", value_parser = digest)]
        incidents: Digest,
        /// The result of the investigation
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show a device's audit records, and verify their chain
    Records(RecordsArgs),
    /// Verify a bundle of records with only the control plane's CA certificate: without server and configuration
    VerifyBundle {
        file: PathBuf,
        /// The control plane's ca.pem
        #[arg(long, value_name = "FILE")]
        ca: PathBuf,
        /// The id of the device that the bundle must be about
        #[arg(long, value_name = "ID")]
        device: Option<DeviceId>,
    },
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Args, Verb};

    #[test]
    fn the_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn several_keys_can_be_enrolled_at_once() {
        let args = ["pawl-control-plane", "enrol", "--ek-sha256", "aa", "bb", "--label", "gate 4", "--json"];
        let args = Args::try_parse_from(args).unwrap();
        assert!(args.json);
        let Verb::Enrol { ek_sha256, label, without_certificate, .. } = args.verb else {
            panic!("{:?}", args.verb)
        };
        assert_eq!(ek_sha256, ["aa", "bb"]);
        assert_eq!(label.as_deref(), Some("gate 4"));
        assert!(!without_certificate, "a certificate is required by default");
    }

    #[test]
    fn exactly_conflicts_with_removals_by_name() {
        let entitle = |more: &[&str]| {
            let args = [&["pawl-control-plane", "entitle", "device"], more].concat();
            Args::try_parse_from(args).map(|args| args.verb)
        };
        let Ok(Verb::Entitle(args)) = entitle(&["--scope", "a", "--scope", "b", "--remove-scope", "c"])
        else {
            panic!("not parsed")
        };
        assert_eq!(
            (args.scopes.as_slice(), args.remove_scopes.as_slice()),
            (&["a".into(), "b".into()][..], &["c".into()][..])
        );
        assert!(entitle(&["--exactly", "--audience", "https://api.example"]).is_ok());
        assert!(entitle(&["--exactly", "--remove-scope", "c"]).is_err());
    }

    #[test]
    fn a_revocation_requires_a_reason() {
        assert!(Args::try_parse_from(["pawl-control-plane", "revoke", "device"]).is_err());
    }

    #[test]
    fn the_help_names_the_exit_codes() {
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains("69  the server does not run"), "{help}");
    }
}
