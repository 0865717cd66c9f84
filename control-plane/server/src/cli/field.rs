//! The fields of a device by which `devices` finds, sorts and counts.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use pawl_proto::message::{HostFacts, HostHealth};

use super::text::device::{certificate, pairing_state};
use crate::admin::view::DeviceLine;

/// A field of a device. The host's fields have no value before the first report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    name: &'static str,
    read: Read,
}

#[derive(Clone, Copy, Debug)]
enum Read {
    Text(fn(&DeviceLine) -> Option<String>),
    Number(fn(&DeviceLine) -> Option<f64>),
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(f64),
}

impl Value {
    /// Compares two values of one field.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

const FIELDS: [Field; 25] = [
    text("device", |line| Some(line.device.to_string())),
    text("label", |line| line.label.clone()),
    text("certificate", |line| Some(certificate(line).to_owned())),
    text("status", |line| Some(line.status.to_string())),
    text("standing", |line| Some(line.standing.to_string())),
    text("pairing", |line| line.pairing.map(|state| pairing_state(state).to_owned())),
    number("epoch", |line| line.epoch.map(float)),
    text("verdict", |line| line.verdict.map(|verdict| verdict.to_string())),
    number("lease_until", |line| line.lease_until.map(float)),
    number("last_report", |line| line.last_report.map(float)),
    text("overdue", |line| Some(line.overdue.to_string())),
    text("online", |line| line.online.map(|online| online.to_string())),
    text("hostname", |line| host(line, |host| host.hostname.as_str())),
    text("kernel", |line| host(line, |host| host.kernel.as_str())),
    text("system", |line| host(line, |host| host.system.as_str())),
    text("product", |line| host(line, |host| host.product.as_str())),
    text("architecture", |line| host(line, |host| host.architecture.as_str())),
    text("agent", |line| host(line, |host| host.agent.as_str())),
    number("uptime", |line| health(line, |health| Some(health.uptime))),
    number("load", |line| line.health.map(|health| f64::from(health.load) / 100.0)),
    number("memory", |line| health(line, |health| Some(health.memory))),
    number("swap", |line| health(line, |health| Some(health.swap))),
    number("state", |line| health(line, |health| health.state)),
    number("root", |line| health(line, |health| health.root)),
    number("cpu", |line| line.health?.cpu.map(f64::from)),
];

const fn text(name: &'static str, read: fn(&DeviceLine) -> Option<String>) -> Field {
    Field { name, read: Read::Text(read) }
}

const fn number(name: &'static str, read: fn(&DeviceLine) -> Option<f64>) -> Field {
    Field { name, read: Read::Number(read) }
}

fn host(line: &DeviceLine, field: fn(&HostFacts) -> &str) -> Option<String> {
    line.host.as_ref().map(|host| field(host).to_owned())
}

fn health(line: &DeviceLine, field: fn(&HostHealth) -> Option<u64>) -> Option<f64> {
    field(line.health.as_ref()?).map(float)
}

/// Returns the number, or the largest of 32 bits: no host has more MiB, and no time of this century more seconds.
fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

impl Field {
    /// Returns the name.
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    /// Returns whether the values are numbers.
    pub(super) fn is_number(self) -> bool {
        matches!(self.read, Read::Number(_))
    }

    /// Returns the value of a device.
    pub(super) fn read(self, line: &DeviceLine) -> Option<Value> {
        match self.read {
            Read::Text(read) => read(line).map(Value::Text),
            Read::Number(read) => read(line).map(Value::Number),
        }
    }
}

/// The text names no field.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is no field; the fields are {}", FIELDS.map(Field::name).join(", "))]
pub(super) struct FieldError {
    name: String,
}

impl FromStr for Field {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let field = FIELDS.into_iter().find(|field| field.name == text.trim());
        field.ok_or_else(|| FieldError { name: text.trim().to_owned() })
    }
}
