//! The connection to the broker.
//!
//! On each connection [`client_ids`] checks that the broker takes client ids from certificates, and [`subscriptions`]
//! that it grants what the control plane reads. Beside them, two tasks: [`session`] keeps the connection and takes in what devices send, one message after
//! the other, each acknowledged only after its transaction; [`publisher`] sends what the database
//! says has not been taken by the broker yet. The database is the outbox: nothing that the MQTT
//! client forgets is lost.

mod client_ids;
mod incoming;
mod memory;
mod outbox;
mod publisher;
pub(crate) mod revocations;
mod session;
mod subscriptions;
mod tls;

pub use client_ids::ClientIds;
pub use incoming::receive;
pub use outbox::{Delivered, Listener, Outbox};
pub use session::run;
pub use subscriptions::Subscriptions;
pub use tls::TlsError;

#[cfg(test)]
mod tests;
