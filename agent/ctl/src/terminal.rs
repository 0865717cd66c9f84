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

/// Returns the width of standard error in characters; `None` if it is not a terminal or has no known width.
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

/// SIGINT and SIGTERM. Once this exists, they no longer end the process; the owner must do so.
pub(crate) struct Interrupt {
    keyboard: Signal,
    termination: Signal,
}

impl Interrupt {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { keyboard: signal(SignalKind::interrupt())?, termination: signal(SignalKind::terminate())? })
    }

    /// Returns when one of them has arrived.
    pub(crate) async fn arrived(&mut self) {
        tokio::select! {
            _ = self.keyboard.recv() => (),
            _ = self.termination.recv() => (),
        }
    }
}

/// The limit of a line: more than any answer needs. The rest of a longer line is dropped.
const LINE_LIMIT: usize = 1024;

/// Lines that a person types.
///
/// A thread reads them, because a read from a terminal cannot be cancelled. The thread ends with the process. It reads a line only
/// on request, so that `ssh-keygen` gets the passphrase that a person types for it.
pub(crate) struct Keyboard {
    reader: Option<Reader>,
}

struct Reader {
    requests: std::sync::mpsc::Sender<()>,
    lines: mpsc::Receiver<Zeroizing<String>>,
    is_reading: bool,
}

impl Reader {
    /// Requests a line from the thread, unless it is reading one.
    fn request_line(&mut self) {
        if !self.is_reading {
            // If the thread has ended, `lines` is closed too, which the caller notices.
            self.is_reading = self.requests.send(()).is_ok();
        }
    }
}

impl Keyboard {
    /// Returns the keyboard; `None` unless standard error, for the questions, and standard input, for the answers, are terminals.
    pub(crate) fn find(progress: &Progress) -> Option<Self> {
        (progress.to_terminal() && io::stdin().is_terminal()).then_some(Self { reader: None })
    }

    /// Asks and waits for the answer. Drops text that was typed before the question. Returns `None` if the input ends.
    pub(crate) async fn ask(&mut self, progress: &mut Progress, question: &str) -> Option<Zeroizing<String>> {
        self.prompt(progress, question);
        self.typed(progress).await
    }

    /// Asks without waiting; [`Keyboard::typed`] returns the answer.
    pub(crate) fn prompt(&mut self, progress: &mut Progress, question: &str) {
        // If the terminal cannot drop its input, the lines that were already read are still dropped below.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        let reader = self.reader.get_or_insert_with(listen);
        while reader.lines.try_recv().is_ok() {
            reader.is_reading = false;
        }
        reader.request_line();
        progress.ask(question);
    }

    /// Waits for the next line; returns `None` if the input ends.
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
    // If the thread cannot be created, the channel closes, as it does when the input ends.
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

/// Reads a line without the buffer of [`io::Stdin`], which would retain a copy of the confirmation code.
fn read_line(input: &mut File) -> Option<Zeroizing<String>> {
    // Allocates the full capacity, because a vector that grows leaves copies in memory.
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
