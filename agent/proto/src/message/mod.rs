//! The messages.

mod action;
mod entitlement;
mod event;
mod evidence;
mod pairing;
mod session;
mod verdict;

use crate::bounded::{Blob, Text};
use crate::limits;

pub use action::{ActionApproved, ActionOffer, ActionState, Authorization, AuthorizationRequest};
pub use entitlement::{Access, Audience, Entitlement, Lacking, Standing};
pub use event::{Cause, Event, EventKind, Receipt, SignedReceipt};
pub use evidence::{
    Audit, BootLog, CertifiedNvPcr, DeviceState, Evidence, HostFacts, HostHealth, ImaLog, MeasureLog, Report,
    Status,
};
pub use pairing::{
    Broker, CertifiedKey, Credential, Finding, PairingGrant, PairingOffer, PairingProof, PairingRefusal,
    PairingRequest, RefusalCode,
};
pub use session::{
    Approval, ApprovalStep, Ending, GivenApproval, GrantedApproval, PairingApproved, SessionProof,
    SshSignature, Statement, StatementBytes, StatementContext, Waiting,
};
pub use verdict::{Area, Lease, TrustTier, Verdict};

/// A structure in the TPM's own encoding (TPM 2.0 Library, Part 2), without an outer size.
pub type TpmStructure = Blob<{ limits::TPM_STRUCTURE }>;
/// One X.509 certificate or request in DER.
pub type Certificate = Blob<{ limits::CERTIFICATE }>;
/// A short text for people: a reason, or a fact about the host.
pub type ShortText = Text<{ limits::TEXT }>;
/// A scope (RFC 6749, section 3.3) or the name of a token.
pub type Scope = Text<64>;
