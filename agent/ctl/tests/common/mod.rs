//! Runs `pawlctl` as a process, and a fake daemon whose answers a test defines.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by panicking")]

pub(crate) mod keys;
pub(crate) mod session;
pub(crate) mod terminal;

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The status of a device without a problem.
pub(crate) const ENTITLED: &str = r#"{
    "version": "0.1.0", "state": "entitled", "problem": null,
    "device": "abcdefghijklmnopqrstuvwxyz234567", "ek_sha256": "00ff", "ek_kind": "rsa-2048", "ek_certificates": 1, "pcr_banks": ["sha256"], "counter": 7,
    "pairing": {"id": "00000000000000000000000000000001", "epoch": 7, "control_plane": "Example fleet",
                "endorsement": "certificate", "scopes": ["telemetry"]},
    "verdict": null, "lease": null, "tokens": [],
    "broker": {"connected": true, "address": "127.0.0.1:1", "error": null},
    "receipt_waiting": false, "finding": "nothing-changed", "refused": {}
}"#;

/// Returns the same status in another state, with a problem if `reason` is not empty.
pub(crate) fn status(state: &str, reason: &str) -> String {
    let status = ENTITLED.replace("entitled", state);
    if reason.is_empty() {
        return status;
    }
    status.replace(r#""problem": null"#, &format!(r#""problem": {}"#, problem("because", reason)))
}

pub(crate) fn problem(error: &str, reason: &str) -> String {
    format!(r#"{{"error": "{error}", "reason": "{reason}", "remedy": "call the operator"}}"#)
}

/// Returns an HTTP response.
pub(crate) fn reply(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A fake daemon on a Unix socket.
pub(crate) struct Server {
    directory: tempfile::TempDir,
    requests: mpsc::Receiver<String>,
}

impl Server {
    /// Starts a server. `answer` gets each request, head and body, and returns the bytes of the answer.
    pub(crate) fn new(mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A client that was killed may have sent an incomplete request.
                let Some(request) = read(&mut stream) else { continue };
                let answer = answer(&request);
                // Record the request before the answer: the client may exit after the answer, and the test then reads the requests.
                if sender.send(request).is_err() {
                    break;
                }
                // A client closes the connection if the answer is too long.
                let _ = stream.write_all(&answer);
            }
        });
        Self { directory, requests }
    }

    /// Starts a server with the same answer to every request.
    pub(crate) fn always(answer: Vec<u8>) -> Self {
        Self::new(move |_| answer.clone())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Runs `pawlctl` against this server.
    pub(crate) fn pawlctl(&self, arguments: &[&str]) -> Run {
        pawlctl(&self.socket(), arguments)
    }

    /// Waits for a request that begins with `start`, and returns it.
    pub(crate) fn wait_for(&self, start: &str) -> String {
        loop {
            let request = self.requests.recv_timeout(Duration::from_secs(30)).unwrap();
            if request.starts_with(start) {
                return request;
            }
        }
    }

    /// Returns the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

fn read(stream: &mut UnixStream) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(buffer.get(..length).unwrap());
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let expected = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= expected.map_or(0, |length| length.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        if length == 0 {
            return None;
        }
    }
}

/// The exit code and the output of a run of `pawlctl`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Parses each line of standard output as JSON.
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub(crate) fn pawlctl(socket: &Path, arguments: &[&str]) -> Run {
    Run::from(command(socket, arguments).output().unwrap())
}

/// Returns the command without a terminal, an agent and an SSH connection.
pub(crate) fn command(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = command_without_socket(arguments);
    command.arg("--socket").arg(socket);
    command
}

/// Returns the same command without `--socket`.
pub(crate) fn command_without_socket(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    for variable in ["RUST_BACKTRACE", "SSH_AUTH_SOCK", "SSH_CONNECTION", "NO_COLOR", "LC_ALL", "LC_CTYPE"] {
        command.env_remove(variable);
    }
    command
}

/// Returns the program in `PAWL_BIN_DIR`, which this machine can run, or else the one that cargo built.
fn program() -> PathBuf {
    match std::env::var_os("PAWL_BIN_DIR") {
        Some(directory) => Path::new(&directory).join("pawlctl"),
        None => env!("CARGO_BIN_EXE_pawlctl").into(),
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
