//! The real code of device and control plane in one process, one thread and virtual time, on models of everything around it.
//!
//! [`world`] has the clock and the queue of what happens next. [`device`], [`execute`] and [`link`] run the core of `pawld` with
//! its store, gate, vault and records; [`plane`], [`publisher`] and [`https`] run the transitions of the control plane on a
//! database in memory. The models are [`tpm`], [`disk`] and [`broker`]; [`faults`] makes them fail, and [`people`] acts. A [`plan`]
//! of a seed says what happens when. [`promises`] says what must hold and checks it; [`recovery`] brings every device back;
//! [`run`] runs lifetimes and shrinks those that break a promise.
#![forbid(unsafe_code)]
#![allow(clippy::panic, reason = "a simulation that cannot be set up ends")]

pub mod broker;
pub mod device;
pub mod disk;
pub mod execute;
pub mod faults;
pub mod https;
pub mod ledger;
pub mod link;
pub mod mutants;
pub mod people;
pub mod plan;
pub mod plane;
pub mod promises;
pub mod publisher;
pub mod recovery;
pub mod rng;
pub mod run;
pub mod seen;
pub mod sshsig;
pub mod tpm;
pub mod world;
