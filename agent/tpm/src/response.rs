use std::fmt;

/// A response code of the TPM or the TSS other than success (TPM 2.0 Library, part 2, 6.6).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResponseCode(u32);

impl ResponseCode {
    /// A code as the TPM or the TSS gives it.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the unmodified code.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Returns the specification's name of the code, without the number of the parameter, handle or session.
    pub fn name(self) -> &'static str {
        self.entry().map_or("an unknown code", |&(_, name, _)| name)
    }

    /// Returns the kind of the error, by what an operator does about it.
    pub fn class(self) -> Class {
        if self.layer() == Layer::Tcti {
            return Class::Transport;
        }
        self.entry().map_or(Class::Other, |&(_, _, class)| class)
    }

    /// Returns whether this is `code`, for any parameter, handle or session.
    pub(crate) fn is(self, code: u32) -> bool {
        self.entry().is_some_and(|&(base, _, _)| base == code)
    }

    /// Returns whether the code is one of TPM_RC_REFERENCE_H0 to TPM_RC_REFERENCE_S6: the TPM no longer has the
    /// object or session.
    pub(crate) fn is_reference(self) -> bool {
        self.layer() == Layer::Tpm && self.0 & 0xfff0 == 0x0910
    }

    fn layer(self) -> Layer {
        match self.0 >> 16 {
            // A resource manager answers with the TPM's codes under its own layer number.
            0 | 11 => Layer::Tpm,
            10 => Layer::Tcti,
            _ => Layer::Software,
        }
    }

    fn entry(self) -> Option<&'static (u32, &'static str, Class)> {
        const FORMAT_ONE: u32 = 0x080;
        let code = self.0 & 0xffff;
        let (table, base) = match self.layer() {
            Layer::Tpm if code & FORMAT_ONE != 0 => (TPM, code & 0x0bf),
            Layer::Tpm => (TPM, code & 0xd7f),
            Layer::Tcti | Layer::Software => (TSS, code),
        };
        table.iter().find(|&&(code, _, _)| code == base)
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.name(), self.0)
    }
}

impl fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(PartialEq, Eq)]
enum Layer {
    Tpm,
    Tcti,
    Software,
}

/// Kinds of errors, by what an operator does about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The TPM stayed busy through all retries.
    Busy,
    /// Too many wrong authorizations: the TPM refuses further ones for a while.
    Lockout,
    /// The TPM has no NV space for the counter.
    NvSpace,
    /// The NV index exists already.
    NvDefined,
    /// An authorization value is wrong or missing.
    Authorization,
    /// A policy is not satisfied.
    Policy,
    /// The TPM has no free slot for an object or a session.
    Memory,
    /// The TPM does not have the object, or lost it in a reset.
    Handle,
    /// The TPM refused a parameter: another TPM made it, or it was changed.
    Input,
    /// A hierarchy or the whole TPM is disabled or was not started.
    Disabled,
    /// The TPM is in failure mode.
    Failure,
    /// The TPM lacks the command or algorithm.
    Unsupported,
    /// The TPM cannot be reached.
    Transport,
    /// Any other code.
    Other,
}

impl Class {
    /// Returns what to do, in one sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Busy => {
                "The TPM stayed busy: try again in a minute, and if it persists restart the device."
            }
            Self::Lockout => {
                "The TPM is in dictionary-attack lockout: wait until it recovers (tpm2_getcap properties-variable shows when) or run tpm2_dictionarylockout --clear-lockout."
            }
            Self::NvSpace => {
                "The TPM has no NV space left: list its indices with tpm2_getcap handles-nv-index and undefine what is no longer needed."
            }
            Self::NvDefined => {
                "Another program defined this NV index: choose another handle for the counter in the configuration."
            }
            Self::Authorization => "Check the TPM's authorization values in the configuration.",
            Self::Policy => {
                "The device is not in the state that the policy asks for: have the control plane look at it."
            }
            Self::Memory => {
                "Another program fills the TPM's slots: reach it through the kernel's resource manager, device:/dev/tpmrm0."
            }
            Self::Handle => {
                "The TPM no longer has the object: restart pawld; if it persists, pair the device again."
            }
            Self::Input => {
                "The key does not belong to this TPM or was damaged on the disk: pair the device again."
            }
            Self::Disabled => {
                "Enable the TPM and its hierarchies in the firmware's setup, then power the device off and on."
            }
            Self::Failure => {
                "The TPM is in failure mode: power the device off and on, and replace it if that does not help."
            }
            Self::Unsupported => "This TPM lacks what Pawl needs: update its firmware.",
            Self::Transport => {
                "Check that the TPM's device exists and that pawld may open it (group tss), or that swtpm runs."
            }
            Self::Other => "Restart the device, and report this code if it persists.",
        }
    }
}

const TPM: &[(u32, &str, Class)] = &[
    // Format one: errors of a parameter, a handle or a session.
    (0x081, "TPM_RC_ASYMMETRIC", Class::Unsupported),
    (0x082, "TPM_RC_ATTRIBUTES", Class::Input),
    (0x083, "TPM_RC_HASH", Class::Unsupported),
    (0x084, "TPM_RC_VALUE", Class::Input),
    (0x085, "TPM_RC_HIERARCHY", Class::Disabled),
    (0x087, "TPM_RC_KEY_SIZE", Class::Unsupported),
    (0x088, "TPM_RC_MGF", Class::Unsupported),
    (0x089, "TPM_RC_MODE", Class::Unsupported),
    (0x08a, "TPM_RC_TYPE", Class::Input),
    (0x08b, "TPM_RC_HANDLE", Class::Handle),
    (0x08c, "TPM_RC_KDF", Class::Unsupported),
    (0x08d, "TPM_RC_RANGE", Class::Input),
    (0x08e, "TPM_RC_AUTH_FAIL", Class::Authorization),
    (0x08f, "TPM_RC_NONCE", Class::Input),
    (0x090, "TPM_RC_PP", Class::Authorization),
    (0x092, "TPM_RC_SCHEME", Class::Unsupported),
    (0x095, "TPM_RC_SIZE", Class::Input),
    (0x096, "TPM_RC_SYMMETRIC", Class::Unsupported),
    (0x097, "TPM_RC_TAG", Class::Input),
    (0x098, "TPM_RC_SELECTOR", Class::Input),
    (0x09a, "TPM_RC_INSUFFICIENT", Class::Input),
    (0x09b, "TPM_RC_SIGNATURE", Class::Input),
    (0x09c, "TPM_RC_KEY", Class::Input),
    (0x09d, "TPM_RC_POLICY_FAIL", Class::Policy),
    (0x09f, "TPM_RC_INTEGRITY", Class::Input),
    (0x0a0, "TPM_RC_TICKET", Class::Input),
    (0x0a1, "TPM_RC_RESERVED_BITS", Class::Input),
    (0x0a2, "TPM_RC_BAD_AUTH", Class::Authorization),
    (0x0a3, "TPM_RC_EXPIRED", Class::Policy),
    (0x0a4, "TPM_RC_POLICY_CC", Class::Policy),
    (0x0a5, "TPM_RC_BINDING", Class::Input),
    (0x0a6, "TPM_RC_CURVE", Class::Unsupported),
    (0x0a7, "TPM_RC_ECC_POINT", Class::Input),
    // Format zero, errors.
    (0x100, "TPM_RC_INITIALIZE", Class::Disabled),
    (0x101, "TPM_RC_FAILURE", Class::Failure),
    (0x103, "TPM_RC_SEQUENCE", Class::Other),
    (0x10b, "TPM_RC_PRIVATE", Class::Input),
    (0x119, "TPM_RC_HMAC", Class::Input),
    (0x120, "TPM_RC_DISABLED", Class::Disabled),
    (0x121, "TPM_RC_EXCLUSIVE", Class::Other),
    (0x124, "TPM_RC_AUTH_TYPE", Class::Authorization),
    (0x125, "TPM_RC_AUTH_MISSING", Class::Authorization),
    (0x126, "TPM_RC_POLICY", Class::Policy),
    (0x127, "TPM_RC_PCR", Class::Unsupported),
    (0x128, "TPM_RC_PCR_CHANGED", Class::Policy),
    (0x12d, "TPM_RC_UPGRADE", Class::Disabled),
    (0x12e, "TPM_RC_TOO_MANY_CONTEXTS", Class::Memory),
    (0x12f, "TPM_RC_AUTH_UNAVAILABLE", Class::Authorization),
    (0x130, "TPM_RC_REBOOT", Class::Disabled),
    (0x131, "TPM_RC_UNBALANCED", Class::Input),
    (0x142, "TPM_RC_COMMAND_SIZE", Class::Other),
    (0x143, "TPM_RC_COMMAND_CODE", Class::Unsupported),
    (0x144, "TPM_RC_AUTHSIZE", Class::Other),
    (0x145, "TPM_RC_AUTH_CONTEXT", Class::Other),
    (0x146, "TPM_RC_NV_RANGE", Class::Input),
    (0x147, "TPM_RC_NV_SIZE", Class::Input),
    (0x148, "TPM_RC_NV_LOCKED", Class::Policy),
    (0x149, "TPM_RC_NV_AUTHORIZATION", Class::Authorization),
    (0x14a, "TPM_RC_NV_UNINITIALIZED", Class::Policy),
    (0x14b, "TPM_RC_NV_SPACE", Class::NvSpace),
    (0x14c, "TPM_RC_NV_DEFINED", Class::NvDefined),
    (0x150, "TPM_RC_BAD_CONTEXT", Class::Input),
    (0x151, "TPM_RC_CPHASH", Class::Policy),
    (0x152, "TPM_RC_PARENT", Class::Input),
    (0x153, "TPM_RC_NEEDS_TEST", Class::Failure),
    (0x154, "TPM_RC_NO_RESULT", Class::Other),
    (0x155, "TPM_RC_SENSITIVE", Class::Input),
    // Format zero, warnings.
    (0x901, "TPM_RC_CONTEXT_GAP", Class::Memory),
    (0x902, "TPM_RC_OBJECT_MEMORY", Class::Memory),
    (0x903, "TPM_RC_SESSION_MEMORY", Class::Memory),
    (0x904, "TPM_RC_MEMORY", Class::Memory),
    (0x905, "TPM_RC_SESSION_HANDLES", Class::Memory),
    (0x906, "TPM_RC_OBJECT_HANDLES", Class::Memory),
    (0x907, "TPM_RC_LOCALITY", Class::Authorization),
    (0x908, "TPM_RC_YIELDED", Class::Busy),
    (0x909, "TPM_RC_CANCELED", Class::Busy),
    (0x90a, "TPM_RC_TESTING", Class::Busy),
    (0x910, "TPM_RC_REFERENCE_H0", Class::Handle),
    (0x911, "TPM_RC_REFERENCE_H1", Class::Handle),
    (0x912, "TPM_RC_REFERENCE_H2", Class::Handle),
    (0x918, "TPM_RC_REFERENCE_S0", Class::Handle),
    (0x919, "TPM_RC_REFERENCE_S1", Class::Handle),
    (0x91a, "TPM_RC_REFERENCE_S2", Class::Handle),
    (0x920, "TPM_RC_NV_RATE", Class::Busy),
    (0x921, "TPM_RC_LOCKOUT", Class::Lockout),
    (0x922, "TPM_RC_RETRY", Class::Busy),
    (0x923, "TPM_RC_NV_UNAVAILABLE", Class::Busy),
];

/// The codes of the TSS that a device can meet. Every code of a TCTI is of class transport.
const TSS: &[(u32, &str, Class)] = &[
    (0x01, "TSS2_BASE_RC_GENERAL_FAILURE", Class::Other),
    (0x06, "TSS2_BASE_RC_INSUFFICIENT_BUFFER", Class::Input),
    (0x08, "TSS2_BASE_RC_NO_CONNECTION", Class::Transport),
    (0x09, "TSS2_BASE_RC_TRY_AGAIN", Class::Transport),
    (0x0a, "TSS2_BASE_RC_IO_ERROR", Class::Transport),
    (0x0b, "TSS2_BASE_RC_BAD_VALUE", Class::Input),
    (0x0c, "TSS2_BASE_RC_NOT_PERMITTED", Class::Transport),
    (0x10, "TSS2_BASE_RC_BAD_TCTI_STRUCTURE", Class::Transport),
    (0x11, "TSS2_BASE_RC_MEMORY", Class::Other),
    (0x13, "TSS2_BASE_RC_MALFORMED_RESPONSE", Class::Transport),
    (0x1c, "TSS2_BASE_RC_RSP_AUTH_FAILED", Class::Transport),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_code_that_came() {
        for (raw, text) in [
            (0x99d, "TPM_RC_POLICY_FAIL (0x99d)"),
            (0x126, "TPM_RC_POLICY (0x126)"),
            (0x1c4, "TPM_RC_VALUE (0x1c4)"),
            (0x9a2, "TPM_RC_BAD_AUTH (0x9a2)"),
            (0x921, "TPM_RC_LOCKOUT (0x921)"),
            (0x14b, "TPM_RC_NV_SPACE (0x14b)"),
            (0xa000a, "TSS2_BASE_RC_IO_ERROR (0xa000a)"),
            (0xb0903, "TPM_RC_SESSION_MEMORY (0xb0903)"),
            (0x7ff, "an unknown code (0x7ff)"),
        ] {
            assert_eq!(ResponseCode::new(raw).to_string(), text);
        }
    }

    #[test]
    fn a_code_is_the_same_for_every_parameter() {
        const EXPIRED: u32 = 0x0a3;
        for raw in [0x0a3, 0x4e3, 0x9a3, 0xb04e3] {
            assert!(ResponseCode::new(raw).is(EXPIRED), "{raw:#x}");
        }
        assert!(!ResponseCode::new(0x4e4).is(EXPIRED));
        for (raw, lost) in [(0x910, true), (0x918, true), (0xb0912, true), (0x921, false), (0xa0910, false)] {
            assert_eq!(ResponseCode::new(raw).is_reference(), lost, "{raw:#x}");
        }
    }

    #[test]
    fn classes_follow_the_code_and_not_the_parameter_it_names() {
        assert_eq!(ResponseCode::new(0x184).class(), Class::Input);
        assert_eq!(ResponseCode::new(0x18b).class(), Class::Handle);
        assert_eq!(ResponseCode::new(0x98e).class(), Class::Authorization);
        assert_eq!(ResponseCode::new(0x922).class(), Class::Busy);
        assert_eq!(ResponseCode::new(0xa0001).class(), Class::Transport);
    }
}
