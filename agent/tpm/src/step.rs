use std::fmt;

/// The steps in which the TPM checks a lease, in this order.
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
    /// TPM2_PolicyAuthorize: the signed policy is not the one that was checked.
    Authorize,
    /// The use of the key, which requires another lease key or another pairing.
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
            Self::Authorize => "the signed policy is not the one that was checked",
            Self::Use => "it is for another pairing than the key's",
        })
    }
}

/// The steps in which the TPM checks an action, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionStep {
    /// The policy session has ended: the TPM was reset, or the connection to it broke.
    Session,
    /// TPM2_PolicyNV.
    Epoch,
    /// TPM2_PolicySigned: the control plane did not sign this session, this command and this pairing.
    Authorization,
    /// The authorization has expired (TPM2_PolicySigned or TPM2_Sign).
    Expired,
    /// TPM2_Sign: another digest, key or pairing was authorized.
    Use,
}

impl ActionStep {
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Session => "Request the action again: the TPM was reset during it.",
            Self::Epoch => "The pairing is revoked: pair the device again.",
            Self::Expired => "Request the action again, and check how fast the control plane answers.",
            Self::Authorization | Self::Use => {
                "Ask for the action again; if it persists pair the device again, since its control plane authorizes what this pairing does not."
            }
        }
    }
}

impl fmt::Display for ActionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "its policy session has ended",
            Self::Epoch => "the epoch has moved on",
            Self::Authorization => "it is not authorized by the control plane for this session and command",
            Self::Expired => "its authorization has expired",
            Self::Use => "another digest, key or pairing was authorized",
        })
    }
}
