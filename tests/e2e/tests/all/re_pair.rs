//! Re-pair: what was found, what ends and when, and what comes of it.

mod between;
mod command_line;
mod cuts;
mod foreign_disk;
mod ordered;
mod same_tpm;
mod swapped_tpm;
mod without_control_plane;
