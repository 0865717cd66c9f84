use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::control_plane::ControlPlane;

const PACKAGED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/mosquitto/");

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
            .replace("/etc/mosquitto/pawl.acl", &format!("{PACKAGED}pawl.acl"))
            .replace("/var/lib/mosquitto/", &format!("{}/", dir.display()));
        // Started as root it would change to a user who may not read the key.
        std::fs::write(dir.join("pawl.conf"), format!("{config}\nuser root\n")).unwrap();
        let mut broker = Self { dir, child: None };
        broker.restart();
        broker
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        let mut mosquitto = Command::new("mosquitto");
        mosquitto.arg("-c").arg(self.dir.join("pawl.conf")).stderr(Stdio::null());
        self.child = Some(mosquitto.spawn().unwrap());
    }

    /// A broker that lost its disk.
    pub(crate) fn restart_empty(&mut self) {
        self.stop();
        // It may not have written anything yet.
        let _ = std::fs::remove_file(self.dir.join("mosquitto.db"));
        self.restart();
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
