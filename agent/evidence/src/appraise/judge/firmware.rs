use pawl_proto::message::{Area, TrustTier};

use crate::appraise::boot::Boot;
use crate::appraise::policy::{AllowedList, Policy};
use crate::appraise::reason::{Reason, Ruling};
use crate::eventlog::{
    Authority, DatabaseName, EventFact, Fact, FirmwareContent, FirmwarePart, Signature, SignatureDatabase,
    SignatureEntry, Stage,
};
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
            reason(TrustTier::Affirming, format!("the firmware reports version \"{version}\""))
        }
        Some(version) => {
            let text = format!("the firmware reports version \"{version}\", which is not allowed");
            reason(TrustTier::Contraindicated, text)
        }
        None if rule.accept_any_version => None,
        None => {
            let text = "the boot event log does not show the firmware's version".to_owned();
            reason(TrustTier::Contraindicated, text)
        }
    }
}

/// Returns the refusal of an event with a version that is not allowed.
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

/// Returns the event of the SMBIOS tables that the firmware measured, which contain the machine's UUID and serial
/// number. No digest covers an event's type, so only the first such event is accepted as these tables: firmware
/// measures them once.
pub(in crate::appraise) fn machine_tables<'b, 'a>(boot: &'b Boot<'a>) -> Option<&'b EventFact<'a>> {
    boot.events().iter().find(|event| {
        event.pcr == SETTINGS_PCR
            && event.stage == Stage::Firmware
            && matches!(&event.fact, Fact::FirmwareContent(content) if content.part == FirmwarePart::MachineTables)
    })
}

/// Returns whether the policy accepts any firmware content of an allowed version. Applies to all events in PCR 0 before
/// the boot loader's, of any type, because no digest covers the type.
pub(super) fn is_left_to_version(policy: &Policy, event: &EventFact<'_>) -> bool {
    policy.firmware.accept_any_content && event.pcr == FIRMWARE_PCR && event.stage == Stage::Firmware
}

fn allows_version(policy: &Policy, version: &str) -> bool {
    policy.firmware.accept_any_version || policy.firmware.versions.iter().any(|allowed| allowed == version)
}

const REQUIRED: &str = "secure-boot.required";
/// The PCR of Secure Boot's state and keys, and of the signers of the loaded images.
pub(super) const KEYS_PCR: u8 = 7;
const SIGNERS: &str = "secure-boot.signers";

/// Checks that the firmware enforced Secure Boot, if the policy requires it.
pub(super) fn secure_boot_is_on(policy: &Policy, boot: &Boot<'_>) -> Option<Reason> {
    let state = boot.facts().secure_boot();
    let (tier, text) = match (state, policy.secure_boot.required) {
        (Some(true), _) => (TrustTier::Affirming, "Secure Boot is on"),
        (_, false) => return None,
        (Some(false), true) => (TrustTier::Contraindicated, "Secure Boot is off"),
        (None, true) => {
            (TrustTier::Contraindicated, "the boot event log does not show whether Secure Boot is on")
        }
    };
    let reason = Reason::new(REQUIRED, Area::Firmware, tier, text);
    let event = boot.events().iter().find(|event| matches!(event.fact, Fact::SecureBoot(_)));
    Some(match event {
        Some(event) => reason.at(event.number),
        None => reason,
    })
}

/// Returns whether the policy accepts signed images and names all signers of this boot's images. Then the
/// firmware itself refused all other images.
pub(super) fn signers_vouch(policy: &Policy, boot: &Boot<'_>) -> bool {
    let mut authorities = boot.facts().authorities().peekable();
    policy.boot.accept_signed_images
        && boot.facts().secure_boot() == Some(true)
        && authorities.peek().is_some()
        && authorities.all(|authority| is_signer(policy, authority))
}

pub(super) fn authority(policy: &Policy, authority: &Authority) -> Ruling {
    if is_signer(policy, authority) {
        return Ruling::Explained;
    }
    Ruling::refused(
        SIGNERS,
        format!("{authority}, which is not a signer in the policy: {}", entry_id(&authority.entry)),
    )
}

pub(super) fn signature_database(
    policy: &Policy,
    database: &SignatureDatabase,
    digest: &TaggedDigest,
) -> Ruling {
    let rules = &policy.secure_boot;
    let (rule, list) = match database.which {
        DatabaseName::PlatformKey => ("secure-boot.platform-keys", &rules.platform_keys),
        DatabaseName::KeyExchangeKeys => ("secure-boot.key-exchange-keys", &rules.key_exchange_keys),
        DatabaseName::Allowed => ("secure-boot.allowed-signatures", &rules.allowed_signatures),
        DatabaseName::Forbidden => return forbidden(&rules.forbidden_signatures, database, digest),
        DatabaseName::TimeStamps | DatabaseName::Recovery => return Ruling::Unexplained,
    };
    let listed = |entry: &SignatureEntry| entry_digest(entry).is_some_and(|digest| list.allows(digest));
    let unlisted = database.entries.iter().find(|entry| !listed(entry));
    match unlisted {
        None => Ruling::Explained,
        Some(entry) => {
            let (which, signature) = (database.which, &entry.signature);
            Ruling::refused(
                rule,
                format!("{which} contains {signature}, which is not in the list: {}", entry_id(entry)),
            )
        }
    }
}

/// Judges the whole list by its digest, because an emptied dbx would allow forbidden images again.
fn forbidden(list: &AllowedList, database: &SignatureDatabase, digest: &TaggedDigest) -> Ruling {
    if list.allows(digest) {
        return Ruling::Explained;
    }
    let text = format!("not in the list: {} {digest}, {database}", digest.algorithm());
    Ruling::refused("secure-boot.forbidden-signatures", text)
}

fn is_signer(policy: &Policy, authority: &Authority) -> bool {
    entry_digest(&authority.entry).is_some_and(|digest| policy.secure_boot.signers.allows(digest))
}

/// Returns the digest by which a policy names an entry.
pub(in crate::appraise) fn entry_digest(entry: &SignatureEntry) -> Option<&TaggedDigest> {
    match &entry.signature {
        Signature::Certificate(certificate) => Some(&certificate.fingerprint),
        Signature::Image(digest) => Some(digest),
        Signature::Other(_) => None,
    }
}

fn entry_id(entry: &SignatureEntry) -> String {
    entry_digest(entry).map_or_else(|| "of unknown type".to_owned(), |digest| format!("{digest:?}"))
}
