//! Questions to whoever sits at the terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::termios::{QueueSelector, tcflush};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::echo::Silence;
use crate::output::Voice;

/// More than any answer; what is longer is cut.
const LINE_LIMIT: usize = 1024;

/// Lines that a person types.
///
/// They are read on a thread of its own, which ends with the process: a read from a terminal cannot be called back.
pub(crate) struct Keyboard {
    lines: Option<mpsc::Receiver<Zeroizing<String>>>,
}

impl Keyboard {
    /// None where nobody can be asked: the questions go to standard error, the answers come from standard input.
    pub(crate) fn find(voice: &Voice) -> Option<Self> {
        (voice.to_terminal() && io::stdin().is_terminal()).then_some(Self { lines: None })
    }

    /// Asks, and waits for the answer; none when the input ends. What was typed before the question is no answer.
    pub(crate) async fn ask(&mut self, voice: &mut Voice, question: &str) -> Option<Zeroizing<String>> {
        self.prompt(voice, question);
        self.typed(voice).await
    }

    /// The same, and nothing of it is shown.
    pub(crate) async fn ask_silently(
        &mut self,
        voice: &mut Voice,
        question: &str,
    ) -> Option<Zeroizing<String>> {
        let _silence = Silence::begin().ok()?;
        self.ask(voice, question).await
    }

    /// Asks; [`Keyboard::typed`] has the answer.
    pub(crate) fn prompt(&mut self, voice: &mut Voice, question: &str) {
        // Where the terminal cannot forget, the lines that have come so far are dropped all the same.
        let _ = tcflush(io::stdin(), QueueSelector::IFlush);
        let lines = self.lines.get_or_insert_with(listen);
        while lines.try_recv().is_ok() {}
        voice.ask(question);
    }

    /// The next line; none when the input ends.
    pub(crate) async fn typed(&mut self, voice: &mut Voice) -> Option<Zeroizing<String>> {
        let line = self.lines.get_or_insert_with(listen).recv().await?;
        voice.answered();
        Some(line)
    }
}

fn listen() -> mpsc::Receiver<Zeroizing<String>> {
    let (sender, receiver) = mpsc::channel(1);
    // Without a thread the channel closes, which is how an input that has ended looks.
    let _ = thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        let Ok(input) = io::stdin().as_fd().try_clone_to_owned() else { return };
        let mut input = File::from(input);
        while let Some(line) = read_line(&mut input) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A line, past the buffer of [`io::Stdin`], in which a passphrase would stay.
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
