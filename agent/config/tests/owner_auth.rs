//! Where the owner hierarchy's authorization value is found, and which bytes of the file belong to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use pawl_config::{Config, OwnerAuthError};

const LEAST: &str = "[control_plane]\nurl = \"https://control.example\"\nca = \"/ca.pem\"\n";

fn load(directory: &Path, variables: &[(&str, &str)]) -> Config {
    let path = directory.join("pawl.toml");
    fs::write(&path, LEAST).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(&path, variables).unwrap()
}

/// The value in a file with these bytes.
fn read(bytes: &[u8]) -> Result<Vec<u8>, OwnerAuthError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("auth");
    fs::write(&file, bytes).unwrap();
    let config = load(directory.path(), &[("PAWL_TPM__OWNER_AUTH", file.to_str().unwrap())]);
    Ok(config.tpm.read_owner_auth()?.unwrap().to_vec())
}

#[test]
fn one_newline_at_the_end_is_not_part_of_it() {
    assert_eq!(read(b"secret\n").unwrap(), b"secret");
    assert_eq!(read(b"secret\n\n").unwrap(), b"secret\n");
    assert_eq!(read(b"\0\xff secret").unwrap(), b"\0\xff secret");
    assert_eq!(read(b"").unwrap(), b"");
}

#[test]
fn no_more_is_taken_than_a_tpm_takes() {
    assert_eq!(read(&[b'a'; 64]).unwrap().len(), 64);
    assert_eq!(read(&[&[b'a'; 64], &b"\n"[..]].concat()).unwrap().len(), 64);
    for long in [&[b'a'; 65][..], &[b'a'; 66], &[b'a'; 100_000], &[&[b'a'; 65], &b"\n"[..]].concat()] {
        let error = read(long).unwrap_err();
        assert!(matches!(error, OwnerAuthError::TooLong { .. }), "{error}");
        assert!(!error.to_string().contains("aaaaa"));
    }
}

#[test]
fn a_configured_file_has_to_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let config = load(directory.path(), &[("PAWL_TPM__OWNER_AUTH", "/nowhere/auth")]);
    let error = config.tpm.read_owner_auth().unwrap_err().to_string();
    assert!(error.contains("/nowhere/auth") && error.contains("tpm.owner_auth"), "{error}");
}

#[test]
fn the_units_credential_is_taken_where_nothing_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().to_str().unwrap();
    let variables = [("CREDENTIALS_DIRECTORY", credentials)];
    assert!(
        load(directory.path(), &variables).tpm.read_owner_auth().unwrap().is_none(),
        "there is no such file"
    );

    fs::write(directory.path().join("tpm-owner-auth"), "from systemd\n").unwrap();
    let found = load(directory.path(), &variables).tpm.read_owner_auth().unwrap().unwrap();
    assert_eq!(found.as_slice(), b"from systemd");

    fs::write(directory.path().join("other"), "configured").unwrap();
    let other = format!("{credentials}/other");
    let found = load(directory.path(), &[variables[0], ("PAWL_TPM__OWNER_AUTH", &other)]);
    assert_eq!(found.tpm.read_owner_auth().unwrap().unwrap().as_slice(), b"configured");
}
