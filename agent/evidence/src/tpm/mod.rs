//! Parses the TPM 2.0 structures of evidence (TPM 2.0 Library, part 2) from their wire format.
//!
//! A parsed structure is well formed, not yet *true*: [`crate::attest`] verifies it.

mod attest;
mod hash;
mod name;
mod nv;
mod pcr;
mod policy;
mod public;
mod reader;
mod signature;
mod spki;

pub use attest::{Attest, Attested, ClockInfo};
pub(crate) use hash::sha256;
pub use hash::{HashAlgorithm, TaggedDigest, UnknownHash};
pub use name::{Hierarchy, Name};
pub use nv::{CounterError, NvPcrError, NvPublic};
pub use pcr::{MissingPcr, PCR_COUNT, PcrIndexError, PcrSelection, PcrValues};
pub use policy::{Comparison, PolicyDigest};
pub use public::{ObjectAttributes, Public, PublicKey};
pub use reader::{ParseError, Reader};
pub use signature::{Curve, Signature, SignatureScheme, SymmetricCipher};
pub use spki::{NoSpki, uncompressed_point};
