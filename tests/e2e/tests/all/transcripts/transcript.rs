//! The transcript of one situation: commands, outputs, and names in place of values that differ from run to run.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use pawl_e2e::Rig;
use pawl_e2e::rig::{Approver, Device, Terminal};
use regex::{Captures, Regex};

/// What is seen in a situation, in the order in which commands end.
pub(super) struct Transcript {
    name: &'static str,
    text: String,
    names: Names,
}

/// A program that somebody looks at.
pub(super) struct Scene {
    heading: String,
    terminal: Terminal,
}

impl std::ops::Deref for Scene {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl std::ops::DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}

/// To write the transcripts instead of comparing them.
const RECORD: &str = "RECORD_TRANSCRIPTS";

impl Transcript {
    pub(super) fn of(name: &'static str, rig: &Rig) -> Self {
        let mut names = Names::default();
        names.call(rig.control_plane.url(), "https://control.example");
        names.call(rig.control_plane.url().replace("https://", ""), "control.example:443");
        Self { name, text: String::new(), names }
    }

    /// What a person's key file is called.
    pub(super) fn calls(&mut self, approver: &Approver, path: &'static str) {
        self.names.call(approver.key().display().to_string(), path);
    }

    /// From here on this device is known by a name.
    pub(super) fn knows(&mut self, device: &Device) {
        self.names.call_device(device.status().unwrap().device.to_string());
    }

    /// A technician types this at the device, through SSH.
    pub(super) fn at_device(&mut self, device: &Device, arguments: &[&str]) -> Scene {
        self.knows(device);
        let mut command = device.pawlctl_command(arguments).unwrap();
        command.env("SSH_CONNECTION", "192.0.2.7 50022 192.0.2.1 22");
        scene("at the device", "pawlctl", arguments, &command)
    }

    /// A colleague or an operator types this at the control plane.
    pub(super) fn elsewhere(&self, rig: &Rig, arguments: &[&str]) -> Scene {
        let command = rig.control_plane.command(arguments).unwrap();
        scene("at the control plane", "pawl-control-plane", arguments, &command)
    }

    /// Waits for the end, which has to be this one; what stands on the screen.
    pub(super) fn ends(&mut self, scene: Scene, code: i32) -> String {
        let (status, shown) = scene.terminal.end().unwrap();
        assert_eq!(status.code(), Some(code), "{}{shown}", scene.heading);
        let _ = writeln!(self.text, "{}{}\n[exit {code}]\n", scene.heading, shown.trim_end());
        shown
    }

    pub(super) fn compare(self) {
        let shown = self.names.normal(&self.text);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transcripts");
        let file = folder.join(format!("{}.txt", self.name));
        if std::env::var_os(RECORD).is_some() {
            std::fs::write(&file, shown).unwrap();
            return;
        }
        let recorded = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            shown == recorded,
            "{} is not what is seen now; {RECORD}=1 writes it anew. Seen:\n{shown}",
            file.display()
        );
    }
}

fn scene(place: &str, program: &str, arguments: &[&str], command: &Command) -> Scene {
    let words: Vec<String> = arguments
        .iter()
        .map(|word| if word.contains(' ') { format!("\"{word}\"") } else { (*word).to_owned() })
        .collect();
    Scene {
        heading: format!("--- {place}\n$ {program} {}\n", words.join(" ")),
        terminal: Terminal::start(program, command).unwrap(),
    }
}

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
