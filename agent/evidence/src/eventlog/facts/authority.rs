use super::guid::Guid;
use super::signatures::SignatureEntry;
use super::variable::Variable;

/// What vouched for an image that was then loaded (EV_EFI_VARIABLE_AUTHORITY).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Whose variable it stands in.
    pub vendor: Guid,
    /// The variable that it stands in: `db`, or one of shim's such as `MokListRT`.
    pub variable: String,
    /// The certificate, or the digest of the image.
    pub entry: SignatureEntry,
}

impl Authority {
    /// `None` when the value is neither an EFI_SIGNATURE_DATA nor a certificate, as the one that is built into shim:
    /// it measures other variables the same way.
    pub(super) fn of(variable: &Variable<'_>) -> Option<Self> {
        let built_in = || SignatureEntry::certificate(variable.vendor, variable.data);
        let entry = SignatureEntry::alone(variable.data).or_else(built_in)?;
        Some(Self { vendor: variable.vendor, variable: variable.name.clone(), entry })
    }
}
