//! The real code of device and control plane in one process, on models of everything around it.

pub mod disk;
