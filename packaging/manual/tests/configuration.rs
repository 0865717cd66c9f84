//! The man page and the examples have exactly the keys of the configurations that the programs read.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pawl_config::{Config, ConfigError};

const PAGE: &str = include_str!("../../man/pawl.toml.5");
const EXAMPLE: &str = include_str!("../../pawl/pawl.toml");
const CONTROL_PLANE_EXAMPLE: &str = include_str!("../../pawl-control-plane/control-plane.toml");

type Keys = BTreeSet<(String, String)>;

#[test]
fn the_page_has_every_key() {
    assert_eq!(page(), known());
}

#[test]
fn the_example_has_every_key() {
    let table: toml::Table = uncommented(EXAMPLE).parse().unwrap();
    assert_eq!(keys_of(&table), known());
}

#[test]
fn the_uncommented_example_is_valid() {
    load(&uncommented(EXAMPLE)).unwrap();
}

#[test]
fn the_shipped_example_lacks_only_the_control_plane() {
    let error = load(EXAMPLE).unwrap_err().to_string();
    assert!(error.contains("control_plane.url is not set"), "{error}");
}

#[test]
fn the_examples_values_are_the_defaults() {
    let least =
        "[control_plane]\nurl = \"https://control.example:8443\"\nca = \"/etc/pawl/control-plane.pem\"\n";
    let of = |text: &str| {
        let mut config = load(text).unwrap();
        // These have no default, or one that depends on the number of the TPM.
        (config.tokens, config.pairing.scopes, config.tpm.owner_auth) = (Vec::new(), Vec::new(), None);
        config.logs.boot = None;
        format!("{config:?}")
    };
    assert_eq!(of(&uncommented(EXAMPLE)), of(least));
}

#[test]
fn the_control_planes_uncommented_example_is_valid() {
    let (_directory, path) = file(&uncommented(CONTROL_PLANE_EXAMPLE));
    let config = pawl_control_plane::config::Config::load(&path).unwrap();
    assert_eq!(config.state_dir, Path::new("/var/lib/pawl-control-plane"));
    assert_eq!((config.lease.seconds, config.report.interval, config.token.seconds), (86_400, 300, 600));
}

/// Returns every key that the daemon knows, by its table. The error for an unknown key lists the known ones.
fn known() -> Keys {
    let mut known = Keys::new();
    for key in expected("made-up = 1") {
        let inner = match key.as_str() {
            "token" => expected("[[token]]\nmade-up = 1"),
            _ if load(&format!("[{key}]\n")).unwrap_err().to_string().contains("control_plane.url") => {
                expected(&format!("[{key}]\nmade-up = 1"))
            }
            _ => {
                known.insert((String::new(), key));
                continue;
            }
        };
        known.extend(inner.into_iter().map(|inner| (key.clone(), inner)));
    }
    known
}

fn expected(text: &str) -> Vec<String> {
    let error = load(text).unwrap_err().to_string();
    let (_, names) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the keys of the page: the tag of each paragraph in the section of its table.
fn page() -> Keys {
    let mut keys = Keys::new();
    let mut table = None;
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if let Some(section) = line.strip_prefix(".SH ") {
            table = match section {
                "\"TOP LEVEL\"" => Some(String::new()),
                _ if section.starts_with('[') => Some(section.replace(['[', ']'], "")),
                _ => None,
            };
        } else if let (".TP", Some(table)) = (line, &table) {
            let tag = lines.next().unwrap();
            keys.insert((table.clone(), tag.trim_start_matches(".B ").to_owned()));
        }
    }
    keys
}

fn keys_of(table: &toml::Table) -> Keys {
    let mut keys = Keys::new();
    for (name, value) in table {
        let inner = match value {
            toml::Value::Table(inner) => inner,
            toml::Value::Array(tables) => tables[0].as_table().unwrap(),
            _ => {
                keys.insert((String::new(), name.clone()));
                continue;
            }
        };
        keys.extend(inner.keys().map(|key| (name.clone(), key.clone())));
    }
    keys
}

/// Uncomments `#key = value` and `#[table]`. `# text` remains a comment.
fn uncommented(example: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first == '[' || first.is_ascii_lowercase()) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    example.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let (_directory, path) = file(text);
    Config::load(&path, std::iter::empty())
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("configuration.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}
