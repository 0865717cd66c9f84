use super::text;

/// The action that an EV_EFI_ACTION or EV_ACTION event reports (TCG PC Client Platform Firmware Profile, section
/// 10.4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The firmware starts a boot option.
    CallingApplication,
    /// The boot option returned.
    ReturningFromApplication,
    /// The operating system takes over the machine.
    ExitingBootServices,
    /// The operating system has taken over.
    ExitedBootServices,
    /// The operating system failed to take over and usually tries again.
    StayedInBootServices,
    /// A debugger could be attached to the firmware.
    DebugMode,
    /// Another action, in the firmware's words.
    Other(String),
}

impl Action {
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        text::utf8(data).map(|text| Self::named(&text).unwrap_or(Self::Other(text)))
    }

    /// Returns the profile's text for the action.
    pub fn as_str(&self) -> &str {
        match self {
            Self::CallingApplication => "Calling EFI Application from Boot Option",
            Self::ReturningFromApplication => "Returning from EFI Application from Boot Option",
            Self::ExitingBootServices => "Exit Boot Services Invocation",
            Self::ExitedBootServices => "Exit Boot Services Returned with Success",
            Self::StayedInBootServices => "Exit Boot Services Returned with Failure",
            Self::DebugMode => "UEFI Debug Mode",
            Self::Other(text) => text,
        }
    }

    fn named(text: &str) -> Option<Self> {
        [
            Self::CallingApplication,
            Self::ReturningFromApplication,
            Self::ExitingBootServices,
            Self::ExitedBootServices,
            Self::StayedInBootServices,
            Self::DebugMode,
        ]
        .into_iter()
        .find(|action| action.as_str() == text)
    }
}
