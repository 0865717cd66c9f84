//! A person at a pseudo-terminal: what a program shows there in the end, and what is typed.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use nix::pty::{Winsize, openpty};

use super::{process, wait};

/// A program on a terminal of its own. It is killed when this value goes.
pub struct Terminal {
    name: String,
    child: Child,
    /// Our side of the terminal, until the person leaves it.
    keyboard: File,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    /// How much of what is shown the person has read.
    read: usize,
}

/// As wide as a technician's laptop shows it at least.
const SIZE: Winsize = Winsize { ws_row: 50, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };

impl Terminal {
    /// Starts `command` on a new terminal without colours.
    ///
    /// # Errors
    /// When there is no terminal, or the program does not start.
    pub fn start(name: &str, command: &Command) -> Result<Self> {
        let pair = openpty(Some(&SIZE), None).context("open a pseudo-terminal")?;
        let mut on_terminal = Command::new("setsid");
        // A new session, whose terminal is standard input: so that Ctrl-C is a signal.
        on_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args());
        on_terminal.env("TERM", "xterm").env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8");
        for (key, value) in command.get_envs() {
            on_terminal.env(key, value.unwrap_or_default());
        }
        let side = |slave: &OwnedFd| slave.try_clone().map(Stdio::from);
        let child = process::sheltered(&on_terminal)
            .stdin(side(&pair.slave)?)
            .stdout(side(&pair.slave)?)
            .stderr(side(&pair.slave)?)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        // Only the program has its side now: when it ends, so does what we read.
        drop(pair.slave);
        let keyboard = File::from(pair.master);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let reader = watch(keyboard.try_clone()?, Arc::clone(&shown));
        Ok(Self { name: name.to_owned(), child, keyboard, shown, reader: Some(reader), read: 0 })
    }

    /// Waits until `text` is shown after what was waited for before.
    ///
    /// # Errors
    /// When it does not come; with all that is shown.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let (shown, read) = (Arc::clone(&self.shown), self.read);
        self.read = wait::until(&format!("{} shows {text:?}", self.name), wait::SOON, || {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let unread = shown.get(read..).unwrap_or_default();
            let place = unread.windows(text.len()).position(|window| window == text.as_bytes());
            place.map(|place| read + place + text.len()).ok_or_else(|| anyhow!("{}", Screen::of(&shown)))
        })?;
        Ok(())
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.press(format!("{line}\n").as_bytes())
    }

    /// Types Ctrl-C.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn press_ctrl_c(&mut self) -> Result<()> {
        self.press(b"\x03")
    }

    fn press(&mut self, keys: &[u8]) -> Result<()> {
        self.keyboard.write_all(keys).with_context(|| format!("type into {}", self.name))
    }

    /// Waits for the program's end. Returns its exit status and the text on the screen.
    ///
    /// # Errors
    /// When it keeps running.
    pub fn end(mut self) -> Result<(ExitStatus, String)> {
        let Self { name, child, .. } = &mut self;
        let status = wait::until(&format!("{name} ends"), wait::SOON, || {
            child.try_wait()?.ok_or_else(|| anyhow!("it still runs"))
        });
        if status.is_ok()
            && let Some(reader) = self.reader.take()
        {
            let _ = reader.join();
        }
        let shown = Screen::of(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).to_string();
        let status = status.with_context(|| shown.clone())?;
        Ok((status, shown))
    }

    /// What stands on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        Screen::of(&self.shown.lock().unwrap_or_else(PoisonError::into_inner)).to_string()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(mut terminal: File, shown: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut piece = [0; 4096];
        loop {
            match terminal.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => {
                    let piece = piece.get(..length).unwrap_or_default();
                    shown.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(piece);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // EIO: no process has the other side open.
                Err(_) => return,
            }
        }
    })
}

/// The lines of a terminal that is high enough. It knows what our programs write: text, carriage
/// returns, the erasing of a line, and colours, which it does not show (ECMA-48).
#[derive(Default)]
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// What is seen after all of these bytes.
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut screen = Self { lines: vec![Vec::new()], ..Self::default() };
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => screen.column = 0,
                '\n' => screen.down(),
                '\u{1b}' => screen.control(characters.find(char::is_ascii_alphabetic)),
                character => screen.put(character),
            }
        }
        screen
    }

    fn down(&mut self) {
        self.row += 1;
        if self.lines.len() == self.row {
            self.lines.push(Vec::new());
        }
    }

    fn control(&mut self, function: Option<char>) {
        if function == Some('K')
            && let Some(line) = self.lines.get_mut(self.row)
        {
            line.truncate(self.column);
        }
    }

    fn put(&mut self, character: char) {
        let Some(line) = self.lines.get_mut(self.row) else { return };
        match line.get_mut(self.column) {
            Some(place) => *place = character,
            None => {
                line.resize(self.column, ' ');
                line.push(character);
            }
        }
        self.column += 1;
    }
}

impl std::fmt::Display for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.lines {
            let line: String = line.iter().collect();
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_over_is_gone() {
        let bytes = "one\r\nwaiting; 10 min\r\u{1b}[Kwaiting; 9 min\r\u{1b}[K\u{1b}[1;32mtwo\u{1b}[0m\r\n";
        assert_eq!(Screen::of(bytes.as_bytes()).to_string(), "one\ntwo\n\n");
    }

    #[test]
    fn a_shorter_text_leaves_the_rest_of_a_longer_one() {
        assert_eq!(Screen::of(b"longer\rshort").to_string(), "shortr\n");
    }
}
