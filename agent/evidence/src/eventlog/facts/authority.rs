use super::guid::Guid;
use super::signatures::SignatureEntry;
use super::variable::Variable;

/// The entry that authorized an image which was then loaded (EV_EFI_VARIABLE_AUTHORITY).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The vendor of the variable.
    pub vendor: Guid,
    /// The variable with the entry: `db`, or one of shim's such as `MokListRT`.
    pub variable: String,
    /// The certificate, or the digest of the image.
    pub entry: SignatureEntry,
}

impl Authority {
    /// Returns `None` if the value is neither an EFI_SIGNATURE_DATA nor a certificate. Examples are shim's
    /// built-in certificate and other variables that shim measures the same way.
    pub(super) fn of(variable: &Variable<'_>) -> Option<Self> {
        let built_in = || SignatureEntry::certificate(variable.vendor, variable.data);
        let entry = SignatureEntry::alone(variable.data).or_else(built_in)?;
        Some(Self { vendor: variable.vendor, variable: variable.name.clone(), entry })
    }
}
