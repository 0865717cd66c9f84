//! Parses the TPM 2.0 structures of evidence (TPM 2.0 Library, part 2) from their wire format.
//!
//! A parsed structure is well formed, not yet *true*: [`crate::attest`] verifies it.

mod attest;
mod attributes;
mod hash;
mod name;
mod nv;
mod pcr_selection;
mod pcr_values;
mod policy;
mod public;
mod reader;
mod scheme;
mod signature;
mod spki;

pub use attest::{Attest, Attested, ClockInfo};
pub use attributes::ObjectAttributes;
pub(crate) use hash::sha256;
pub use hash::{HashAlgorithm, TaggedDigest, UnknownHash};
pub use name::{Hierarchy, Name};
pub use nv::{CounterError, NvPcrError, NvPublic};
pub use pcr_selection::{PCR_COUNT, PcrIndexError, PcrSelection};
pub use pcr_values::{MissingPcr, PcrValues};
pub use policy::{Comparison, PolicyDigest};
pub use public::{Public, PublicKey};
pub use reader::{ParseError, Reader};
pub use scheme::{Curve, SignatureScheme, SymmetricCipher};
pub use signature::Signature;
pub use spki::{NoSpki, uncompressed_point};
