//! `devices --where`: conditions on devices.

use std::str::FromStr;

use pawl_proto::message::{HostFacts, HostHealth};
use pawl_wildcard::Step;

use super::text::device::pairing_state;
use crate::admin::view::DeviceLine;

/// A field, an operator and a value, as in `memory<64` or `kernel=6.1.*`.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    field: Field,
    test: Test,
}

/// Reads a field of a device. The host's fields are none before the first report.
#[derive(Clone, Copy, Debug)]
enum Field {
    Text(fn(&DeviceLine) -> Option<String>),
    Number(fn(&DeviceLine) -> Option<f64>),
}

#[derive(Clone, Debug)]
enum Test {
    Is(String),
    IsNot(String),
    Equals(f64),
    Differs(f64),
    Below(f64),
    Above(f64),
}

const FIELDS: [(&str, Field); 19] = [
    ("label", Field::Text(|line| line.label.clone())),
    ("status", Field::Text(|line| Some(line.status.to_string()))),
    ("standing", Field::Text(|line| Some(line.standing.to_string()))),
    ("pairing", Field::Text(|line| line.pairing.map(|state| pairing_state(state).to_owned()))),
    ("verdict", Field::Text(|line| line.verdict.map(|verdict| verdict.to_string()))),
    ("overdue", Field::Text(|line| Some(line.overdue.to_string()))),
    ("hostname", Field::Text(|line| host(line, |host| host.hostname.as_str()))),
    ("kernel", Field::Text(|line| host(line, |host| host.kernel.as_str()))),
    ("system", Field::Text(|line| host(line, |host| host.system.as_str()))),
    ("product", Field::Text(|line| host(line, |host| host.product.as_str()))),
    ("architecture", Field::Text(|line| host(line, |host| host.architecture.as_str()))),
    ("agent", Field::Text(|line| host(line, |host| host.agent.as_str()))),
    ("uptime", Field::Number(|line| health(line, |health| Some(health.uptime)))),
    ("load", Field::Number(|line| line.health.map(|health| f64::from(health.load) / 100.0))),
    ("memory", Field::Number(|line| health(line, |health| Some(health.memory)))),
    ("swap", Field::Number(|line| health(line, |health| Some(health.swap)))),
    ("state", Field::Number(|line| health(line, |health| health.state))),
    ("root", Field::Number(|line| health(line, |health| health.root))),
    ("cpu", Field::Number(|line| line.health?.cpu.map(f64::from))),
];

fn host(line: &DeviceLine, field: fn(&HostFacts) -> &str) -> Option<String> {
    line.host.as_ref().map(|host| field(host).to_owned())
}

fn health(line: &DeviceLine, field: fn(&HostHealth) -> Option<u64>) -> Option<f64> {
    // No host has more MiB or seconds than a u32 holds.
    field(line.health.as_ref()?).map(|number| f64::from(u32::try_from(number).unwrap_or(u32::MAX)))
}

impl Condition {
    /// Returns whether the device has the field and fulfils the condition.
    pub(super) fn fits(&self, line: &DeviceLine) -> bool {
        match (self.field, &self.test) {
            (Field::Text(read), Test::Is(pattern)) => read(line).is_some_and(|text| is_like(pattern, &text)),
            (Field::Text(read), Test::IsNot(pattern)) => {
                read(line).is_some_and(|text| !is_like(pattern, &text))
            }
            (Field::Number(read), test) => read(line).is_some_and(|number| match test {
                Test::Equals(value) => (number - value).abs() < 0.005,
                Test::Differs(value) => (number - value).abs() >= 0.005,
                Test::Below(value) => number < *value,
                Test::Above(value) => number > *value,
                Test::Is(_) | Test::IsNot(_) => false,
            }),
            (Field::Text(_), _) => false,
        }
    }
}

/// Returns whether a text matches the pattern, in which `*` matches any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let steps: Vec<_> =
        pattern.chars().map(|char| if char == '*' { Step::Across } else { Step::Exactly(char) }).collect();
    pawl_wildcard::matches(&steps, text.chars(), |_| false)
}

/// Why a text is not a condition.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConditionError {
    #[error("no =, !=, < or > in it: write for example 'memory<64' or 'kernel=6.1.*', in quotes")]
    Operator,
    #[error("{0:?} is not a field; the fields are {1}")]
    Field(String, String),
    #[error("{0} is a text: compare it with = or !=")]
    Text(String),
    #[error("{1:?} is not a number, but {0} requires one")]
    Number(String, String),
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let at = text.find(['=', '!', '<', '>']).ok_or(ConditionError::Operator)?;
        let (name, rest) = text.split_at(at);
        let operator = ["!=", "=", "<", ">"].into_iter().find(|operator| rest.starts_with(operator));
        let operator = operator.ok_or(ConditionError::Operator)?;
        let (name, value) = (name.trim(), rest.trim_start_matches(operator).trim());
        let field = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
        let field = field.ok_or_else(|| {
            ConditionError::Field(name.to_owned(), FIELDS.map(|(known, _)| known).join(", "))
        })?;
        let test = match (field, operator) {
            (Field::Text(_), "=") => Test::Is(value.to_owned()),
            (Field::Text(_), "!=") => Test::IsNot(value.to_owned()),
            (Field::Text(_), _) => return Err(ConditionError::Text(name.to_owned())),
            (Field::Number(_), operator) => {
                let number = value.parse().ok().filter(|number: &f64| number.is_finite());
                let number =
                    number.ok_or_else(|| ConditionError::Number(name.to_owned(), value.to_owned()))?;
                match operator {
                    "=" => Test::Equals(number),
                    "!=" => Test::Differs(number),
                    "<" => Test::Below(number),
                    _ => Test::Above(number),
                }
            }
        };
        Ok(Self { field, test })
    }
}

#[cfg(test)]
mod tests {
    use pawl_proto::message::Standing;
    use pawl_proto::{DeviceId, Text};

    use super::*;
    use crate::admin::view::DeviceStatus;

    fn line() -> DeviceLine {
        DeviceLine {
            device: DeviceId::from_digest([1; 32]),
            label: None,
            endorsement: None,
            without_certificate: false,
            status: DeviceStatus::Lapsed,
            retired_at: None,
            standing: Standing::Active,
            granted: pawl_proto::message::Access { scopes: Vec::new(), audiences: Vec::new() },
            pairing: None,
            epoch: None,
            end_ordered_at: None,
            ended_at: None,
            verdict: None,
            lease_until: None,
            last_report: None,
            overdue: true,
            online: None,
            state: None,
            seen: None,
            host: Some(HostFacts { kernel: Text::lossy("6.1.0-31-arm64"), ..HostFacts::default() }),
            health: Some(HostHealth { load: 250, memory: 63, cpu: Some(-5), ..HostHealth::default() }),
        }
    }

    fn fits(condition: &str) -> bool {
        condition.parse::<Condition>().unwrap().fits(&line())
    }

    #[test]
    fn conditions_select_devices_by_their_fields() {
        for condition in [
            "kernel=6.1.*",
            "kernel != 6.12.*",
            "memory<64",
            "load>2.4",
            "load=2.5",
            "load!=2.4",
            "cpu<0",
            "status=lapsed",
            "standing=active",
            "overdue=true",
        ] {
            assert!(fits(condition), "{condition}");
        }
        for condition in ["kernel=6.1", "memory<63", "memory>63", "load>2.5", "standing!=active", "uptime>0"]
        {
            assert!(!fits(condition), "{condition}");
        }
    }

    #[test]
    fn a_device_without_a_value_fits_no_condition_on_it() {
        for condition in ["state<100", "state>100", "state!=100", "label=a", "label!=a", "verdict!=affirming"]
        {
            assert!(!fits(condition), "{condition}");
        }
    }

    #[test]
    fn an_invalid_condition_is_refused_with_what_to_write() {
        for (text, says) in [
            ("memory", "'memory<64'"),
            ("memory!64", "no =, !="),
            ("disk<5", "the fields are label, status, standing,"),
            ("kernel<6", "compare it with = or !="),
            ("memory<many", "is not a number"),
            ("memory<NaN", "is not a number"),
        ] {
            let error = text.parse::<Condition>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
