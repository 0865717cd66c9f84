use super::explain::{Explainer, Ruling};
use crate::appraise::policy::Policy;
use crate::appraise::policy::boot::Boot;
use crate::appraise::{Area, Reason, Verdict};
use crate::eventlog::{BOOT_PHASES_PCR, EventFact, Fact, SectionPart, Stage};

const SECTIONS: &str = "boot.sections";
/// What firmware and boot loader loaded.
pub(super) const IMAGES_PCR: u8 = 4;
/// What systemd-stub adds to the initrd, it measures here first: command lines and credentials, extensions.
const ADDITIONS_PCRS: [u8; 2] = [12, 13];

/// The unified kernel image that started the kernel by itself: it is the last image that was loaded. Stubs up to
/// version 257 have the firmware load the kernel in it, which is then the last.
pub(in crate::appraise::policy) fn started<'b, 'a>(boot: &'b Boot<'a>) -> Option<&'b EventFact<'a>> {
    let mut images = boot.events().iter().filter(|event| {
        event.pcr == IMAGES_PCR && event.stage == Stage::Loader && matches!(event.fact, Fact::Image(_))
    });
    let image = images.next_back()?;
    let is_kernel = |event: &EventFact<'_>| matches!(&event.fact, Fact::UnifiedSection { name, part: SectionPart::Content } if name == ".linux");
    let unpacked = contents(boot).any(|event| event.number > image.number && is_kernel(event));
    let accounted = ADDITIONS_PCRS.iter().all(|pcr| boot.accounts_for(*pcr));
    (unpacked && accounted).then_some(image)
}

/// Whether a unified kernel image that the policy names made the initrd that the kernel got. Its Authenticode digest
/// covers the initrd in it; all that its stub adds is measured into PCRs 12 and 13 and explained there, but for the
/// boot secret (systemd 262), which differs on each machine.
pub(super) fn vouches_for_initrd(policy: &Policy, boot: &Boot<'_>, explainer: &Explainer<'_>) -> bool {
    let named = started(boot)
        .and_then(|image| image.digest.as_ref())
        .is_some_and(|digest| policy.boot.unified_images.allows(digest));
    let mut additions = boot
        .events()
        .iter()
        .filter(|event| ADDITIONS_PCRS.contains(&event.pcr) && event.stage != Stage::UserSpace);
    named && additions.all(|event| matches!(explainer.explain(event), Ruling::Explained))
}

/// Where the policy lists sections, the image passed on no others.
pub(super) fn sections_are_allowed(policy: &Policy, boot: &Boot<'_>) -> Vec<Reason> {
    let list = &policy.boot.sections;
    if list.is_empty() {
        return Vec::new();
    }
    let refuse = |text| Reason::new(SECTIONS, Area::Boot, Verdict::Contraindicated, text);
    if !boot.accounts_for(BOOT_PHASES_PCR) {
        let text = "the logs do not account for PCR 11, which has the sections of the unified kernel image";
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
