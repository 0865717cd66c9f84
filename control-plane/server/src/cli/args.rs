use std::path::PathBuf;

use clap::{Parser, Subcommand};
use pawl_proto::{DeviceId, Digest};
use tracing::level_filters::LevelFilter;

use super::condition::Condition;
use super::digest;
use super::local::VendorCasVerb;
use super::policy::PolicyVerb;
use super::pre_approve::PreApproveArgs;
use crate::config::DEFAULT_PATH;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   refused or failed
  64  wrong usage
  69  the server does not run
  78  the configuration cannot be used";

/// The reference control plane of Pawl
#[derive(Debug, Parser)]
#[command(name = "pawl-control-plane", version, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
    /// The configuration
    #[arg(long, global = true, default_value = DEFAULT_PATH, value_name = "PATH")]
    pub(super) config: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RecordsArgs {
    pub(super) device: String,
    /// The device's own records instead, as far as they are kept
    #[arg(long = "device")]
    pub(super) own: bool,
    /// Check both chains, and in them quotes, receipts, leases, approvals and assurances
    #[arg(long)]
    pub(super) verify: bool,
    /// Write them to a file, one line of JSON for each
    #[arg(long, value_name = "FILE")]
    pub(super) export: Option<PathBuf>,
    /// Write both chains as one signed bundle, for `verify-bundle`
    #[arg(long, requires = "export", conflicts_with = "own")]
    pub(super) bundle: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct EntitleArgs {
    pub(super) device: String,
    /// A scope to grant
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(super) scopes: Vec<String>,
    /// An audience to grant: the absolute URI of a resource. If none is granted, it is the control
    /// plane's own URL; where one is, grant that URL as well if the device needs it
    #[arg(long = "audience", value_name = "URI")]
    pub(super) audiences: Vec<String>,
    /// A scope to take back
    #[arg(long = "remove-scope", value_name = "SCOPE")]
    pub(super) remove_scopes: Vec<String>,
    /// An audience to take back
    #[arg(long = "remove-audience", value_name = "URI")]
    pub(super) remove_audiences: Vec<String>,
    /// Take back all that is not named here with --scope and --audience
    #[arg(long, conflicts_with_all = ["remove_scopes", "remove_audiences"])]
    pub(super) exactly: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Serve devices and operators
    Serve {
        /// How much to log to stderr: error, warn, info, debug or trace
        #[arg(long, default_value = "info", value_name = "LEVEL")]
        log: LevelFilter,
    },
    /// Make keys and certificates, and say where they are
    Init,
    /// Let devices pair
    Enrol {
        /// SHA-256 of their endorsement keys, as `pawlctl status` shows it
        #[arg(long, required = true, num_args = 1.., value_name = "HEX")]
        ek_sha256: Vec<String>,
        /// What to call them
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// Let them pair without a TPM vendor's certificate, which `endorsement.vendor_cas` requires otherwise
        ///
        /// Nothing but the hash then says that the key is in a TPM. Every approver sees it. To require the
        /// certificate again, enrol the device again without this.
        #[arg(long)]
        without_certificate: bool,
        /// A scope that their tokens may have, beside those that they are granted already
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// An audience that their tokens may have; without any, the control plane's own URL
        #[arg(long = "audience", value_name = "URI")]
        audiences: Vec<String>,
    },
    /// Change which scopes and audiences a device is granted; it takes effect at once
    ///
    /// What is named with --scope and --audience is granted beside what the device has; --remove-scope and
    /// --remove-audience take something back; with --exactly the device keeps nothing but what --scope and
    /// --audience name. The token endpoint follows at once. A verdict tells the device, which drops the tokens
    /// that it may no longer have and asks for those that it may. Tokens that were issued before are good
    /// until they expire. Without any option this shows what is granted.
    Entitle(EntitleArgs),
    /// List the devices
    Devices {
        /// Only devices that fit, as in 'memory<64', 'kernel=6.1.*' or 'standing!=active'; all of several
        ///
        /// FIELD is one of label, standing, pairing, verdict, overdue, hostname, kernel, system, product,
        /// architecture, agent, uptime (seconds), load, memory, swap, state, root (MiB free) and cpu (degrees
        /// Celsius). The operator is = or != (a * stands for any text), and < or > for numbers. From hostname on
        /// these are what the device last said of itself. A device without a value does not fit.
        #[arg(long = "where", value_name = "FIELD=VALUE")]
        conditions: Vec<Condition>,
    },
    /// Show everything about a device
    Show { device: String },
    /// End a device's epoch: its TPM destroys keys and tokens for good
    ///
    /// Tokens and leases stop at once; the device's receipt proves the rest. While the device stays
    /// enrolled it may be paired again, in a later epoch; suspend it as well to keep it out.
    Revoke {
        device: String,
        /// Why; the device and its technicians read it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a device's epoch and have it pair again
    Repair {
        device: String,
        /// Why; the device and its technicians read it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Take a device's entitlement until it is resumed; nothing is destroyed
    Suspend {
        device: String,
        /// Why; the device and its technicians read it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a device's suspension
    ///
    /// `show` and `suspend` show the number of the suspension and its reason. A device that was suspended again
    /// meanwhile stays suspended: look again.
    Resume {
        device: String,
        /// The suspension that you have looked at
        #[arg(long, value_name = "NUMBER")]
        suspension: u64,
    },
    /// Have a device report now
    Refresh { device: String },
    /// List sessions: what devices have asked to be approved, who approved, and what was refused
    Sessions {
        /// Of one device alone
        device: Option<String>,
    },
    /// Approve what a device asks for, with an SSH key
    ///
    /// Shows the whole request and asks. What it prints then is wanted at the device: the approval
    /// counts once it is typed there.
    Approve {
        /// What stands on the device's screen
        #[arg(long, value_name = "CODE")]
        code: String,
        /// A private key file, with which ssh-keygen signs; or a key in the ssh-agent: its .pub file, its fingerprint, or
        /// `agent` for the only one
        #[arg(long, value_name = "KEY")]
        sign_with: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Decline a session that waits for an approval
    Decline {
        session: String,
        /// Why; who stands at the device reads it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Accept a boot state that a device has reported, as after an approved update
    ///
    /// `show` and `policy explain` show what the device runs, and its digest. A device that has reported another
    /// state meanwhile is refused: look again.
    Accept {
        device: String,
        /// The boot state that you have looked at
        #[arg(long, value_name = "DIGEST", value_parser = digest)]
        state: Digest,
    },
    /// Say what policies mean, why a device is judged as it is, and which policy it would satisfy
    Policy {
        #[command(subcommand)]
        verb: PolicyVerb,
    },
    /// Say whose TPMs are trusted: the directory of `endorsement.vendor_cas`
    VendorCas {
        #[command(subcommand)]
        verb: VendorCasVerb,
    },
    /// Approve a boot state that a device is still to come to, so that its keys work before its network does
    ///
    /// The PCRs are computed from the device's last boot event log and from the files of the update. The
    /// device is asked to report, and the answer brings it a lease for that state; `show` tells when it has
    /// it. What U-Boot measures is not computed: for such a device give the PCRs with --pcr. A lease cannot be taken back from a device out of reach: it ends with its time, or by revoking
    /// the device.
    ///
    /// What systemd extends is taken from the present boot. So an update that changes it cannot be told: to a systemd
    /// that extends the os-separator (261) from one that does not, to a systemd-stub that starts the kernel itself (258)
    /// or measures the SMBIOS table (262) from one that does not, or to another signing key of the policy for the initrd,
    /// where the lease names PCR 9 and no other PCR stands in for it. The device boots, its lease ahead does not fit, and
    /// the verdict on its first report brings one. Where the present stub adds a boot secret (262), PCR 9 cannot be
    /// told, and the lease names PCRs 12 and 13 in its place. No lease names PCR 11, PCR 15 or an NvPCR: nothing is
    /// computed for them.
    PreApprove(PreApproveArgs),
    /// Put what was seen of clones and rollbacks of a device aside, once somebody has looked after it
    ///
    /// `show` shows the incidents and the digest of those that are open. When something else was seen meanwhile,
    /// nothing is settled: look again.
    Settle {
        device: String,
        /// The incidents that you have looked at
        #[arg(long, value_name = "DIGEST", value_parser = digest)]
        incidents: Digest,
        /// What came of it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show a device's assurance records, after checking their chain
    Records(RecordsArgs),
    /// Check a bundle of records: with the authority's certificate alone, no server and no
    /// configuration
    VerifyBundle {
        file: PathBuf,
        /// The control plane's ca.pem
        #[arg(long, value_name = "FILE")]
        ca: PathBuf,
        /// The device that it has to be about
        #[arg(long, value_name = "DEVICE")]
        device: Option<DeviceId>,
    },
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Args, Verb};

    #[test]
    fn the_definition_is_sound() {
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
        assert!(!without_certificate, "a certificate is required unless the operator says otherwise");
    }

    #[test]
    fn an_exact_entitlement_takes_nothing_back_by_name() {
        let entitle = |more: &[&str]| {
            let args = [&["pawl-control-plane", "entitle", "device"], more].concat();
            Args::try_parse_from(args).map(|args| args.verb)
        };
        let Ok(Verb::Entitle(args)) = entitle(&["--scope", "a", "--scope", "b", "--remove-scope", "c"])
        else {
            panic!("not understood")
        };
        assert_eq!(
            (args.scopes.as_slice(), args.remove_scopes.as_slice()),
            (&["a".into(), "b".into()][..], &["c".into()][..])
        );
        assert!(entitle(&["--exactly", "--audience", "https://api.example"]).is_ok());
        assert!(entitle(&["--exactly", "--remove-scope", "c"]).is_err());
    }

    #[test]
    fn an_order_that_destroys_wants_a_reason() {
        assert!(Args::try_parse_from(["pawl-control-plane", "revoke", "device"]).is_err());
    }

    #[test]
    fn the_help_names_the_exit_codes() {
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains("69  the server does not run"), "{help}");
    }
}
