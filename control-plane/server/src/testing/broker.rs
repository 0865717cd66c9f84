use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::control_plane::ControlPlane;

const PACKAGED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/mosquitto/");

/// Mosquitto on the packaged configuration, with port and paths rewritten.
pub(crate) struct Broker {
    dir: PathBuf,
    child: Option<Child>,
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Broker {
    pub(crate) fn start(plane: &ControlPlane) -> Self {
        let state = &plane.config.state_dir;
        let dir = state.join("mosquitto");
        std::fs::create_dir_all(&dir).unwrap();
        let packaged = |name| std::fs::read_to_string(format!("{PACKAGED}{name}")).unwrap();
        let config = packaged("pawl.conf")
            .replace("listener 8883", &format!("listener {} 127.0.0.1", plane.config.broker.port))
            .replace("/etc/mosquitto/pawl/", &format!("{}/", state.join("broker").display()))
            .replace("/etc/mosquitto/pawl.acl", &dir.join("pawl.acl").display().to_string())
            .replace("/var/lib/mosquitto/", &format!("{}/", dir.display()));
        // Started as root, it would change to a user that cannot read the key.
        std::fs::write(dir.join("pawl.conf"), format!("{config}\nuser root\nlog_type information\n"))
            .unwrap();
        std::fs::write(dir.join("pawl.acl"), packaged("pawl.acl")).unwrap();
        let mut broker = Self { dir, child: None };
        broker.restart();
        broker
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        let mut mosquitto = Command::new("mosquitto");
        mosquitto
            .arg("-c")
            .arg(self.dir.join("pawl.conf"))
            .stderr(File::create(self.dir.join("log")).unwrap());
        self.child = Some(mosquitto.spawn().unwrap());
    }

    /// Restarts the broker without its saved messages.
    pub(crate) fn restart_empty(&mut self) {
        self.stop();
        // The file is missing if the broker has written nothing yet.
        let _ = std::fs::remove_file(self.dir.join("mosquitto.db"));
        self.restart();
    }

    /// Replaces the control plane's line of the access list.
    pub(crate) fn let_control_plane(&self, allowed: &str) {
        let path = self.dir.join("pawl.acl");
        let list = std::fs::read_to_string(&path).unwrap();
        let (rest, _) = list.split_once("user pawl-control-plane\n").unwrap();
        std::fs::write(&path, format!("{rest}user pawl-control-plane\n{allowed}\n")).unwrap();
        self.reload();
    }

    /// Makes the broker reload its files, and waits until it has done so.
    pub(crate) fn reload(&self) {
        let broker = Pid::from_child(self.child.as_ref().unwrap());
        let reloads =
            || std::fs::read_to_string(self.dir.join("log")).unwrap().matches("Reloading config.").count();
        let before = reloads();
        kill_process(broker, Signal::HUP).unwrap();
        // It logs the line before it has read the new list, but serves nobody in between.
        let deadline = Instant::now() + Duration::from_secs(30);
        while reloads() == before {
            assert!(Instant::now() < deadline, "the broker does not read its list again");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}
