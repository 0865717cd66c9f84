//! What differs from run to run gets a name that does not.

use regex::{Captures, Regex};

/// The letters of codes and confirmations.
const LETTERS: &str = "[BCDFGHJKLMNPQRSTVWXZ]";

/// Names for what a test knows by itself.
#[derive(Default)]
pub(super) struct Names {
    known: Vec<(String, String)>,
    devices: u8,
}

impl Names {
    pub(super) fn call(&mut self, what: String, name: &str) {
        self.known.push((what, name.to_owned()));
    }

    /// Names a device, if it has no name yet.
    pub(super) fn call_device(&mut self, id: String) {
        if self.known.iter().all(|(known, _)| *known != id) {
            self.devices += 1;
            // As long as the id is.
            let name = format!("device{}xxxxxxxxxxxxxxxxxxxxxxxxx", self.devices);
            self.known.push((id, name));
        }
    }

    /// The text as it is in every run.
    pub(super) fn normal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (what, name) in &self.known {
            text = text.replace(what, name);
        }
        let text = numbered(&text, r"\b[0-9a-f]{64}\b", |number| format!("{number:064x}"));
        let text = numbered(&text, r"\b[0-9a-f]{32}\b", |number| format!("{number:032x}"));
        let text = numbered(&text, r"SHA256:[A-Za-z0-9+/]{43}", |number| format!("SHA256:{number:043}"));
        let code = format!("{LETTERS}{{4}}-{LETTERS}{{4}}");
        let replacements = [
            (format!(r"\b{code}-{LETTERS}{{4}}\b"), "BCDF-GHJK-LMNP"),
            (format!(r"([^-A-Z]){code}([^-A-Z])"), "${1}QRST-VWXZ${2}"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d".to_owned(), "2026-01-01 00:00:00"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ".to_owned(), "2026-01-01T00:00:00Z"),
            (r"/dev/pts/\d+".to_owned(), "/dev/pts/1"),
            (r"(?m)^(  host +).*$".to_owned(), "${1}pump-4, Example board, Example OS (the device's word)"),
            (r"(?:(?m:^[█▀▄ ]*[█▀▄][█▀▄ ]*$)\n)+".to_owned(), "    (QR code)\n"),
        ];
        replacements.iter().fold(text, |text, (pattern, name)| {
            Regex::new(pattern).unwrap().replace_all(&text, *name).into_owned()
        })
    }
}

/// The confirmation that an approver was shown.
pub(super) fn confirmation(shown: &str) -> Option<&str> {
    let line = Regex::new(&format!(r"(?m)^ +({LETTERS}{{4}}-{LETTERS}{{4}})$")).unwrap();
    Some(line.captures(shown)?.get(1)?.as_str())
}

/// The same name for the same text, in the order in which they come.
fn numbered(text: &str, pattern: &str, name: impl Fn(usize) -> String) -> String {
    let mut seen: Vec<String> = Vec::new();
    let replaced = Regex::new(pattern).unwrap().replace_all(text, |found: &Captures<'_>| {
        let place = seen.iter().position(|seen| *seen == found[0]).unwrap_or_else(|| {
            seen.push(found[0].to_owned());
            seen.len() - 1
        });
        name(place + 1)
    });
    replaced.into_owned()
}
