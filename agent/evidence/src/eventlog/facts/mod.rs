//! What the events of a log say, and how much of it a TPM vouches for.
//!
//! A PCR covers digests and their order, and nothing else. So each fact is tied to the digest of its event by
//! hashing what it was decoded from, or it *is* the digest, as with the image of a boot loader; what stands
//! beside that in the event's data is a [`Tie::Claim`], to be shown and never to be judged on.
//!
//! The kind of an event is covered by no digest either, nor is the text before a command of GRUB. Anyone who
//! writes a log can choose both. Therefore a kind is decoded only in the PCRs where it belongs, and only if its
//! data is whole and well formed; whatever remains is [`Fact::Other`].

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
