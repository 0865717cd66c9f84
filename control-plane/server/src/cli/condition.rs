//! `devices --where`: conditions on devices.

use std::str::FromStr;

use pawl_wildcard::Step;

use super::field::{Field, FieldError, Value};
use crate::admin::view::DeviceLine;

/// A field, an operator and a value, as in `memory<64` or `kernel=6.1.*`.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    field: Field,
    test: Test,
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

impl Condition {
    /// Returns whether the device has the field and fulfils the condition.
    pub(super) fn fits(&self, line: &DeviceLine) -> bool {
        self.field.read(line).is_some_and(|value| match (&value, &self.test) {
            (Value::Text(text), Test::Is(pattern)) => is_like(pattern, text),
            (Value::Text(text), Test::IsNot(pattern)) => !is_like(pattern, text),
            (Value::Number(number), Test::Equals(value)) => (number - value).abs() < 0.005,
            (Value::Number(number), Test::Differs(value)) => (number - value).abs() >= 0.005,
            (Value::Number(number), Test::Below(value)) => number < value,
            (Value::Number(number), Test::Above(value)) => number > value,
            (Value::Text(_), _) | (Value::Number(_), _) => false,
        })
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
    #[error(transparent)]
    Field(#[from] FieldError),
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
        let field: Field = name.parse()?;
        let test = match (field.is_number(), operator) {
            (false, "=") => Test::Is(value.to_owned()),
            (false, "!=") => Test::IsNot(value.to_owned()),
            (false, _) => return Err(ConditionError::Text(name.to_owned())),
            (true, operator) => {
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
pub(super) mod tests {
    use pawl_proto::message::{HostFacts, HostHealth, Standing};
    use pawl_proto::{DeviceId, Text};

    use super::*;
    use crate::admin::view::DeviceStatus;

    pub(in crate::cli) fn line() -> DeviceLine {
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
            ("disk<5", "the fields are device, label, certificate,"),
            ("kernel<6", "compare it with = or !="),
            ("memory<many", "is not a number"),
            ("memory<NaN", "is not a number"),
        ] {
            let error = text.parse::<Condition>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
