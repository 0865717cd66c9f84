//! Prints each step when it ends, and writes the report of all steps.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// The steps so far.
pub(crate) struct StoryReport {
    title: String,
    json: bool,
    started: Instant,
    steps: Vec<Step>,
}

/// The facts that a step found, by name.
#[derive(Default)]
pub(crate) struct Facts(Map<String, Value>);

struct Step {
    name: &'static str,
    headline: &'static str,
    seconds: f64,
    facts: Map<String, Value>,
    error: Option<String>,
}

impl StoryReport {
    pub(crate) fn new(title: String, json: bool) -> Self {
        Self { title, json, started: Instant::now(), steps: Vec::new() }
    }

    /// Runs a step, and prints its facts and its error.
    pub(crate) fn step<T>(
        &mut self,
        name: &'static str,
        headline: &'static str,
        step: impl FnOnce(&mut Facts) -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        let mut facts = Facts::default();
        let outcome = step(&mut facts);
        let error = outcome.as_ref().err().map(|error| format!("{error:#}"));
        let step = Step { name, headline, seconds: start.elapsed().as_secs_f64(), facts: facts.0, error };
        let line = if self.json { format!("{}\n", step.json()) } else { step.text() };
        // Ignores a closed pipe.
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        self.steps.push(step);
        outcome
    }

    /// Returns a report for steps that run in parallel, to be [joined](StoryReport::join) at their end.
    pub(crate) fn part(&self) -> Self {
        Self::new(self.title.clone(), self.json)
    }

    /// Adds the steps of a part.
    pub(crate) fn join(&mut self, part: Self) {
        self.steps.extend(part.steps);
    }

    /// Writes `report.json` and `report.md`.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let steps: Vec<_> = self.steps.iter().map(Step::json).collect();
        let seconds = rounded(self.started.elapsed().as_secs_f64());
        let whole = json!({ "title": self.title, "ok": self.is_good(), "seconds": seconds, "steps": steps });
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write("report.json", serde_json::to_string_pretty(&whole)? + "\n")?;
        write("report.md", self.markdown(seconds))
    }

    fn is_good(&self) -> bool {
        self.steps.iter().all(|step| step.error.is_none())
    }

    fn markdown(&self, seconds: f64) -> String {
        let mut text = format!("# {}\n\n{seconds} s in all.\n\n", self.title);
        text += "| step | s | outcome | found |\n| --- | ---: | --- | --- |\n";
        for step in &self.steps {
            let outcome =
                step.error.as_deref().map_or_else(|| "ok".to_owned(), |error| format!("FAILED: {error}"));
            let found: Vec<_> =
                step.facts.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
            let cells =
                [step.headline.to_owned(), outcome, found.join("; ")].map(|cell| cell.replace('|', "\\|"));
            let [headline, outcome, found] = cells.map(|cell| cell.replace('\n', " "));
            let _ = writeln!(text, "| {headline} | {} | {outcome} | {found} |", rounded(step.seconds));
        }
        text
    }
}

impl Facts {
    /// Adds a fact.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Adds a time.
    pub(crate) fn add_seconds(&mut self, name: &str, time: std::time::Duration) {
        self.add(name, rounded(time.as_secs_f64()));
    }
}

impl Step {
    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("step".to_owned(), json!(self.name));
        object.insert("ok".to_owned(), json!(self.error.is_none()));
        object.insert("seconds".to_owned(), json!(rounded(self.seconds)));
        object.extend(self.facts.clone());
        if let Some(error) = &self.error {
            object.insert("error".to_owned(), json!(error));
        }
        Value::Object(object)
    }

    fn text(&self) -> String {
        let mark = if self.error.is_none() { "ok    " } else { "FAILED" };
        let mut text = format!("{mark} {}  {} s\n", self.headline, rounded(self.seconds));
        for (name, value) in &self.facts {
            let _ = writeln!(text, "         {:<19} {}", name.replace('_', " "), plain(value));
        }
        if let Some(error) = &self.error {
            let _ = writeln!(text, "         {error} ({})", self.name);
        }
        text
    }
}

/// Formats a value without JSON's quotes and brackets.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_report_contains_every_step_and_the_failed_one() {
        let mut report = StoryReport::new("A machine".to_owned(), true);
        let found = |facts: &mut Facts| {
            facts.add("state", "entitled");
            Ok(())
        };
        report.step("first", "it boots", found).unwrap();
        let failed: Result<()> = report.step("second", "it stops", |_| Err(anyhow!("it | goes\non")));
        assert!(failed.is_err());

        let directory = tempfile::tempdir().unwrap();
        report.write(directory.path()).unwrap();
        let json = fs::read_to_string(directory.path().join("report.json")).unwrap();
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["steps"][0]["state"], "entitled");
        assert_eq!(json["steps"][1]["error"], "it | goes\non");
        let markdown = fs::read_to_string(directory.path().join("report.md")).unwrap();
        assert!(markdown.contains("| it boots | 0 | ok | state: entitled |"), "{markdown}");
        assert!(markdown.contains("| it stops | 0 | FAILED: it \\| goes on |  |"), "{markdown}");
    }
}
