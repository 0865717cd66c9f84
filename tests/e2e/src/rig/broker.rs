//! The broker: mosquitto on the files that we ship.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::unistd::{User, geteuid};

use super::{Directory, Process, wait};

/// A broker that can be stopped, started and robbed of its memory.
pub struct Broker {
    place: PathBuf,
    log: PathBuf,
    port: u16,
    process: Option<Process>,
}

/// Clients of tests and benches that may do on a device's topics what the control plane may. The
/// broker gives one connection to each name.
pub const OBSERVERS: [&str; 3] = ["test-reader", "test-writer", "test-bench"];

/// The broker configuration that packages install.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/mosquitto");

impl Broker {
    /// Starts it with the certificates of the control plane whose state is in `control_plane`.
    ///
    /// # Errors
    /// When the shipped files cannot be used, or it does not start.
    pub fn start(directory: &Directory, control_plane: &Path, port: u16) -> Result<Self> {
        let place = directory.create("broker")?;
        let shipped = Path::new(SHIPPED);
        let read = |name: &str| {
            let path = shipped.join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let observers = OBSERVERS.map(|name| format!("\nuser {name}\ntopic readwrite pawl/v1/#\n"));
        fs::write(place.join("pawl.acl"), read("pawl.acl")? + &observers.concat())?;
        let moved = Moved { port, place: &place, certificates: &control_plane.join("broker") };
        fs::write(place.join("pawl.conf"), moved.configuration(&read("pawl.conf")?)?)?;
        fs::create_dir_all(place.join("data"))?;
        let mut broker = Self { log: directory.log("mosquitto"), place, port, process: None };
        broker.resume()?;
        Ok(broker)
    }

    /// Starts it again after [`Broker::stop`] or [`Broker::kill`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn resume(&mut self) -> Result<()> {
        let mut mosquitto = Command::new(program());
        mosquitto.arg("-c").arg(self.place.join("pawl.conf"));
        let process = self.process.insert(Process::spawn("mosquitto", &mosquitto, &self.log)?);
        let port = self.port;
        wait::until("mosquitto listens", wait::SOON, || {
            process.check_running()?;
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop).context("mosquitto does not listen")
        })
    }

    /// Ends it; it saves its sessions and messages.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |process| process.terminate().map(drop))
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Deletes its sessions and messages; it must be stopped.
    ///
    /// # Errors
    /// When they cannot be deleted.
    pub fn forget(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("the broker must be stopped before it forgets");
        }
        let data = self.place.join("data");
        fs::remove_dir_all(&data)?;
        fs::create_dir_all(&data)?;
        Ok(())
    }

    /// Starts it again without this option of the shipped configuration.
    ///
    /// # Errors
    /// When the configuration has no such option, or the broker does not start.
    pub fn restart_without(&mut self, option: &str) -> Result<()> {
        self.stop()?;
        let path = self.place.join("pawl.conf");
        let configuration = fs::read_to_string(&path)?;
        let is_other = |line: &&str| line.split_once(' ').is_none_or(|(key, _)| key != option);
        let lines: Vec<_> = configuration.lines().filter(is_other).collect();
        if lines.len() == configuration.lines().count() {
            bail!("the broker's configuration has no {option}");
        }
        fs::write(path, lines.join("\n") + "\n")?;
        self.resume()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All that it logged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("read {}", self.log.display()))
    }
}

/// Debian keeps it where only root's PATH leads.
fn program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}

/// The shipped configuration at another port and with other paths, and nothing else changed.
struct Moved<'a> {
    port: u16,
    place: &'a Path,
    certificates: &'a Path,
}

impl Moved<'_> {
    fn configuration(&self, shipped: &str) -> Result<String> {
        let mut lines: Vec<String> = shipped.lines().map(|line| self.line(line)).collect();
        if !shipped.lines().any(|line| line.starts_with("listener ")) {
            bail!("the shipped broker configuration has no listener");
        }
        // As root it would become the user of its package, who may not enter our directory.
        let user = User::from_uid(geteuid())?.ok_or_else(|| anyhow!("this user has no name"))?;
        lines.push(format!("user {}", user.name));
        lines.push(String::new());
        Ok(lines.join("\n"))
    }

    fn line(&self, line: &str) -> String {
        let Some((key, _)) = line.split_once(' ') else { return line.to_owned() };
        let path = match key {
            "listener" => return format!("listener {} 127.0.0.1", self.port),
            "user" | "pid_file" => return String::new(),
            "log_dest" => return "log_dest stderr".to_owned(),
            "cafile" => self.certificates.join("ca.pem"),
            "certfile" => self.certificates.join("server.pem"),
            "keyfile" => self.certificates.join("server.key"),
            "crlfile" => self.certificates.join("crl.pem"),
            "acl_file" => self.place.join("pawl.acl"),
            "persistence_location" => self.place.join("data/"),
            _ => return line.to_owned(),
        };
        format!("{key} {}", path.display())
    }
}
