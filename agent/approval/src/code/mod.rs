//! Codes that people carry from one screen to another.
//!
//! The [`UserCode`] stands on the device's screen and is typed by the approver, who so proves to look at
//! that device; the [`Confirmation`] stands on the approver's screen and is typed at the device. Short
//! enough to read out over a telephone, so each is only as good as the limit on wrong tries.

mod confirmation;
mod letters;
mod user;

pub use self::confirmation::Confirmation;
pub use self::letters::CodeError;
pub use self::user::UserCode;
