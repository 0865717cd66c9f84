//! Signing through a real ssh-agent, and through one that cannot be believed.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pawl_approval::sign::{AgentError, FindError, SignError, Signer};
use pawl_approval::{NAMESPACE, SignatureError};

use crate::keygen::{Claim, KINDS, Keygen, public_key, public_line, run, ssh_keygen};
use crate::sshsig::joined;

const MESSAGE: &[u8] = b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

struct SshAgent {
    child: Child,
    socket: PathBuf,
}

impl SshAgent {
    fn start(keygen: &Keygen) -> Self {
        let socket = keygen.path("agent.sock");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", socket.to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "ssh-agent did not start");
            thread::sleep(Duration::from_millis(5));
        }
        Self { child, socket }
    }

    fn add(&self, key: &Path) {
        run(Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket), b"");
    }

    fn find(&self, spec: &str) -> Result<Signer, FindError> {
        Signer::find(spec, Some(&self.socket))
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ssh_keygen_accepts_what_the_agent_signs() {
    let keygen = Keygen::new();
    let agent = SshAgent::start(&keygen);
    for (kind, bits) in KINDS {
        let key = keygen.key(kind, bits);
        agent.add(&key);
        let signer = agent.find(&public_key(&key).fingerprint().to_string()).unwrap();
        let armored = signer.sign(NAMESPACE, MESSAGE).unwrap();
        let allowed_signers = format!("alice {}\n", public_line(&key));
        let claim =
            Claim { allowed_signers: &allowed_signers, principal: "alice", namespace: NAMESPACE, time: None };
        assert!(keygen.verifies(&claim, &armored, MESSAGE), "{kind} {bits}");
        assert!(!keygen.verifies(&claim, &armored, b"something else"), "{kind} {bits}");
        assert_eq!(signer.comment(), format!("{kind} of {bits} bits"));
    }
}

#[test]
fn a_key_is_found_by_each_of_its_names() {
    let keygen = Keygen::new();
    let agent = SshAgent::start(&keygen);
    let key = keygen.key("rsa", "2048");
    assert!(matches!(agent.find("agent"), Err(FindError::AgentEmpty)));
    agent.add(&key);
    let fingerprint = public_key(&key).fingerprint();
    let public = key.with_extension("pub");
    for spec in ["agent", &fingerprint.to_string(), key.to_str().unwrap(), public.to_str().unwrap()] {
        assert_eq!(agent.find(spec).expect(spec).fingerprint(), fingerprint, "{spec}");
    }
}

#[test]
fn of_several_keys_one_must_be_named() {
    let keygen = Keygen::new();
    let agent = SshAgent::start(&keygen);
    let keys = [keygen.key("ed25519", "256"), keygen.key("ecdsa", "256")];
    keys.iter().for_each(|key| agent.add(key));
    let several = agent.find("agent").unwrap_err().to_string();
    for key in &keys {
        assert!(several.contains(&public_key(key).fingerprint().to_string()), "{several}");
    }
    assert!(several.contains(" ed25519 of 256 bits (ssh-ed25519)"), "{several}");

    let absent = keygen.key("ed25519", "256");
    let absent = agent.find(absent.with_extension("pub").to_str().unwrap()).unwrap_err();
    assert!(matches!(absent, FindError::NotInAgent { .. }));
    assert!(absent.to_string().contains("ssh-add FILE"), "{absent}");
    assert!(matches!(agent.find("SHA256:nonsense"), Err(FindError::Fingerprint(_))));
}

#[test]
fn a_file_whose_key_the_agent_holds_needs_no_passphrase() {
    let keygen = Keygen::new();
    let agent = SshAgent::start(&keygen);
    let key = keygen.key("ed25519", "256");
    agent.add(&key);
    let file = key.to_str().unwrap();
    let encrypt = ["-q", "-p", "-P", "", "-N", "correct horse", "-a", "1", "-f", file];
    run(&mut ssh_keygen(&encrypt), b"");
    assert!(agent.find(file).unwrap().sign(NAMESPACE, MESSAGE).is_ok());
}

#[test]
fn without_an_agent_the_file_signs() {
    let keygen = Keygen::new();
    let key = keygen.key("ed25519", "256");
    let nobody = keygen.path("nobody.sock");
    let signer = Signer::find(key.to_str().unwrap(), Some(&nobody)).unwrap();
    assert!(signer.sign(NAMESPACE, MESSAGE).is_ok());

    let error = Signer::find("agent", Some(&nobody)).unwrap_err();
    assert!(matches!(error, FindError::Agent(AgentError::Connect { .. })), "{error}");
    let public = key.with_extension("pub");
    for spec in ["agent", &public_key(&key).fingerprint().to_string(), public.to_str().unwrap()] {
        assert!(matches!(Signer::find(spec, None), Err(FindError::NoAgent)), "{spec}");
    }
}

#[test]
fn a_key_that_went_away_is_a_refusal() {
    let keygen = Keygen::new();
    let agent = SshAgent::start(&keygen);
    agent.add(&keygen.key("ed25519", "256"));
    let signer = agent.find("agent").unwrap();
    run(Command::new("ssh-add").args(["-q", "-D"]).env("SSH_AUTH_SOCK", &agent.socket), b"");
    let error = signer.sign(NAMESPACE, MESSAGE).unwrap_err();
    assert!(matches!(error, SignError::Agent(AgentError::Refused)), "{error}");
}

/// Answers each connection with the next of these, as they are.
fn scripted(keygen: &Keygen, answers: Vec<Vec<u8>>) -> PathBuf {
    let socket = keygen.path("scripted.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut len = [0; 4];
            stream.read_exact(&mut len).unwrap();
            let mut request = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    socket
}

fn answer(kind: u8, rest: &[u8]) -> Vec<u8> {
    joined(&[&[&[kind], rest].concat()])
}

#[test]
fn an_agent_that_does_not_speak_the_protocol_is_told_apart() {
    for (bytes, expected) in [
        (vec![0xff; 4], "does not speak"),
        (vec![0; 4], "does not speak"),
        (vec![0, 0], "broke off"),
        // More keys than there are; no keys and something behind them.
        (answer(12, &[0xff; 4]), "does not speak"),
        (answer(12, &[0, 0, 0, 0, 7]), "does not speak"),
        (answer(5, b""), "refused"),
    ] {
        let keygen = Keygen::new();
        let socket = scripted(&keygen, vec![bytes.clone()]);
        let error = Signer::find("agent", Some(&socket)).unwrap_err();
        assert!(error.to_string().contains(expected), "{bytes:?}: {error}");
    }
}

#[test]
fn a_signature_of_the_agents_own_choice_is_not_passed_on() {
    let keygen = Keygen::new();
    let key = keygen.key("ed25519", "256");
    let blob = public_key(&key).blob().to_vec();
    let list = answer(12, &[&[0, 0, 0, 1][..], &joined(&[&blob, b"mine\x1b[2J"])].concat());
    let forged = joined(&[b"ssh-ed25519", &[7; 64]]);
    let socket = scripted(&keygen, vec![list, answer(14, &joined(&[&forged]))]);
    let signer = Signer::find("agent", Some(&socket)).unwrap();
    assert_eq!(signer.comment(), "mine?[2J");
    let error = signer.sign(NAMESPACE, MESSAGE).unwrap_err();
    assert!(matches!(error, SignError::Unusable(SignatureError::Invalid)), "{error}");
}
