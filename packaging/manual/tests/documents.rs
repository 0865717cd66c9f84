//! The programs accept the commands in the documents.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Command, CommandFactory as _};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn every_command_in_a_code_block_is_accepted() {
    let mut count = 0;
    for (path, line) in lines().into_iter().filter(|(_, line)| line.starts_with("    ")) {
        let Some(words) = command(&line) else { continue };
        count += 1;
        if let Err(error) = accept(&words) {
            panic!("{}: {}\n{error}", path.display(), line.trim());
        }
    }
    assert!(count > 50, "only {count} commands were found");
}

/// A text may name a command without its required arguments. The arguments that it gives must exist.
#[test]
fn every_command_in_a_sentence_exists() {
    let mut count = 0;
    for (path, line) in lines() {
        for words in line.split('`').skip(1).step_by(2).filter_map(command) {
            count += 1;
            let Err(error) = accept(&words) else { continue };
            let is_name = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelp
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            assert!(is_name, "{}: {words:?}\n{error}", path.display());
        }
    }
    assert!(count > 20, "only {count} commands were found");
}

#[test]
fn every_verb_of_dev_exists() {
    let dev = fs::read_to_string(Path::new(ROOT).join("dev")).unwrap();
    let mut count = 0;
    for (path, line) in lines() {
        for rest in line.split("./dev ").skip(1) {
            let verb: String =
                rest.chars().take_while(|char| char.is_ascii_lowercase() || *char == '-').collect();
            if verb.is_empty() {
                continue;
            }
            count += 1;
            let known = [") ", " | "].iter().any(|after| dev.contains(&format!("\n    {verb}{after}")));
            assert!(known, "{}: ./dev {verb}", path.display());
        }
    }
    assert!(count > 10, "only {count} verbs were found");
}

/// Returns every line of every document for operators, technicians and developers, with its file. Leaves out fenced blocks, which
/// contain code and pictures.
fn lines() -> Vec<(PathBuf, String)> {
    let root = Path::new(ROOT);
    let mut documents: Vec<PathBuf> =
        fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let others = [
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "packaging/pawl-control-plane/README.Debian",
        "control-plane/server/README.md",
        "agent/daemon/README.md",
    ];
    documents.extend(others.map(|name| root.join(name)));
    let of = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let outside = text.split("```").step_by(2).flat_map(str::lines);
        outside.map(|line| (path.clone(), line.to_owned())).collect::<Vec<_>>()
    };
    documents.into_iter().flat_map(of).collect()
}

/// Returns the words of a command of one of the programs, without a comment and without later commands of a pipe.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let line = line.strip_prefix("sudo ").unwrap_or(line);
    if !line.starts_with("pawlctl ") && !line.starts_with("pawl-control-plane ") {
        return None;
    }
    let line = line.split(" #").next()?.split(" | ").next()?;
    let mut words = vec![String::new()];
    let mut quote = None;
    for char in line.trim().chars() {
        match (quote, char) {
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut()?.push(char),
        }
    }
    Some(words.into_iter().filter(|word| !word.is_empty()).map(|word| example(&word)).collect())
}

/// Replaces a placeholder that a program would not accept by a value.
fn example(word: &str) -> String {
    match word {
        "DEVICE" | "OLD-DEVICE" | "X" => "abcdefghijklmnopqrstuvwxyz234567".to_owned(),
        "DIGEST" | "HEX" => "0a".repeat(32),
        "SESSION" => "0a".repeat(16),
        "NUMBER" | "SECONDS" => "1".to_owned(),
        "CODE" => "BCDF-GHJK".to_owned(),
        "NAME" => "telemetry".to_owned(),
        word => word.to_owned(),
    }
}

fn accept(words: &[String]) -> Result<(), clap::Error> {
    let program: Command = match words.first().map(String::as_str) {
        Some("pawlctl") => pawlctl::cli::Cli::command(),
        _ => pawl_control_plane::cli::command_line(),
    };
    program.try_get_matches_from(words).map(drop)
}
