//! Processes that end with their value, the paths of the programs under test, and log files.

use std::env;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait;

/// A running process. It is killed when this value goes, and by the kernel when this process
/// goes without a chance to do so.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints is added to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        let child = outlived_by_none(command)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended: for conditions that are waited for.
    ///
    /// # Errors
    /// If it has ended, and how.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} ended: {status}", self.name)),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it goes on for too long.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        let Self { name, child, .. } = self;
        wait::until(&format!("{name} ends"), wait::SOON, || {
            child.try_wait()?.ok_or_else(|| anyhow!("it still runs"))
        })
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_for_end()
    }

    /// Sends SIGKILL: the process gets no chance to save anything.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// All that it has printed, in this run and the ones before.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("read {}", self.log.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, and gives what it printed.
///
/// # Errors
/// When it cannot be started, goes on for too long or fails; with all that it printed.
pub(super) fn run(command: &Command) -> Result<Vec<u8>> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
    // Files and no pipes: they hold any amount while nobody reads.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let child = outlived_by_none(command)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let status = Process { name: name.clone(), child, log: PathBuf::new() }.wait_for_end();
    let (stdout, stderr) = (contents(&mut stdout)?, contents(&mut stderr)?);
    match status {
        Ok(status) if status.success() => Ok(stdout),
        ended => bail!(
            "{name} failed: {ended:?}\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    }
}

fn contents(file: &mut File) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut contents)?;
    Ok(contents)
}

/// The same command, killed by the kernel when the thread that started it goes, and out of reach of
/// the terminal's Ctrl-C, which is ours to answer.
fn outlived_by_none(command: &Command) -> Command {
    let mut wrapped = sheltered(command);
    wrapped.process_group(0);
    wrapped
}

/// The same command, killed by the kernel when the thread that started it goes, and with no open
/// file of ours but the standard ones: the TSS leaves its connections open for children, and a TPM
/// serves one client at a time.
pub(super) fn sheltered(command: &Command) -> Command {
    const CLOSE_AND_RUN: &str = r#"
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || eval "exec $fd>&-"
        done
        exec "$@""#;
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--", "bash", "-c", CLOSE_AND_RUN, "bash"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// One of our own programs: from `PAWL_BIN_DIR`, else beside this one.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(path.is_file(), "{} is missing: build it with `cargo build --workspace --bins`", path.display());
    Ok(path)
}

/// A command that runs it.
pub(super) fn command(name: &str) -> Result<Command> {
    program(name).map(Command::new)
}

/// The directory of our own programs.
pub(super) fn directory() -> Result<PathBuf> {
    if let Some(directory) = env::var_os("PAWL_BIN_DIR") {
        return Ok(directory.into());
    }
    let mut directory = env::current_exe().context("find this program")?;
    directory.pop();
    // Cargo puts tests one level deeper.
    if directory.ends_with("deps") {
        directory.pop();
    }
    Ok(directory)
}

/// The file, and the place in it where the next record goes.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// An empty one, as a boot begins with.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, records: &[u8]) -> Result<()> {
        self.file.write_all(records).with_context(|| format!("write {}", self.path.display()))
    }

    pub(super) fn set_mode(&self, mode: u32) -> Result<()> {
        let set = fs::set_permissions(&self.path, Permissions::from_mode(mode));
        set.with_context(|| format!("set the mode of {}", self.path.display()))
    }
}
