//! The facts that a log's events state, and which of them a TPM confirms.
//!
//! A PCR covers only digests and their order. A fact is therefore tied to its event in one of two ways: hashing
//! the data from which it was decoded gives the event's digest, or the fact *is* the digest, as with a boot
//! loader's image. Everything else in the event's data is a [`Tie::Claim`], which no decision may rely on.
//!
//! No digest covers the event type either, nor the text in front of a GRUB command; anyone who writes a log can
//! choose both. A type is therefore decoded only in the PCRs where it belongs, and only if its data is complete
//! and well formed. Everything else is [`Fact::Other`].

mod decode;
mod display;
mod fact;
mod firmware;
mod image;
mod loader;
mod signatures;
mod uefi;

pub use fact::{BootFacts, EventFact, Fact, LoaderData, SectionPart, Stage, Tie, UserSpaceEvent};
pub(crate) use fact::{NVPCR_SEPARATOR, OS_SEPARATOR, command_line_digests};
pub use firmware::{Action, FirmwareContent, FirmwarePart, MemoryRegion};
pub use image::{BootOption, Image, ImageRole, Partition, PartitionTable};
pub use signatures::{Authority, CertificateId, DatabaseName, Signature, SignatureDatabase, SignatureEntry};
pub(super) use uefi::load_options;
pub use uefi::{Guid, Variable};
