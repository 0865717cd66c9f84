//! The man page of policies has exactly the keys that the control plane reads.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use pawl_control_plane::policy;

const PAGE: &str = include_str!("../../man/pawl-policy.toml.5");

type Keys = BTreeSet<(String, String)>;

#[test]
fn the_page_has_every_key() {
    assert_eq!(page(), known());
}

#[test]
fn the_example_is_valid() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pawl-control-plane/policy.toml");
    let policy = policy::read(&example).unwrap().policy;
    assert!(policy.secure_boot.required && policy.boot.accept_signed_images);
}

/// Returns every key that the control plane reads, by its section. The error for an unknown key lists the known ones.
fn known() -> Keys {
    let sections = expected("made-up = 1").into_iter();
    sections
        .flat_map(|section| {
            let written = match section.as_str() {
                "pcr" => "pcr.5",
                "nvpcr" => "nvpcr.0x1d10200",
                section => section,
            };
            let keys = expected(&format!("[{written}]\nmade-up = 1"));
            keys.into_iter().map(move |key| (section.clone(), key))
        })
        .collect()
}

/// Returns the known names in the error for the unknown key in `text`.
fn expected(text: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("default.toml");
    std::fs::write(&file, text).unwrap();
    let error = policy::read(&file).unwrap_err().to_string();
    assert!(error.contains("default.toml") && error.contains("made-up"), "{error}");
    let (_, names) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the keys of the page: the tag of each paragraph in the section of its table.
fn page() -> Keys {
    let mut keys = Keys::new();
    let mut section = None;
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix(".SH ") {
            let table = title.strip_prefix('[').and_then(|title| title.strip_suffix(']'));
            section = table.map(|table| plain(table).split('.').next().unwrap().to_owned());
        } else if let (".TP", Some(section)) = (line, &section) {
            let tag = lines.next().unwrap();
            keys.insert((section.clone(), plain(tag.trim_start_matches(".B "))));
        }
    }
    keys
}

fn plain(text: &str) -> String {
    text.replace("\\-", "-")
}
