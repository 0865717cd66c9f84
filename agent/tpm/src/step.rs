use std::fmt;

/// The parts of a lease, in the order in which the TPM checks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// The lease key's signature (TPM2_VerifySignature).
    Signature,
    /// TPM2_PolicyPCR.
    Pcrs,
    /// TPM2_PolicyNV.
    Epoch,
    /// TPM2_PolicyCounterTimer over resetCount.
    Reboots,
    /// TPM2_PolicyCounterTimer over clock.
    Deadline,
    /// TPM2_PolicyAuthorize: what was checked is not what was signed.
    Authorize,
    /// The key itself, which asks for another lease key or another pairing.
    Use,
}

impl LeaseStep {
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Signature | Self::Authorize => {
                "Wait for the next verdict, which brings a new lease; if it persists pair the device again."
            }
            Self::Pcrs => {
                "The device runs what was not approved: restart into the approved system, or have this state approved."
            }
            Self::Epoch | Self::Use => "The pairing is revoked: pair the device again.",
            Self::Reboots | Self::Deadline => {
                "Connect the device to its control plane: the next report renews the lease."
            }
        }
    }
}

impl fmt::Display for LeaseStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "it is not signed by the lease key",
            Self::Pcrs => "the PCRs differ from the approved ones",
            Self::Epoch => "the epoch has moved on",
            Self::Reboots => "more reboots than it allows",
            Self::Deadline => "its deadline has passed",
            Self::Authorize => "what was signed is not what was checked",
            Self::Use => "it is for another pairing than the key",
        })
    }
}

/// The parts of an action, in the order in which the TPM checks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionStep {
    /// The policy session is gone: the TPM was reset, or the connection to it broke.
    Session,
    /// TPM2_PolicyNV.
    Epoch,
    /// TPM2_PolicySigned: not the control plane's signature over this session, this command and this pairing.
    Authorization,
    /// The authorization's time is over (TPM2_PolicySigned or TPM2_Sign).
    Expired,
    /// TPM2_Sign: what was authorized is another digest, key or pairing.
    Use,
}

impl ActionStep {
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Session => "Ask for the action again: the TPM was reset while it was under way.",
            Self::Epoch => "The pairing is revoked: pair the device again.",
            Self::Expired => "Ask for the action again, and check how fast the control plane answers.",
            Self::Authorization | Self::Use => {
                "Ask for the action again; if it persists pair the device again, since its control plane authorizes what this pairing does not."
            }
        }
    }
}

impl fmt::Display for ActionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "its session is gone",
            Self::Epoch => "the epoch has moved on",
            Self::Authorization => "it is not authorized by the control plane for this session and command",
            Self::Expired => "its authorization has expired",
            Self::Use => "the key does not serve what was authorized",
        })
    }
}
