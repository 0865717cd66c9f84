//! Reads the sources and lays one over the other.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::environment;
use crate::error::{ConfigError, Origin};
use crate::layer::{Layer, Over as _};

/// Room for a hundred times what a device is told.
const FILE_LIMIT: u64 = 256 * 1024;

/// All sources as one.
pub(crate) fn merged(path: &Path, variables: Vec<(String, String)>) -> Result<Layer, ConfigError> {
    let mut layer = file(path)?;
    for path in drop_ins(path)? {
        layer = file(&path)?.over(layer);
    }
    Ok(environment::layer(variables)?.over(layer))
}

fn file(path: &Path) -> Result<Layer, ConfigError> {
    let text = read(path)?;
    toml::from_str(&text).map_err(|error| ConfigError::Invalid {
        origin: Origin::File {
            path: path.to_owned(),
            line: error.span().map(|span| line(&text, span.start)),
        },
        problem: error.message().to_owned(),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
        _ => ConfigError::Unreadable { path: path.to_owned(), source },
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text))
        .map_err(failed)
        .and_then(|length| {
            if u64::try_from(length).is_ok_and(|length| length <= FILE_LIMIT) {
                Ok(text)
            } else {
                Err(ConfigError::TooLarge { path: path.to_owned(), limit: FILE_LIMIT })
            }
        })
}

/// `conf.d/*.toml` beside the file, in the byte order of their names.
fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let directory = path.with_file_name("conf.d");
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries,
    };
    let mut found = entries
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(|source| ConfigError::Unreadable { path: directory, source })?;
    found.retain(|path| is_drop_in(path));
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(found)
}

/// Hidden files are what editors and package managers leave behind.
fn is_drop_in(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    path.extension() == Some(OsStr::new("toml")) && !hidden
}

/// The line, counted from 1, in which a byte of the text stands.
fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
