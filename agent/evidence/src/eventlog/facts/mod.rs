//! The facts that a log's events state, and which of them a TPM confirms.
//!
//! A PCR covers only digests and their order. A fact is therefore tied to its event in one of two ways: hashing
//! the data from which it was decoded gives the event's digest, or the fact *is* the digest, as with a boot
//! loader's image. Everything else in the event's data is a [`Tie::Claim`]: displayed, never judged by.
//!
//! No digest covers the event type either, nor the text in front of a GRUB command; whoever writes a log can
//! choose both. A type is therefore decoded only in the PCRs where it belongs, and only if its data is complete
//! and well formed. Everything else is [`Fact::Other`].

mod action;
mod authority;
mod boot_facts;
mod boot_option;
mod decode;
mod device_path;
mod display;
mod event_fact;
mod fact;
mod firmware;
mod guid;
mod image;
mod partitions;
mod reader;
mod signatures;
mod text;
mod user_space;
mod variable;

pub use action::Action;
pub use authority::Authority;
pub use boot_facts::BootFacts;
pub use boot_option::BootOption;
pub(crate) use event_fact::command_line_digests;
pub use event_fact::{EventFact, Stage, Tie};
pub use fact::{Fact, LoaderData, SectionPart};
pub use firmware::{FirmwareContent, FirmwarePart, MemoryRegion};
pub use guid::Guid;
pub use image::{Image, ImageRole};
pub use partitions::{Partition, PartitionTable};
pub use signatures::{CertificateId, DatabaseName, Signature, SignatureDatabase, SignatureEntry};
pub use user_space::UserSpaceEvent;
pub use variable::Variable;

pub(super) use text::load_options;
pub(crate) use user_space::{NVPCR_SEPARATOR, OS_SEPARATOR};
