use super::explain::{Explainer, Ruling};
use crate::appraise::policy::Policy;
use crate::appraise::policy::boot::Boot;
use crate::appraise::{Area, Reason, TrustTier};
use crate::eventlog::{BOOT_PHASES_PCR, EventFact, Fact, SectionPart, Stage};

const SECTIONS: &str = "boot.sections";
/// The PCR of the images that firmware and boot loader loaded.
pub(super) const IMAGES_PCR: u8 = 4;
/// The PCRs into which systemd-stub measures what it adds to the initrd: command lines and credentials, system
/// extensions.
const ADDITIONS_PCRS: [u8; 2] = [12, 13];

/// Returns the unified kernel image that started the kernel itself: the last loaded image. With stubs up to
/// version 257 the last image is instead the kernel, which the firmware loads.
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

/// Returns whether an allowed unified kernel image determined the initrd. The image's Authenticode digest covers
/// the initrd in it. Whatever the stub adds is measured into PCRs 12 and 13 and explained there, except the boot
/// secret (systemd 262), which differs on each machine.
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

/// If the policy lists sections, checks that the image passed on no others.
pub(super) fn sections_are_allowed(policy: &Policy, boot: &Boot<'_>) -> Vec<Reason> {
    let list = &policy.boot.sections;
    if list.is_empty() {
        return Vec::new();
    }
    let refuse = |text| Reason::new(SECTIONS, Area::Boot, TrustTier::Contraindicated, text);
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
