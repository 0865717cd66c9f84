use super::explain::Ruling;
use crate::appraise::policy::Policy;
use crate::appraise::policy::boot::Boot;
use crate::appraise::{Area, Reason, TrustTier};
use crate::eventlog::{EventFact, Fact, FirmwareContent, FirmwarePart, Stage};
use crate::tpm::TaggedDigest;

const VERSIONS: &str = "firmware.versions";
/// The PCR of the firmware's code.
const FIRMWARE_PCR: u8 = 0;

/// Checks that the firmware reports an allowed version.
pub(super) fn version_is_allowed(policy: &Policy, boot: &Boot<'_>) -> Option<Reason> {
    let rule = &policy.firmware;
    let reason = |tier, text| Some(Reason::new(VERSIONS, Area::Firmware, tier, text));
    match boot.facts().firmware_version() {
        Some(version) if allows_version(policy, version) => {
            reason(TrustTier::Affirming, format!("the firmware says that it has version \"{version}\""))
        }
        Some(version) => {
            let text = format!("the firmware says that it has version \"{version}\", which is not allowed");
            reason(TrustTier::Contraindicated, text)
        }
        None if rule.accept_any_version => None,
        None => {
            let text = "the boot event log does not tell the firmware's version".to_owned();
            reason(TrustTier::Contraindicated, text)
        }
    }
}

/// Refuses an event with a version that is not allowed.
pub(super) fn other_version(version: &str) -> Ruling {
    Ruling::refused(VERSIONS, format!("firmware version \"{version}\" is not allowed"))
}

pub(super) fn content(policy: &Policy, content: &FirmwareContent, digest: &TaggedDigest) -> Ruling {
    if policy.firmware.contents.allows(digest) {
        return Ruling::Explained;
    }
    Ruling::refused(
        "firmware.contents",
        format!("not in the list: {} {digest}, {content}", digest.algorithm()),
    )
}

/// The PCR of the firmware's settings and tables.
const SETTINGS_PCR: u8 = 1;

/// Returns the SMBIOS tables that the firmware measured, which contain the machine's UUID and serial number. The
/// log alone determines an event's type, so at most one event is accepted as these tables: firmware measures
/// them once.
pub(in crate::appraise::policy) fn machine_tables<'b, 'a>(boot: &'b Boot<'a>) -> Option<&'b EventFact<'a>> {
    boot.events().iter().find(|event| {
        event.pcr == SETTINGS_PCR
            && event.stage == Stage::Firmware
            && matches!(&event.fact, Fact::FirmwareContent(content) if content.part == FirmwarePart::MachineTables)
    })
}

/// Returns whether the policy accepts any firmware content of an allowed version. This covers every event before
/// the boot loader's in PCR 0, because the log alone determines their types.
pub(super) fn is_left_to_version(policy: &Policy, event: &EventFact<'_>) -> bool {
    policy.firmware.accept_any_content && event.pcr == FIRMWARE_PCR && event.stage == Stage::Firmware
}

fn allows_version(policy: &Policy, version: &str) -> bool {
    policy.firmware.accept_any_version || policy.firmware.versions.iter().any(|allowed| allowed == version)
}
