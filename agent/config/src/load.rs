//! Reads all sources, and lays each over the earlier ones.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::config::Config;
use crate::error::{ConfigError, Origin};
use crate::layer::{Layer, Over as _};
use crate::owner_auth;

/// The size limit of a file, in bytes: a hundred times a real one.
const FILE_LIMIT: u64 = 256 * 1024;
/// The prefix of the variables that configure a device.
const PREFIX: &str = "PAWL_";
/// Variables with that prefix that configure no device: they are for tests.
const NOT_OURS: [&str; 2] = ["PAWL_FAIL_POINT", "PAWL_BIN_DIR"];

impl Config {
    /// Reads the file at `path`, the `conf.d/*.toml` beside it, and the variables of
    /// `environment` that begin with `PAWL_` (see [`crate::environment()`]).
    ///
    /// # Errors
    /// [`ConfigError`] names the file and line, or the variable, and what is wrong there.
    pub fn load(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let variables: Vec<_> = environment.collect();
        let credential = owner_auth::credential(&variables);
        let layer = merged(path, variables)?;
        layer.into_config(path, credential)
    }
}

/// Returns all sources as one.
fn merged(path: &Path, variables: Vec<(String, String)>) -> Result<Layer, ConfigError> {
    let mut layer = file(path)?;
    for path in drop_ins(path)? {
        layer = file(&path)?.over(layer);
    }
    Ok(layer_of_variables(variables)?.over(layer))
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

/// Returns `conf.d/*.toml` beside the file, in the byte order of their names.
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

/// Returns whether to read the file. Editors and package managers leave hidden files behind.
fn is_drop_in(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    path.extension() == Some(OsStr::new("toml")) && !hidden
}

/// Returns the line of the byte at `offset`, counted from 1.
fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Returns the environment of this process. In a value, U+FFFD replaces bytes that are not UTF-8; no path or name
/// that works contains it.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
}

/// Reads the variables with our prefix; ignores all others.
fn layer_of_variables(mut variables: Vec<(String, String)>) -> Result<Layer, ConfigError> {
    variables.sort();
    let mut layer = Layer::default();
    for (name, value) in variables {
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if let Some(key) = name.strip_prefix(PREFIX) {
            layer = layer_of_variable(&name, key, value)?.over(layer);
        }
    }
    Ok(layer)
}

/// Reads one variable: its value as text or, if the key does not take text, as a TOML value: `true`, `25186369`,
/// `["telemetry"]`.
fn layer_of_variable(name: &str, key: &str, value: String) -> Result<Layer, ConfigError> {
    let as_toml = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    let as_text = nested(key, Value::String(value)).try_into();
    let result = match (as_text, as_toml) {
        (Err(_), Some(value)) => nested(key, value).try_into(),
        (as_text, _) => as_text,
    };
    result.map_err(|error: toml::de::Error| ConfigError::Invalid {
        origin: Origin::Variable(name.to_owned()),
        problem: error.message().to_owned(),
    })
}

/// Returns the table of a variable: `CONTROL_PLANE__URL` is `{ control_plane = { url = … } }`.
fn nested(key: &str, value: Value) -> Table {
    let (first, rest) = match key.split_once("__") {
        Some((first, rest)) => (first, Value::Table(nested(rest, value))),
        None => (key, value),
    };
    Table::from_iter([(first.to_ascii_lowercase(), rest)])
}
