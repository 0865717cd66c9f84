//! The command line of `pawlctl`, apart from what it does: man pages and completions are made of it, too.
#![forbid(unsafe_code)]

pub mod cli;
