//! What operators order, and the proof that it was carried out.

mod entitle;
mod event;
mod receipt;
mod standing;

pub(crate) use entitle::entitle_in;
pub use entitle::{AccessChanged, entitle};
pub(crate) use event::end;
pub use event::{OrderError, Ordered, order};
pub use receipt::{ReceiptError, receive as receive_receipt};
pub use standing::{Standings, accept, resume, suspend};

#[cfg(test)]
mod tests;
