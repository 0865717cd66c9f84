use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::Tcti;

/// The epoch counter's default NV handle. It is in the range that the TCG Registry of Reserved TPM 2.0 Handles
/// leaves to the owner, 0x01800000 to 0x01bfffff.
pub const DEFAULT_COUNTER: u32 = 0x0180_5041;

/// Which TPM to open, and what to use in it.
#[derive(Clone)]
pub struct Options {
    /// How to reach the TPM.
    pub tcti: Tcti,
    /// NV handle of the epoch counter, in the owner range.
    pub counter: u32,
    /// The authorization value of the owner hierarchy, if one is set.
    pub owner_auth: Option<Zeroizing<Vec<u8>>>,
    /// Which endorsement key to use. The device id derives from it, so it must not change between pairings.
    pub endorsement: EndorsementChoice,
    /// The name of the required TPM's attestation key. Only a TPM with this key is opened. The key derives from
    /// the seed of the endorsement hierarchy, as the endorsement key does, so it identifies the TPM; reports
    /// need it anyway.
    pub attestation_name: Option<Vec<u8>>,
}

impl Options {
    /// Returns the defaults: any TPM, no owner authorization.
    pub fn new(tcti: Tcti) -> Self {
        Self {
            tcti,
            counter: DEFAULT_COUNTER,
            owner_auth: None,
            endorsement: EndorsementChoice::Auto,
            attestation_name: None,
        }
    }
}

/// Which endorsement key to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndorsementChoice {
    /// The first of ECC P-256, ECC P-384 and RSA-2048 that has a certificate in the TPM, else ECC P-256.
    #[default]
    Auto,
    /// Always this one, with or without a certificate.
    Only(EndorsementKind),
}

/// The templates of the TCG EK Credential Profile that Pawl supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndorsementKind {
    /// Template L-1.
    Rsa2048,
    /// Template L-2.
    EccP256,
    /// Template H-3.
    EccP384,
}

impl fmt::Display for EndorsementKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa2048 => "rsa-2048",
            Self::EccP256 => "ecc-p256",
            Self::EccP384 => "ecc-p384",
        })
    }
}

impl fmt::Display for EndorsementChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(kind) => kind.fmt(f),
        }
    }
}

/// The name of an endorsement key is unknown.
#[derive(Debug, thiserror::Error)]
#[error("unknown endorsement key `{0}`: use auto, rsa-2048, ecc-p256 or ecc-p384")]
pub struct UnknownEndorsement(String);

impl FromStr for EndorsementChoice {
    type Err = UnknownEndorsement;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "rsa-2048" => Ok(Self::Only(EndorsementKind::Rsa2048)),
            "ecc-p256" => Ok(Self::Only(EndorsementKind::EccP256)),
            "ecc-p384" => Ok(Self::Only(EndorsementKind::EccP384)),
            _ => Err(UnknownEndorsement(text.to_owned())),
        }
    }
}
