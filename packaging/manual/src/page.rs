//! Writes man pages: one for each program, and one for each of its commands at all levels.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use crate::program::Program;

pub(crate) fn write(program: &Program, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut command = program.command.clone().disable_help_subcommand(true);
    // Propagates global options and full names to the commands.
    command.build();
    let mut page = page(program, &command, program.name)?;
    page.write_all(program.more.as_bytes())?;
    save(directory, program, program.name, &page)?;
    write_commands(directory, program, &command, program.name)
}

/// Writes the pages of the commands below `command`, whose full name is `name`.
fn write_commands(directory: &Path, program: &Program, command: &Command, name: &str) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let name = format!("{name}-{}", inner.get_name());
        save(directory, program, &name, &page(program, inner, &name)?)?;
        write_commands(directory, program, inner, &name)?;
    }
    Ok(())
}

fn page(program: &Program, command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let has_commands = command.has_subcommands();
    let man = Man::new(command.clone().display_name(name.to_owned()))
        .title(name.to_uppercase())
        .section(program.section)
        .source(format!("Pawl {}", env!("CARGO_PKG_VERSION")))
        .manual("Pawl")
        // No date, so that builds are reproducible.
        .date("");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    write_exit_codes(command, &mut page)?;
    Ok(page)
}

/// Writes the exit codes, which `--help` lists below the options, one per line.
fn write_exit_codes(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let Some(remarks) = command.get_after_help() else { return Ok(()) };
    let remarks = remarks.to_string();
    let (_, codes) = remarks.split_once(':').unwrap_or_default();
    writeln!(page, ".SH \"EXIT STATUS\"")?;
    for line in codes.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (code, meaning) = line.split_once(' ').unwrap_or((line, ""));
        writeln!(page, ".TP\n.B {code}\n{}", meaning.trim())?;
    }
    Ok(())
}

fn save(directory: &Path, program: &Program, name: &str, page: &[u8]) -> io::Result<()> {
    fs::write(directory.join(format!("{name}.{}", program.section)), page)
}
