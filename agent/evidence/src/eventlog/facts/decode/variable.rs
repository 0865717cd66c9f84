use super::{Decoded, Measured};
use crate::eventlog::facts::authority::Authority;
use crate::eventlog::facts::boot_option::{self, BootOption};
use crate::eventlog::facts::event_fact::Tie;
use crate::eventlog::facts::fact::Fact;
use crate::eventlog::facts::guid::Guid;
use crate::eventlog::facts::signatures::SignatureDatabase;
use crate::eventlog::facts::variable::Variable;

/// The PCR of Secure Boot's state and keys.
const SECURE_BOOT_PCR: u8 = 7;
/// The longest padding that shim leaves after a variable.
const PADDING_MAX: usize = 8;

/// Decodes EV_EFI_VARIABLE_DRIVER_CONFIG; the digest covers the whole structure.
pub(super) fn configuration<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let variable = Variable::read(measured.data())?;
    let fact = secure_boot(measured.event.pcr, &variable).unwrap_or(Fact::Variable(variable));
    Some(measured.whole(fact))
}

/// Decodes EV_EFI_VARIABLE_BOOT. Most firmware hashes only the value, as the profile required before
/// EV_EFI_VARIABLE_BOOT2. Then a variable that its value does not identify is a claim.
pub(super) fn boot<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let variable = Variable::read(measured.data())?;
    let value_alone = measured.covers(&[variable.data]);
    let order = || boot_option::read_order(&variable).map(Fact::BootOrder);
    match BootOption::of(&variable).map(Fact::BootOption).or_else(order) {
        Some(fact) if value_alone => Some((fact, Tie::Digest)),
        Some(fact) => Some(measured.whole(fact)),
        None => Some(measured.whole(Fact::Variable(variable))),
    }
}

/// Decodes EV_EFI_VARIABLE_AUTHORITY, which shim also logs for its own variables. Old versions of shim hash a
/// few zeros after the structure, and log one byte more than they hash.
pub(super) fn authority<'a>(measured: &Measured<'_, 'a>) -> Decoded<'a> {
    let (variable, len) = Variable::read_front(measured.data())?;
    let fact = Authority::of(&variable).map_or(Fact::Variable(variable), Fact::Authority);
    let followed_by = measured.data().len().checked_sub(len).filter(|more| *more <= PADDING_MAX)?;
    let hashed = (0..=followed_by).filter_map(|more| measured.data().get(..len.checked_add(more)?));
    let is_covered = hashed.into_iter().any(|hashed| measured.covers(&[hashed]));
    Some((fact, if is_covered { Tie::Digest } else { Tie::Claim }))
}

fn secure_boot(pcr: u8, variable: &Variable<'_>) -> Option<Fact<'static>> {
    if pcr != SECURE_BOOT_PCR {
        return None;
    }
    if variable.is(Guid::GLOBAL_VARIABLE, "SecureBoot") {
        // Firmware without Secure Boot has no such variable and measures its absence.
        return match variable.data {
            [] | [0] => Some(Fact::SecureBoot(false)),
            [1] => Some(Fact::SecureBoot(true)),
            _ => None,
        };
    }
    SignatureDatabase::of(variable).map(Fact::SignatureDatabase)
}
