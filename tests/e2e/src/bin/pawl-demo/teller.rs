//! Prints the story for people, or as one JSON object a line.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;
use pawl_e2e::rig::wait::Interrupted;
use serde_json::{Map, Value, json};

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Colour,
    Plain,
    Json,
}

/// Tells each step as it ends.
pub(crate) struct Teller {
    manner: Manner,
}

impl Teller {
    pub(crate) fn new(manner: Manner) -> Self {
        Self { manner }
    }

    /// Runs a step and tells what it found, or that it failed.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        headline: &str,
        step: impl FnOnce(&mut Facts) -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        let mut facts = Facts::default();
        let outcome = step(&mut facts);
        let told =
            Told { name, headline, facts: &facts, milliseconds: start.elapsed().as_secs_f64() * 1000.0 };
        match &outcome {
            Ok(_) => self.tell(&told, None),
            Err(error) if error.is::<Interrupted>() => {}
            Err(error) => self.tell(&told, Some(&format!("{error:#}"))),
        }
        outcome
    }

    /// Something besides the steps, for people alone.
    pub(crate) fn remark(&self, text: &str) {
        if self.manner != Manner::Json {
            Self::print(&format!("{text}\n"));
        }
    }

    fn tell(&self, told: &Told<'_>, error: Option<&str>) {
        let text = match self.manner {
            Manner::Json => format!("{}\n", told.json(error)),
            Manner::Plain => told.text(error, &Style::PLAIN),
            Manner::Colour => told.text(error, &Style::COLOUR),
        };
        Self::print(&text);
    }

    /// Ignores a closed pipe (`| head`), so that the story ends properly.
    fn print(text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// What a step found: a value for programs and a text for people each.
#[derive(Default)]
pub(crate) struct Facts(Vec<(&'static str, Value, String)>);

impl Facts {
    /// A fact that reads the same for both.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        let text = in_words(&value);
        self.0.push((name, value, text));
    }

    /// A fact that people read in another form.
    pub(crate) fn add_as(&mut self, name: &'static str, value: impl Into<Value>, text: impl Into<String>) {
        self.0.push((name, value.into(), text.into()));
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

struct Told<'a> {
    name: &'a str,
    headline: &'a str,
    facts: &'a Facts,
    milliseconds: f64,
}

impl Told<'_> {
    fn json(&self, error: Option<&str>) -> Value {
        let mut object = Map::new();
        object.insert("step".to_owned(), json!(self.name));
        object.insert("ok".to_owned(), json!(error.is_none()));
        object.insert("milliseconds".to_owned(), json!((self.milliseconds * 10.0).round() / 10.0));
        for (name, value, _) in &self.facts.0 {
            object.insert((*name).to_owned(), value.clone());
        }
        if let Some(error) = error {
            object.insert("error".to_owned(), json!(error));
        }
        Value::Object(object)
    }

    fn text(&self, error: Option<&str>, style: &Style) -> String {
        let Style { good, bad, strong, dim, end } = style;
        let mark = if error.is_none() { format!("{good}ok{end}  ") } else { format!("{bad}FAILED{end}  ") };
        let mut text =
            format!("{mark}{strong}{}{end}  {dim}{:.0} ms{end}\n", self.headline, self.milliseconds);
        for (name, _, value) in &self.facts.0 {
            text += &format!("      {dim}{:<21}{end} {value}\n", name.replace('_', " "));
        }
        if let Some(error) = error {
            text += &format!("      {bad}{}{end} ({})\n", error, self.name);
        }
        text
    }
}

/// SGR sequences of a terminal (ECMA-48), or nothing.
struct Style {
    good: &'static str,
    bad: &'static str,
    strong: &'static str,
    dim: &'static str,
    end: &'static str,
}

impl Style {
    const PLAIN: Self = Self { good: "", bad: "", strong: "", dim: "", end: "" };
    const COLOUR: Self =
        Self { good: "\x1b[32m", bad: "\x1b[31m", strong: "\x1b[1m", dim: "\x1b[2m", end: "\x1b[0m" };
}
