//! The generated man pages and completions.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn made() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_pawl-manual")).arg(directory.path()).status().unwrap();
    assert!(status.success());
    directory
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_program_has_a_page_and_every_command_too() {
    let made = made();
    let expected = [
        ("pawld", vec!["pawld.8"]),
        ("pawlctl", vec!["pawlctl.1", "pawlctl-re-pair.1", "pawlctl-wipe.1"]),
        (
            "pawl-control-plane",
            vec!["pawl-control-plane.8", "pawl-control-plane-revoke.8", "pawl-control-plane-policy-learn.8"],
        ),
    ];
    for (program, pages) in expected {
        let found = names(&made.path().join(program).join("man"));
        for page in pages {
            assert!(found.contains(page), "{page} is not among {found:?}");
        }
    }
}

#[test]
fn a_page_has_the_exit_codes_and_the_other_sections() {
    let made = made();
    let page = fs::read_to_string(made.path().join("pawlctl/man/pawlctl.1")).unwrap();
    let codes = page.split(".SH \"EXIT STATUS\"").nth(1).unwrap();
    assert!(codes.contains(".TP\n.B 10\nthe device is not entitled"), "{codes}");
    assert!(page.contains(".SH FILES") && page.contains("pawld.sock"));
}

#[test]
fn the_shells_find_their_completions() {
    let made = made();
    let found = names(&made.path().join("pawlctl/completions"));
    assert_eq!(found, BTreeSet::from(["_pawlctl", "pawlctl", "pawlctl.fish"].map(str::to_owned)));
    let bash = fs::read_to_string(made.path().join("pawlctl/completions/pawlctl")).unwrap();
    assert!(bash.contains("re-pair") && bash.contains("--sign-with"));
}

#[test]
fn two_runs_generate_the_same_files() {
    let (first, second) = (made(), made());
    for program in ["pawld", "pawlctl", "pawl-control-plane"] {
        for kind in ["man", "completions"] {
            for name in names(&first.path().join(program).join(kind)) {
                let of = |made: &tempfile::TempDir| {
                    fs::read(made.path().join(program).join(kind).join(&name)).unwrap()
                };
                assert!(of(&first) == of(&second), "{name}");
            }
        }
    }
}
