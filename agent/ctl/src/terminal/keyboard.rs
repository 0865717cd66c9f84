//! Questions to whoever sits at the terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::output::Voice;

/// More than any answer; what is longer is cut.
const LINE_LIMIT: usize = 1024;

/// Lines that a person types.
///
/// They are read on a thread of its own, which ends with the process: a read from a terminal cannot be called back. It
/// reads a line only while one is wanted, so that `ssh-keygen` gets the passphrase that a person types for it.
pub(crate) struct Keyboard {
    reader: Option<Reader>,
}

struct Reader {
    wanted: std::sync::mpsc::Sender<()>,
    lines: mpsc::Receiver<Zeroizing<String>>,
    is_reading: bool,
}

impl Reader {
    /// Has the thread read a line, where it is not reading one.
    fn want(&mut self) {
        if !self.is_reading {
            // A thread that has ended closes `lines` too.
            self.is_reading = self.wanted.send(()).is_ok();
        }
    }
}

impl Keyboard {
    /// None where nobody can be asked: the questions go to standard error, the answers come from standard input.
    pub(crate) fn find(voice: &Voice) -> Option<Self> {
        (voice.to_terminal() && io::stdin().is_terminal()).then_some(Self { reader: None })
    }

    /// Asks, and waits for the answer; none when the input ends. What was typed before the question is no answer.
    pub(crate) async fn ask(&mut self, voice: &mut Voice, question: &str) -> Option<Zeroizing<String>> {
        self.prompt(voice, question);
        self.typed(voice).await
    }

    /// Asks; [`Keyboard::typed`] has the answer.
    pub(crate) fn prompt(&mut self, voice: &mut Voice, question: &str) {
        // Where the terminal cannot forget, the lines that have come so far are dropped all the same.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        let reader = self.reader.get_or_insert_with(listen);
        while reader.lines.try_recv().is_ok() {
            reader.is_reading = false;
        }
        reader.want();
        voice.ask(question);
    }

    /// The next line; none when the input ends.
    pub(crate) async fn typed(&mut self, voice: &mut Voice) -> Option<Zeroizing<String>> {
        let reader = self.reader.get_or_insert_with(listen);
        reader.want();
        let line = reader.lines.recv().await?;
        reader.is_reading = false;
        voice.answered();
        Some(line)
    }
}

fn listen() -> Reader {
    let (sender, lines) = mpsc::channel(1);
    let (wanted, each_wanted) = std::sync::mpsc::channel();
    // Without a thread the channel closes, which is how an input that has ended looks.
    let _ = thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        let Ok(input) = io::stdin().as_fd().try_clone_to_owned() else { return };
        let mut input = File::from(input);
        while each_wanted.recv().is_ok() {
            let Some(line) = read_line(&mut input) else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    Reader { wanted, lines, is_reading: false }
}

/// A line, past the buffer of [`io::Stdin`], in which a confirmation would stay.
fn read_line(input: &mut File) -> Option<Zeroizing<String>> {
    // Large enough from the start: a vector that grows leaves copies behind.
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
