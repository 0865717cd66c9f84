//! The terminal: its size, its keyboard, and signals that end the command.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::termios::{QueueSelector, tcflush};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::output::Progress;

/// Returns the width of standard error in characters; none if it is no terminal or does not state a width.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Returns whether the locale is UTF-8. The first of the variables that is set decides (locale(7)).
pub(crate) fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Returns the device file of the terminal on standard input.
pub(crate) fn name() -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let path = std::fs::read_link("/proc/self/fd/0").ok()?;
    Some(path.to_string_lossy().into_owned()).filter(|path| path.starts_with("/dev/"))
}

/// SIGINT and SIGTERM. Once this exists they do not end the process any more; its owner must.
pub(crate) struct Interrupt {
    keyboard: Signal,
    termination: Signal,
}

impl Interrupt {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { keyboard: signal(SignalKind::interrupt())?, termination: signal(SignalKind::terminate())? })
    }

    /// Returns when one of them has arrived.
    pub(crate) async fn came(&mut self) {
        tokio::select! {
            _ = self.keyboard.recv() => (),
            _ = self.termination.recv() => (),
        }
    }
}

/// Longer than any answer. The rest of a longer line is dropped.
const LINE_LIMIT: usize = 1024;

/// Lines that a person types.
///
/// A thread reads them, since a read from a terminal cannot be cancelled; it ends with the process. It reads a line only on
/// request, so that `ssh-keygen` gets the passphrase that a person types for it.
pub(crate) struct Keyboard {
    reader: Option<Reader>,
}

struct Reader {
    requests: std::sync::mpsc::Sender<()>,
    lines: mpsc::Receiver<Zeroizing<String>>,
    is_reading: bool,
}

impl Reader {
    /// Has the thread read a line, unless it is reading one.
    fn request_line(&mut self) {
        if !self.is_reading {
            // A thread that has ended closes `lines` too.
            self.is_reading = self.requests.send(()).is_ok();
        }
    }
}

impl Keyboard {
    /// Returns none unless both standard error, for the questions, and standard input, for the answers, are terminals.
    pub(crate) fn find(progress: &Progress) -> Option<Self> {
        (progress.to_terminal() && io::stdin().is_terminal()).then_some(Self { reader: None })
    }

    /// Asks and waits for the answer; returns none if the input ends. Drops what was typed before the question.
    pub(crate) async fn ask(&mut self, progress: &mut Progress, question: &str) -> Option<Zeroizing<String>> {
        self.prompt(progress, question);
        self.typed(progress).await
    }

    /// Asks; [`Keyboard::typed`] returns the answer.
    pub(crate) fn prompt(&mut self, progress: &mut Progress, question: &str) {
        // If the terminal cannot drop its input, the lines below are dropped all the same.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        let reader = self.reader.get_or_insert_with(listen);
        while reader.lines.try_recv().is_ok() {
            reader.is_reading = false;
        }
        reader.request_line();
        progress.ask(question);
    }

    /// Returns the next line; none if the input ends.
    pub(crate) async fn typed(&mut self, progress: &mut Progress) -> Option<Zeroizing<String>> {
        let reader = self.reader.get_or_insert_with(listen);
        reader.request_line();
        let line = reader.lines.recv().await?;
        reader.is_reading = false;
        progress.answered();
        Some(line)
    }
}

fn listen() -> Reader {
    let (sender, lines) = mpsc::channel(1);
    let (requests, each_request) = std::sync::mpsc::channel();
    // If no thread can be created, the channel closes, as it does when the input ends.
    let _ = thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        let Ok(input) = io::stdin().as_fd().try_clone_to_owned() else { return };
        let mut input = File::from(input);
        while each_request.recv().is_ok() {
            let Some(line) = read_line(&mut input) else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    Reader { requests, lines, is_reading: false }
}

/// Reads a line without the buffer of [`io::Stdin`], which would keep a copy of the confirmation code.
fn read_line(input: &mut File) -> Option<Zeroizing<String>> {
    // The full capacity from the start: a vector that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_LIMIT));
    let mut byte = Zeroizing::new([0]);
    loop {
        match input.read(byte.as_mut_slice()) {
            Ok(0) => return None,
            Ok(_) if *byte == [b'\n'] => break,
            Ok(_) if line.len() < LINE_LIMIT => line.extend_from_slice(byte.as_slice()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(Zeroizing::new(String::from_utf8_lossy(&line).into_owned()))
}
