//! The connection to the broker.
//!
//! Two tasks: [`session`] keeps the connection and takes in what devices send, one message after
//! the other, each acknowledged only after its transaction; [`publisher`] sends what the database
//! says has not been taken by the broker yet. The database is the outbox: nothing that the MQTT
//! client forgets is lost.

mod backoff;
mod incoming;
mod memory;
mod outbox;
mod publisher;
mod session;
mod tls;

pub use outbox::{Delivered, Outbox};
pub use session::run;
pub use tls::TlsError;

#[cfg(test)]
mod tests;
