//! A measure beside its limit, and the table of them.

use serde_json::{Map, Value, json};

use crate::amount::Amount;
use crate::samples::Samples;

/// Something measured.
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) figure: Amount,
    /// What is promised, where something is.
    pub(crate) aim: Option<Amount>,
    /// What the figure was made of.
    pub(crate) parts: Vec<(&'static str, Amount)>,
}

impl Measure {
    /// The same, but neither met nor missed when a floor under it was taken on a busy machine.
    pub(crate) fn unless_disturbed(mut self, floors: &[&Samples]) -> Self {
        if floors.iter().any(|floor| floor.are_disturbed()) {
            self.aim = None;
            let advice = "the machine was busy: run it again, as root with `chrt -r 20`";
            self.parts.push(("not comparable", Amount::Text(advice.to_owned())));
        }
        self
    }

    fn is_met(&self) -> Option<bool> {
        self.aim.as_ref().map(|aim| self.figure.is_within(aim))
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("measure".to_owned(), json!(self.name));
        object.insert("figure".to_owned(), self.figure.json());
        object.insert("unit".to_owned(), json!(self.figure.unit()));
        object.insert("aim".to_owned(), self.aim.as_ref().map_or(Value::Null, Amount::json));
        object.insert("met".to_owned(), json!(self.is_met()));
        for (name, part) in &self.parts {
            let key: Vec<_> = [name, part.unit()].into_iter().filter(|word| !word.is_empty()).collect();
            object.insert(key.join("_").replace(' ', "_"), part.json());
        }
        Value::Object(object)
    }

    fn text(&self) -> String {
        let aim = self.aim.as_ref().map_or_else(String::new, |aim| format!("<= {aim}"));
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let mut text = format!("{:<44} {:>10}  {aim:>11}  {met}", self.name, self.figure);
        text.truncate(text.trim_end().len());
        for (name, part) in &self.parts {
            text += &format!("\n    {name:<40} {part:>10}");
        }
        text
    }
}

/// The table, printed line by line as the measures come.
pub(crate) struct Table {
    json: bool,
}

impl Table {
    /// For programs (`json`) or for people.
    pub(crate) fn begin(json: bool) -> Self {
        if !json {
            println!("{:<44} {:>10}  {:>11}", "measure", "figure", "aim");
        }
        Self { json }
    }

    pub(crate) fn add(&self, measure: &Measure) {
        if self.json {
            println!("{}", measure.json());
        } else {
            println!("{}", measure.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn measure(micros: u64) -> Measure {
        Measure {
            name: "warm start",
            figure: Amount::Time(Duration::from_micros(micros)),
            aim: Some(Amount::Time(Duration::from_millis(50))),
            parts: vec![("slowest", Amount::Time(Duration::from_millis(90))), ("runs", Amount::Count(3))],
        }
    }

    #[test]
    fn a_miss_is_called_a_miss() {
        assert!(measure(50_001).text().contains("MISSED"));
        assert!(!measure(50_000).text().contains("MISSED"));
    }

    #[test]
    fn programs_read_values_with_their_units() {
        let expected = json!({
            "measure": "warm start", "figure": 12.5, "unit": "ms", "aim": 50.0, "met": true,
            "slowest_ms": 90.0, "runs": 3,
        });
        assert_eq!(measure(12_500).json(), expected);
    }
}
