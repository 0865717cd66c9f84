//! The programs of the manual.

use clap::{Command, CommandFactory as _};

/// A program that a package ships.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// The section of the manual: 1 for commands, 8 for administration.
    pub(crate) section: &'static str,
    pub(crate) command: Command,
    /// The end of its page, in roff: the sections that do not follow from its command line.
    pub(crate) more: &'static str,
}

pub(crate) fn all() -> [Program; 3] {
    [
        Program {
            name: "pawld",
            section: "8",
            command: pawld::Arguments::command(),
            more: include_str!("../../man/pawld.8.more"),
        },
        Program {
            name: "pawlctl",
            section: "1",
            command: pawlctl::cli::Cli::command(),
            more: include_str!("../../man/pawlctl.1.more"),
        },
        Program {
            name: "pawl-control-plane",
            section: "8",
            command: pawl_control_plane::cli::command_line(),
            more: include_str!("../../man/pawl-control-plane.8.more"),
        },
    ]
}
