use std::collections::HashSet;

use super::command_line::{self, CommandLines};
use super::{firmware, secure_boot, unified};
use crate::appraise::policy::boot::Boot;
use crate::appraise::policy::pattern::PatternIndex;
use crate::appraise::policy::{AllowedList, LoaderCommandPattern, PcrIndex, Policy};
use crate::eventlog::{EventFact, Fact, Image, Stage, Tie, UserSpaceEvent};
use crate::tpm::TaggedDigest;

/// What the rules say of one event.
pub(super) enum Ruling {
    /// A rule allows it.
    Explained,
    /// A rule covers it and does not allow it.
    Refused {
        /// The rule.
        rule: &'static str,
        /// The reason, for people.
        text: String,
    },
    /// No rule covers it.
    Unexplained,
}

impl Ruling {
    pub(super) fn refused(rule: &'static str, text: String) -> Self {
        Self::Refused { rule, text }
    }
}

/// The rules for single events, and the facts about the whole boot that they need.
pub(super) struct Explainer<'p> {
    policy: &'p Policy,
    signers_vouch: bool,
    image_vouches_for_initrd: bool,
    /// The log line of the SMBIOS tables that the firmware measured.
    machine_tables: Option<usize>,
    command_lines: CommandLines<'p>,
    loader_commands: PatternIndex<'p, LoaderCommandPattern>,
    versions: HashSet<&'p str>,
}

impl<'p> Explainer<'p> {
    /// Prepares the rules. `keys_judged` says whether unexplained events in the PCR of Secure Boot's keys are
    /// refused, `images_judged` whether those in the PCR of images are. If they were not, a log could rename the
    /// event of an image's signer, or omit the last image.
    pub(super) fn new(policy: &'p Policy, boot: &Boot<'_>, keys_judged: bool, images_judged: bool) -> Self {
        let mut this = Self {
            policy,
            signers_vouch: keys_judged && secure_boot::signers_vouch(policy, boot),
            image_vouches_for_initrd: false,
            machine_tables: firmware::machine_tables(boot).map(|event| event.number),
            command_lines: CommandLines::new(policy),
            loader_commands: PatternIndex::new(&policy.boot.loader_commands),
            versions: policy.firmware.versions.iter().map(String::as_str).collect(),
        };
        this.image_vouches_for_initrd = images_judged && unified::vouches_for_initrd(policy, boot, &this);
        this
    }

    /// Applies the rules to an event. Explains any event that extended nothing in the appraised bank.
    pub(super) fn explain(&self, event: &EventFact<'_>) -> Ruling {
        let Some(digest) = &event.digest else { return Ruling::Explained };
        if self.lists(event.pcr, digest) || event.is_routine() {
            return Ruling::Explained;
        }
        if let Fact::Separator { failed: true } = event.fact {
            return Ruling::refused(
                "firmware.separators",
                format!("PCR {}: the firmware reports an error", event.pcr),
            );
        }
        if firmware::is_left_to_version(self.policy, event) {
            return Ruling::Explained;
        }
        match event.tie {
            Tie::Digest => self.judge(event, digest),
            Tie::Claim => Ruling::Unexplained,
        }
    }

    fn judge(&self, event: &EventFact<'_>, digest: &TaggedDigest) -> Ruling {
        let (policy, rules) = (self.policy, &self.policy.boot);
        let listed = |list: &AllowedList, rule| in_list(list, rule, event, digest);
        match &event.fact {
            // Another rule checks whether Secure Boot must be on.
            Fact::SecureBoot(_) => Ruling::Explained,
            Fact::SignatureDatabase(database) => secure_boot::database(policy, database, digest),
            Fact::Authority(authority) => secure_boot::authority(policy, authority),
            Fact::MachineOwnerKeys { .. } => {
                listed(&policy.secure_boot.machine_owner_keys, "secure-boot.machine-owner-keys")
            }
            Fact::FirmwareVersion(version) => self.version(version),
            Fact::FirmwareContent(_)
                if rules.accept_machine_identity && self.machine_tables == Some(event.number) =>
            {
                Ruling::Explained
            }
            Fact::FirmwareContent(content) => firmware::content(policy, content, digest),
            Fact::Image(image) => self.image(image, digest),
            Fact::CommandLine(text) => self.command_lines.text(text),
            Fact::LoadOptions => self.command_lines.digest(digest),
            Fact::Kernel => listed(&rules.images, "boot.images"),
            Fact::Initrd if self.image_vouches_for_initrd => Ruling::Explained,
            Fact::Initrd => listed(&rules.initrds, "boot.initrds"),
            Fact::UnifiedSection { .. } => listed(&rules.sections, "boot.sections"),
            Fact::MachineTable if event.stage == Stage::Loader && rules.accept_machine_identity => {
                Ruling::Explained
            }
            Fact::UserSpace(UserSpaceEvent::MachineId(_)) if rules.accept_machine_identity => {
                Ruling::Explained
            }
            Fact::LoadedFile { .. } | Fact::LoaderData(_) => listed(&rules.files, "boot.files"),
            Fact::LoaderCommand(text) if self.loader_commands.fits(text) => Ruling::Explained,
            Fact::LoaderCommand(text) => {
                let remark = command_line::remark(text);
                Ruling::refused("boot.loader-commands", format!("{} fits no pattern{remark}", event.fact))
            }
            _ => Ruling::Unexplained,
        }
    }

    fn version(&self, version: &str) -> Ruling {
        let allowed = self.policy.firmware.accept_any_version || self.versions.contains(version);
        if allowed { Ruling::Explained } else { firmware::other_version(version) }
    }

    fn image(&self, image: &Image, digest: &TaggedDigest) -> Ruling {
        let rules = &self.policy.boot;
        let is_listed = [&rules.images, &rules.unified_images].iter().any(|list| list.allows(digest));
        if self.signers_vouch || is_listed {
            return Ruling::Explained;
        }
        let signed = match rules.accept_signed_images {
            true => ", nor vouched for by signers of the policy alone",
            false => "",
        };
        Ruling::refused(
            "boot.images",
            format!("not in the list{signed}: {} {digest}, {image}", digest.algorithm()),
        )
    }

    fn lists(&self, pcr: u8, digest: &TaggedDigest) -> bool {
        let section = PcrIndex::new(pcr).and_then(|pcr| self.policy.pcr.get(&pcr));
        section.is_some_and(|section| section.digests.allows(digest))
    }
}

fn in_list(list: &AllowedList, rule: &'static str, event: &EventFact<'_>, digest: &TaggedDigest) -> Ruling {
    if list.allows(digest) {
        return Ruling::Explained;
    }
    Ruling::refused(rule, format!("not in the list: {} {digest}, {}", digest.algorithm(), event.fact))
}
