//! Runs `pawlctl` on a pseudo-terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const PATIENCE: Duration = Duration::from_secs(30);

/// A pseudo-terminal, and the process that runs on it.
pub(crate) struct Terminal {
    process: Child,
    controller: File,
    /// The terminal end, from which the modes are read.
    terminal: File,
    output: Receiver<Vec<u8>>,
    /// The output so far.
    pub(crate) shown: String,
    read: usize,
}

impl Terminal {
    /// Runs a command with this as its controlling terminal: `ssh-keygen` asks on /dev/tty.
    pub(crate) fn run(command: Command, columns: u16) -> Self {
        let mut command = controlled(&command);
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let noctty = i32::try_from(OpenptFlags::NOCTTY.bits()).unwrap();
        let open = || File::options().read(true).write(true).custom_flags(noctty).open(&path).unwrap();
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&controller, size).unwrap();
        let process = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        drop(command);
        let controller = File::from(controller);
        let mut reader = controller.try_clone().unwrap();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { process, controller, terminal: open(), output, shown: String::new(), read: 0 }
    }

    /// Waits until the text is shown after the texts of earlier calls.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(place) = self.shown[self.read..].find(text) {
                self.read += place + text.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{text:?} is not shown ({error}): {:?}", self.shown),
            }
        }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.controller, "{line}").unwrap();
    }

    /// Returns whether the terminal's echo is on.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    pub(crate) fn process(&self) -> &Child {
        &self.process
    }

    /// Waits for the end of the process. Returns its exit code and all output.
    pub(crate) fn end(mut self) -> (i32, String) {
        let code = self.process.wait().unwrap().code().unwrap();
        drop(self.terminal);
        // The read fails once the last terminal end is closed; by then all output has been read.
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (code, self.shown)
    }
}

/// Returns the command in a new session with a controlling terminal. setsid keeps the process id.
fn controlled(command: &Command) -> Command {
    let mut controlled = Command::new("setsid");
    controlled.arg("--ctty").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => controlled.env(name, value),
            None => controlled.env_remove(name),
        };
    }
    controlled
}
