//! `PAWL_…` variables.

use toml::{Table, Value};

use crate::error::{ConfigError, Origin};
use crate::layer::{Layer, Over as _};

const PREFIX: &str = "PAWL_";

/// Variables with our prefix that configure no device: they are for tests.
const NOT_OURS: [&str; 2] = ["PAWL_FAIL_POINT", "PAWL_BIN_DIR"];

/// The environment of this process. What is not UTF-8 in a value becomes U+FFFD, which no path
/// or name that works has in it.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
}

/// What the variables of our form say; all others are somebody else's.
pub(crate) fn layer(mut variables: Vec<(String, String)>) -> Result<Layer, ConfigError> {
    variables.sort();
    let mut layer = Layer::default();
    for (name, value) in variables {
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if let Some(key) = name.strip_prefix(PREFIX) {
            layer = one(&name, key, value)?.over(layer);
        }
    }
    Ok(layer)
}

/// A value is taken as the text that it is, and where the key wants no text, as a TOML value:
/// `true`, `25186369`, `["telemetry"]`.
fn one(name: &str, key: &str, value: String) -> Result<Layer, ConfigError> {
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

/// `CONTROL_PLANE__URL` is `{ control_plane = { url = … } }`.
fn nested(key: &str, value: Value) -> Table {
    let (first, rest) = match key.split_once("__") {
        Some((first, rest)) => (first, Value::Table(nested(rest, value))),
        None => (key, value),
    };
    Table::from_iter([(first.to_ascii_lowercase(), rest)])
}
