//! The definition of `pawlctl`'s command line. The manual also generates man pages and completions from it.
#![forbid(unsafe_code)]

pub mod cli;
