//! A stranger to our code on the broker: mosquitto's own clients.

use std::path::PathBuf;
use std::process::{Command, Output};

use pawl_e2e::Rig;
use pawl_e2e::rig::{ClientCertificate, OBSERVERS, Process, wait};

/// Somebody with a certificate.
#[derive(Clone)]
pub(crate) struct Client {
    reading: ClientCertificate,
    writing: ClientCertificate,
    /// The client id that it offers; one of mosquitto's making where it names none.
    client_id: Option<String>,
    ca: PathBuf,
    port: u16,
    scratch: PathBuf,
}

impl Client {
    pub(crate) fn new(rig: &Rig, certificate: ClientCertificate) -> Self {
        let scratch = rig.directory().create("payloads").unwrap();
        let (reading, writing) = (certificate.clone(), certificate);
        let (ca, port) = (rig.control_plane.ca(), rig.broker.port());
        Self { reading, writing, client_id: None, ca, port, scratch }
    }

    /// One that may do on the topics what the control plane may. It reads and writes under two names,
    /// since the broker gives one connection to each.
    pub(crate) fn observer(rig: &Rig) -> Self {
        let [reader, writer, _] = OBSERVERS.map(|name| ClientCertificate::issued(rig, name).unwrap());
        Self { writing: writer, ..Self::new(rig, reader) }
    }

    /// The same client, offering this client id from now on.
    pub(crate) fn with_client_id(&self, id: &str) -> Self {
        Self { client_id: Some(id.to_owned()), ..self.clone() }
    }

    /// Connects with a clean start, which makes the broker discard the session of that client id, and disconnects once
    /// the broker has answered.
    pub(crate) fn connect_clean(&self) -> Output {
        let mut command = self.command("mosquitto_sub", &self.reading);
        command.args(["-E", "-q", "1", "-t", "pawl/v1/nobody/status"]).output().unwrap()
    }

    /// Leaves a session at the broker that collects what comes on `topic`.
    pub(crate) fn leave_session(&self, topic: &str) {
        let mut command = self.command("mosquitto_sub", &self.reading);
        let output = command.args(["-E", "-c", "-x", "3600", "-q", "1", "-t", topic]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Resumes the session, and gives the first message that it collected.
    pub(crate) fn first_of_session(&self, topic: &str) -> Option<String> {
        let mut command = self.command("mosquitto_sub", &self.reading);
        command.args(["-c", "-x", "3600", "-C", "1", "-W", "5", "-q", "1", "-F", "%t %p", "-t", topic]);
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }

    /// Publishes at QoS 1 and waits for the broker's answer.
    pub(crate) fn publish(&self, topic: &str, payload: &[u8], retain: bool) -> Output {
        let file = self.scratch.join(format!("{:?}", std::thread::current().id()));
        std::fs::write(&file, payload).unwrap();
        let mut command = self.command("mosquitto_pub", &self.writing);
        command.args(["-q", "1", "-t", topic]).arg("-f").arg(file);
        if retain {
            command.arg("-r");
        }
        command.output().unwrap()
    }

    /// Waits for the first message on any of `topics`; none when the broker closes the connection.
    pub(crate) fn first_message(&self, topics: &[&str]) -> Option<String> {
        let mut command = self.command("mosquitto_sub", &self.reading);
        command.args(["-C", "1", "-W", "20", "-q", "1", "-F", "%t %p"]);
        for topic in topics {
            command.args(["-t", topic]);
        }
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }

    /// Notes every message on `topic` from now on.
    pub(crate) fn subscribe(&self, rig: &Rig, topic: &str) -> Subscription {
        // By default it buffers what it prints to a file.
        let mut command = Command::new("stdbuf");
        let subscriber = self.command("mosquitto_sub", &self.reading);
        command.arg("-oL").arg(subscriber.get_program()).args(subscriber.get_args());
        // %x is the payload in hexadecimal: one line a message, whatever it holds.
        command.args(["-q", "1", "-F", "%t %x", "-t", topic, "-d"]);
        let name = self.reading.certificate.file_stem().unwrap().display();
        let log = rig.directory().log(&format!("subscription-{name}"));
        let process = Process::spawn("mosquitto_sub", &command, &log).unwrap();
        let subscription = Subscription { process };
        wait::until("the broker took the subscription", wait::SOON, || {
            anyhow::ensure!(subscription.process.log()?.contains("Subscribed"), "no answer yet");
            Ok(())
        })
        .unwrap();
        subscription
    }

    fn command(&self, program: &str, certificate: &ClientCertificate) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "5", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.arg("--cafile").arg(&self.ca);
        command.arg("--cert").arg(&certificate.certificate);
        command.arg("--key").arg(&certificate.key);
        if let Some(id) = &self.client_id {
            command.args(["-i", id]);
        }
        command
    }
}

/// The messages on some topics.
pub(crate) struct Subscription {
    process: Process,
}

impl Subscription {
    /// The first message, which is waited for.
    pub(crate) fn first(&self) -> String {
        wait::until("a message is seen", wait::SOON, || {
            let log = self.process.log()?;
            let first = log.lines().find(|line| line.starts_with("pawl/")).map(str::to_owned);
            first.ok_or_else(|| anyhow::anyhow!("none among\n{log}"))
        })
        .unwrap()
    }

    /// The messages before the first one with this payload on `topic`, which is waited for.
    pub(crate) fn until(&self, topic: &str, payload: &[u8]) -> Vec<String> {
        let last = format!("{topic} {}", hex::encode(payload));
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
