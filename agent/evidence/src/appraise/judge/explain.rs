use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};

use pawl_proto::message::{Area, TrustTier};

use super::firmware;
use crate::appraise::boot::Boot;
use crate::appraise::coverage::BootCoverage;
use crate::appraise::policy::{
    AllowedList, CommandLinePattern, LoaderCommandPattern, PatternIndex, PcrIndex, Policy, only_literally,
};
use crate::appraise::reason::{Reason, Ruling};
use crate::eventlog::{
    BOOT_PHASES_PCR, EventFact, Fact, Image, SectionPart, Stage, Tie, UserSpaceEvent, command_line_digests,
};
use crate::tpm::TaggedDigest;

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
    /// Prepares the rules. `keys_judged` is whether unexplained events in the PCR of Secure Boot's keys are refused,
    /// `images_judged` whether those in the PCR of images are. Otherwise a log could give the event of an image's
    /// signer another type, or omit the last image.
    pub(super) fn new(policy: &'p Policy, boot: &Boot<'_>, keys_judged: bool, images_judged: bool) -> Self {
        let mut this = Self {
            policy,
            signers_vouch: keys_judged && firmware::signers_vouch(policy, boot),
            image_vouches_for_initrd: false,
            machine_tables: firmware::machine_tables(boot).map(|event| event.number),
            command_lines: CommandLines::new(policy),
            loader_commands: PatternIndex::new(&policy.boot.loader_commands),
            versions: policy.firmware.versions.iter().map(String::as_str).collect(),
        };
        this.image_vouches_for_initrd = images_judged && vouches_for_initrd(policy, boot, &this);
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
            Fact::SignatureDatabase(database) => firmware::signature_database(policy, database, digest),
            Fact::Authority(authority) => firmware::authority(policy, authority),
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
                let remark = wildcard_remark(text);
                Ruling::refused("boot.loader-commands", format!("{} matches no pattern{remark}", event.fact))
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
            true => ", and Secure Boot did not limit this boot's images to signers in the policy",
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

const COMMAND_LINES: &str = "boot.command-lines";

/// The rules for command lines, indexed because a log can have many command lines.
pub(super) struct CommandLines<'p> {
    patterns: PatternIndex<'p, CommandLinePattern>,
    listed: &'p AllowedList,
    /// The digests of the patterns without wildcards, in each form in which a command line is measured.
    digests: OnceCell<HashSet<TaggedDigest>>,
}

impl<'p> CommandLines<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        Self {
            patterns: PatternIndex::new(&policy.boot.command_lines),
            listed: &policy.boot.command_line_digests,
            digests: OnceCell::new(),
        }
    }

    /// Judges a command line whose text is in the log.
    pub(super) fn text(&self, text: &str) -> Ruling {
        if self.patterns.fits(text) {
            return Ruling::Explained;
        }
        Ruling::refused(
            COMMAND_LINES,
            format!(
                "the kernel's command line matches no pattern: {}{}",
                text.escape_debug(),
                wildcard_remark(text)
            ),
        )
    }

    /// Judges a command line of which the log has only the digest: compares it with the listed digests, and with the
    /// digests of patterns without wildcards.
    pub(super) fn digest(&self, digest: &TaggedDigest) -> Ruling {
        let forms = |text| command_line_digests(digest.algorithm(), text);
        let digests = self.digests.get_or_init(|| self.patterns.texts().flat_map(forms).collect());
        if self.listed.allows(digest) || digests.contains(digest) {
            return Ruling::Explained;
        }
        let text = format!(
            "the kernel's command line is not in the lists, and the log has only its digest: {} {digest}",
            digest.algorithm()
        );
        Ruling::refused(COMMAND_LINES, text)
    }
}

/// Returns why only a pattern without wildcards can match this text, as an addition to a reason; empty if others can.
pub(super) fn wildcard_remark(text: &str) -> String {
    only_literally(text)
        .map(|reason| format!(" ({reason}; a pattern without wildcards can)"))
        .unwrap_or_default()
}

/// Checks that this boot chain measured a command line into an appraised PCR, if the policy has rules for command
/// lines. Otherwise a log could hide a command line by giving its event another type.
pub(super) fn command_line_is_measured(
    policy: &Policy,
    coverage: &BootCoverage,
    judged: &BTreeSet<u8>,
) -> Option<Reason> {
    let rules = &policy.boot;
    let has_rules = !rules.command_lines.is_empty() || !rules.command_line_digests.is_empty();
    (has_rules && !coverage.has_command_line_in(judged)).then(|| {
        let text = "the boot chain measured no kernel command line into an appraised PCR";
        Reason::new(COMMAND_LINES, Area::Boot, TrustTier::Contraindicated, text)
    })
}

const SECTIONS: &str = "boot.sections";
/// The PCR of the images that firmware and boot loader loaded.
pub(super) const IMAGES_PCR: u8 = 4;
/// The PCRs into which systemd-stub measures its additions to the initrd: command lines and credentials, system
/// extensions.
const ADDITIONS_PCRS: [u8; 2] = [12, 13];

/// Returns the unified kernel image that started the kernel itself: the last loaded image, if its kernel section was
/// measured after it. With stubs up to version 257 the last image is the kernel, because the stub has the firmware load
/// it.
pub(in crate::appraise) fn started_unified_image<'b, 'a>(boot: &'b Boot<'a>) -> Option<&'b EventFact<'a>> {
    let mut images = boot.events().iter().filter(|event| {
        event.pcr == IMAGES_PCR && event.stage == Stage::Loader && matches!(event.fact, Fact::Image(_))
    });
    let image = images.next_back()?;
    let is_kernel = |event: &EventFact<'_>| matches!(&event.fact, Fact::UnifiedSection { name, part: SectionPart::Content } if name == ".linux");
    let unpacked = contents(boot).any(|event| event.number > image.number && is_kernel(event));
    let accounted = ADDITIONS_PCRS.iter().all(|pcr| boot.accounts_for(*pcr));
    (unpacked && accounted).then_some(image)
}

/// Returns whether an allowed unified kernel image determined the initrd. The image's Authenticode digest covers the
/// initrd in it. The stub measures its additions into PCRs 12 and 13, where rules must explain them. It does not
/// measure the boot secret (systemd 262), which differs on each machine.
pub(super) fn vouches_for_initrd(policy: &Policy, boot: &Boot<'_>, explainer: &Explainer<'_>) -> bool {
    let named = started_unified_image(boot)
        .and_then(|image| image.digest.as_ref())
        .is_some_and(|digest| policy.boot.unified_images.allows(digest));
    let mut additions = boot
        .events()
        .iter()
        .filter(|event| ADDITIONS_PCRS.contains(&event.pcr) && event.stage != Stage::UserSpace);
    named && additions.all(|event| matches!(explainer.explain(event), Ruling::Explained))
}

/// Checks that the unified kernel image has no other sections than the policy lists, if it lists any.
pub(super) fn sections_are_allowed(policy: &Policy, boot: &Boot<'_>) -> Vec<Reason> {
    let list = &policy.boot.sections;
    if list.is_empty() {
        return Vec::new();
    }
    let refuse = |text| Reason::new(SECTIONS, Area::Boot, TrustTier::Contraindicated, text);
    if !boot.accounts_for(BOOT_PHASES_PCR) {
        let text = "the logs do not explain PCR 11, which covers the sections of the unified kernel image";
        return vec![refuse(text.to_owned())];
    }
    contents(boot)
        .filter_map(|event| Some((event, event.digest.as_ref()?)))
        .filter(|(_, digest)| !list.allows(digest))
        .map(|(event, digest)| {
            refuse(format!("not in the list: {} {digest}, {}", digest.algorithm(), event.fact))
                .at(event.number)
        })
        .collect()
}

fn contents<'b, 'a>(boot: &'b Boot<'a>) -> impl Iterator<Item = &'b EventFact<'a>> {
    boot.events().iter().filter(|event| {
        event.pcr == BOOT_PHASES_PCR
            && matches!(event.fact, Fact::UnifiedSection { part: SectionPart::Content, .. })
    })
}
