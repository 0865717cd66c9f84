use std::collections::{BTreeMap, HashMap, HashSet};

use thiserror::Error;

use super::boot::Boot;
use super::coverage::{BootCoverage, Uncovered, indices};
use super::judge::{entry_digest, machine_tables, made_nvpcrs, started_unified_image};
use super::policy::{
    Allowed, AllowedList, CommandLinePattern, LoaderCommandPattern, NvIndex, PcrIndex, PcrSection, Policy,
};
use crate::eventlog::{
    BOOT_PHASES_PCR, DatabaseName, EventFact, EventLogError, FIRMWARE_PCRS, Fact, SignatureDatabase,
    SignatureEntry, Tie, UserSpaceEvent, command_line_digests,
};
use crate::measure_log::NvPcrInit;
use crate::tpm::{HashAlgorithm, Name, PcrSelection, PcrValues, TaggedDigest};

/// Why no policy can be learnt from a boot.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LearnError {
    /// The log is malformed or missing.
    #[error(transparent)]
    Log(#[from] EventLogError),
    /// The log and the quote are of different boots, the log was altered, or it is incomplete.
    #[error("the boot event log does not explain PCR {0}: learn from a device whose log does")]
    Pcr(u8),
    /// The lease would leave kernel or command line unprotected.
    #[error(transparent)]
    Uncovered(#[from] Uncovered),
    /// The quote lacks a PCR that a lease names.
    #[error("PCR {0} is missing from the quote, and a lease needs it")]
    Missing(u8),
}

/// A policy learnt from one boot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learnt {
    /// The policy. The names of its entries give their lines in the log.
    pub policy: Policy,
    /// The log lines of the entries without a name: command lines, commands, versions.
    pub lines: BTreeMap<String, usize>,
    /// The NvPCRs that systemd created in this boot. The policy names none, because their contents are specific
    /// to one machine or its users.
    pub nvpcrs: Vec<MadeNvPcr>,
}

/// An NvPCR that systemd created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeNvPcr {
    /// The handle of its NV index.
    pub index: NvIndex,
    /// systemd's name for it.
    pub name: String,
    /// The TPM's name of the index.
    pub index_name: Name,
}

impl Learnt {
    /// Returns the policy that allows this boot and, in the PCRs of leases, no other.
    ///
    /// The policy trusts all that the device runs now: read it before use.
    ///
    /// If only firmware extends a PCR and the log does not explain its value, the value goes into
    /// [`PcrSection::unlogged`].
    ///
    /// # Errors
    /// [`LearnError`] says why the boot is unsuitable.
    pub fn from_boot(
        log: &[u8],
        measure_log: Option<&[u8]>,
        quoted: &PcrValues,
        lease: &PcrSelection,
    ) -> Result<Self, LearnError> {
        let boot = Boot::read(log, measure_log, quoted)?;
        let unified = started_unified_image(&boot).and_then(|image| image.digest);
        let machine_tables = machine_tables(&boot).map(|event| event.number);
        let mut learner = Learner { unified, machine_tables, ..Learner::default() };
        learner.policy.boot.require_os_separator = !boot.separated().is_empty();
        learner.policy.secure_boot.required = boot.facts().secure_boot() == Some(true);
        learner.policy.firmware.accept_any_version = boot.facts().firmware_version().is_none();
        learner.command_lines = boot
            .facts()
            .command_lines()
            .flat_map(|text| command_line_digests(boot.bank(), text).map(|digest| (digest, text)))
            .collect();
        learner.learn_unlogged(&boot);
        for (_, pcr) in lease.iter() {
            learner.learn_pcr(&boot, pcr)?;
        }
        if learner.unified.is_some() {
            learner.learn_sections(&boot);
        }
        BootCoverage::of_boot(&boot).check(&indices(lease))?;
        let nvpcrs = made_nvpcrs(&boot).into_iter().filter_map(MadeNvPcr::of).collect();
        Ok(Self { policy: learner.policy, lines: learner.lines, nvpcrs })
    }
}

impl MadeNvPcr {
    fn of(made: NvPcrInit<'_>) -> Option<Self> {
        Some(Self {
            index: NvIndex::new(made.index)?,
            name: made.name.to_owned(),
            index_name: made.tpm_name?,
        })
    }
}

/// Builds the policy in time linear in the log, whose length the device chooses.
#[derive(Default)]
struct Learner<'f> {
    policy: Policy,
    /// Command lines whose text is in the log, by their digests.
    command_lines: HashMap<TaggedDigest, &'f str>,
    /// The texts already in the policy.
    texts: HashSet<(TextRule, String)>,
    lines: BTreeMap<String, usize>,
    /// The unified kernel image that determined the initrd.
    unified: Option<TaggedDigest>,
    /// The log line of the SMBIOS tables that the firmware measured.
    machine_tables: Option<usize>,
}

/// A rule that lists texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum TextRule {
    Version,
    CommandLine,
    LoaderCommand,
}

impl Learner<'_> {
    /// Learns the values of PCRs that only firmware extends and that the log does not explain, even if the lease does
    /// not name them: without an entry in the policy, appraisal would refuse the log.
    fn learn_unlogged(&mut self, boot: &Boot<'_>) {
        for pcr in FIRMWARE_PCRS {
            if let Some(value) = boot.quoted(pcr).filter(|_| !boot.accounts_for(pcr)) {
                self.section(pcr, |section| section.unlogged.push(*value));
            }
        }
    }

    fn learn_pcr(&mut self, boot: &Boot<'_>, pcr: u8) -> Result<(), LearnError> {
        /// The PCRs that logs must explain. User space extends those above 14, IMA extends 10, and systemd's
        /// boot phases extend 11.
        const LOGGED: [u8; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14];

        let value = boot.quoted(pcr).ok_or(LearnError::Missing(pcr))?;
        if !boot.accounts_for(pcr) {
            if FIRMWARE_PCRS.contains(&pcr) {
                return Ok(());
            }
            if LOGGED.contains(&pcr) {
                return Err(LearnError::Pcr(pcr));
            }
            self.section(pcr, |section| section.values.push(*value));
            return Ok(());
        }
        for event in boot.events().iter().filter(|event| event.pcr == pcr && !event.is_routine()) {
            if let Some(digest) = &event.digest {
                self.learn_event(event, digest);
            }
        }
        Ok(())
    }

    fn learn_sections(&mut self, boot: &Boot<'_>) {
        let sections = boot.events().iter().filter(|event| {
            event.pcr == BOOT_PHASES_PCR
                && matches!(event.fact, Fact::UnifiedSection { .. })
                && !event.is_routine()
        });
        for event in sections {
            if let Some(digest) = &event.digest {
                self.learn_event(event, digest);
            }
        }
    }

    fn learn_event(&mut self, event: &EventFact<'_>, digest: &TaggedDigest) {
        let this = Allowed { digest: *digest, name: format!("{} ({})", event.fact, event.place()) };
        if event.tie == Tie::Claim {
            return self.learn_unknown(event, this);
        }
        match &event.fact {
            Fact::SecureBoot(_) => {}
            Fact::SignatureDatabase(database) => self.learn_database(event, database, this),
            Fact::Authority(authority) => match of_entry(event, &authority.entry) {
                Some(signer) => self.policy.secure_boot.signers.push(signer),
                None => self.learn_unknown(event, this),
            },
            Fact::FirmwareVersion(version) => self.learn_version(event, version),
            Fact::CommandLine(text) => self.learn_command_line(event, text),
            Fact::LoaderCommand(text) => self.learn_command(event, text),
            Fact::LoadOptions => self.learn_load_options(event, this),
            Fact::Image(_) if self.unified == event.digest => self.policy.boot.unified_images.push(this),
            // This initrd contains the machine's boot secret.
            Fact::Initrd if self.unified.is_some() => {}
            Fact::MachineTable | Fact::UserSpace(UserSpaceEvent::MachineId(_)) => {
                self.policy.boot.accept_machine_identity = true;
            }
            Fact::FirmwareContent(_) if self.machine_tables == Some(event.number) => {
                self.policy.boot.accept_machine_identity = true;
            }
            fact => match list_of(&mut self.policy, fact) {
                Some(list) => list.push(this),
                None => self.learn_unknown(event, this),
            },
        }
    }

    /// Learns the text of the command line if another event of the log has it, else the digest.
    fn learn_load_options(&mut self, event: &EventFact<'_>, this: Allowed) {
        match self.command_lines.get(&this.digest).copied() {
            Some(text) => self.learn_command_line(event, text),
            None => self.policy.boot.command_line_digests.push(this),
        }
    }

    fn learn_version(&mut self, event: &EventFact<'_>, version: &str) {
        if self.is_new(TextRule::Version, version) {
            self.lines.entry(version.to_owned()).or_insert(event.number);
            self.policy.firmware.versions.push(version.to_owned());
        }
    }

    fn learn_command_line(&mut self, event: &EventFact<'_>, text: &str) {
        if self.is_new(TextRule::CommandLine, text) {
            let pattern = CommandLinePattern::literal(text);
            self.lines.entry(pattern.as_str().to_owned()).or_insert(event.number);
            self.policy.boot.command_lines.push(pattern);
        }
    }

    fn learn_command(&mut self, event: &EventFact<'_>, text: &str) {
        if self.is_new(TextRule::LoaderCommand, text) {
            let pattern = LoaderCommandPattern::literal(text);
            self.lines.entry(pattern.as_str().to_owned()).or_insert(event.number);
            self.policy.boot.loader_commands.push(pattern);
        }
    }

    fn is_new(&mut self, rule: TextRule, text: &str) -> bool {
        self.texts.insert((rule, text.to_owned()))
    }

    fn learn_database(&mut self, event: &EventFact<'_>, database: &SignatureDatabase, this: Allowed) {
        let rules = &mut self.policy.secure_boot;
        let list = match database.which {
            DatabaseName::PlatformKey => &mut rules.platform_keys,
            DatabaseName::KeyExchangeKeys => &mut rules.key_exchange_keys,
            DatabaseName::Allowed => &mut rules.allowed_signatures,
            DatabaseName::Forbidden => return rules.forbidden_signatures.push(this),
            DatabaseName::TimeStamps | DatabaseName::Recovery => return self.learn_unknown(event, this),
        };
        let entries: Option<Vec<Allowed>> =
            database.entries.iter().map(|entry| of_entry(event, entry)).collect();
        match entries {
            Some(entries) => list.extend(entries),
            None => self.learn_unknown(event, this),
        }
    }

    /// Learns the digest of an event without a rule of its own, for its PCR.
    fn learn_unknown(&mut self, event: &EventFact<'_>, this: Allowed) {
        self.section(event.pcr, |section| section.digests.push(this));
    }

    fn section(&mut self, pcr: u8, change: impl FnOnce(&mut PcrSection)) {
        if let Some(pcr) = PcrIndex::new(pcr) {
            change(self.policy.pcr.entry(pcr).or_default());
        }
    }
}

/// Returns the entry of a signature list, if a policy can name it.
fn of_entry(event: &EventFact<'_>, entry: &SignatureEntry) -> Option<Allowed> {
    let digest = entry_digest(entry).filter(|digest| digest.algorithm() == HashAlgorithm::Sha256)?;
    Some(Allowed { digest: *digest, name: format!("{} (line {})", entry.signature, event.number) })
}

/// Returns the list of the policy that has such facts by their digests.
fn list_of<'p>(policy: &'p mut Policy, fact: &Fact<'_>) -> Option<&'p mut AllowedList> {
    match fact {
        Fact::MachineOwnerKeys { .. } => Some(&mut policy.secure_boot.machine_owner_keys),
        Fact::FirmwareContent(_) => Some(&mut policy.firmware.contents),
        Fact::Image(_) | Fact::Kernel => Some(&mut policy.boot.images),
        Fact::Initrd => Some(&mut policy.boot.initrds),
        Fact::UnifiedSection { .. } => Some(&mut policy.boot.sections),
        Fact::LoadedFile { .. } | Fact::LoaderData(_) => Some(&mut policy.boot.files),
        _ => None,
    }
}
