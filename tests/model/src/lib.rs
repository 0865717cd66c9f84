//! A model of pairing, revocation, re-pair and approvals, small enough to look at every state of
//! it. What is modelled, and what is not, stands in the README beside this crate.
//!
//! Each party is a file: [`World`] puts them together, [`Rules`] are the rules of the design that
//! can be broken one at a time, [`promise`] names what must hold in every state.
#![forbid(unsafe_code)]

mod bounds;
mod broker;
mod control_plane;
mod device;
mod fleet;
mod mend;
mod people;
pub mod promise;
mod properties;
mod rules;
mod tpm;
mod world;

pub use bounds::{Bounds, Policy};
pub use broker::Event;
pub use control_plane::{Order, SessionNo};
pub use fleet::DeviceId;
pub use people::{Approval, Person};
pub use rules::Rules;
pub use world::{Action, Answer, State, World};
