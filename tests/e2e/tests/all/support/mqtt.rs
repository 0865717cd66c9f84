//! A stranger to our code on the broker: mosquitto's own clients.

use std::path::PathBuf;
use std::process::{Command, Output};

use pawl_e2e::Rig;
use pawl_e2e::rig::{Process, wait};

use super::ClientCertificate;

/// Somebody with a certificate.
pub(crate) struct Client {
    certificate: ClientCertificate,
    ca: PathBuf,
    port: u16,
    scratch: PathBuf,
}

impl Client {
    pub(crate) fn new(rig: &Rig, certificate: ClientCertificate) -> Self {
        let scratch = rig.directory().create("payloads").unwrap();
        Self { certificate, ca: rig.control_plane.ca(), port: rig.broker.port(), scratch }
    }

    /// One that may do what the control plane may.
    pub(crate) fn control_plane(rig: &Rig) -> Self {
        Self::new(rig, ClientCertificate::of_control_plane(rig))
    }

    /// Publishes at QoS 1 and waits for the broker's answer.
    pub(crate) fn publish(&self, topic: &str, payload: &[u8], retain: bool) -> Output {
        let file = self.scratch.join(format!("{:?}", std::thread::current().id()));
        std::fs::write(&file, payload).unwrap();
        let mut command = self.command("mosquitto_pub");
        command.args(["-q", "1", "-t", topic]).arg("-f").arg(file);
        if retain {
            command.arg("-r");
        }
        command.output().unwrap()
    }

    /// Waits for the first message on any of `topics`; none when the broker closes the door.
    pub(crate) fn first_message(&self, topics: &[&str]) -> Option<String> {
        let mut command = self.command("mosquitto_sub");
        command.args(["-C", "1", "-W", "20", "-q", "1", "-F", "%t %p"]);
        for topic in topics {
            command.args(["-t", topic]);
        }
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }

    /// Notes every message on `topic` from now on.
    pub(crate) fn subscribe(&self, rig: &Rig, topic: &str) -> Subscription {
        // It keeps what it prints to a file for itself, line by line only when it is told to.
        let mut command = Command::new("stdbuf");
        let subscriber = self.command("mosquitto_sub");
        command.arg("-oL").arg(subscriber.get_program()).args(subscriber.get_args());
        // %x is the payload in hexadecimal: one line a message, whatever it holds.
        command.args(["-q", "1", "-F", "%t %x", "-t", topic, "-d"]);
        let log = rig.directory().log("subscription");
        let process = Process::spawn("mosquitto_sub", &command, &log).unwrap();
        let subscription = Subscription { process };
        wait::until("the broker took the subscription", wait::SOON, || {
            anyhow::ensure!(subscription.process.log()?.contains("Subscribed"), "no answer yet");
            Ok(())
        })
        .unwrap();
        subscription
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "5", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.arg("--cafile").arg(&self.ca);
        command.arg("--cert").arg(&self.certificate.certificate);
        command.arg("--key").arg(&self.certificate.key);
        command
    }
}

/// The messages on some topics.
pub(crate) struct Subscription {
    process: Process,
}

impl Subscription {
    /// The messages before the first one with this payload on `topic`, which is waited for.
    pub(crate) fn until(&self, topic: &str, payload: &[u8]) -> Vec<String> {
        let last = format!("{topic} {}", hex(payload));
        let seen = wait::until("the last message is seen", wait::SOON, || {
            let log = self.process.log()?;
            anyhow::ensure!(log.lines().any(|line| line == last), "not seen among\n{log}");
            Ok(log)
        })
        .unwrap();
        seen.lines()
            .take_while(|line| *line != last)
            .filter(|line| line.starts_with("pawl/"))
            .map(str::to_owned)
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
