use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use super::swtpm::connect;

/// Between everybody and swtpm, which serves one connection alone: lines up the commands of many, and records
/// every byte.
pub(crate) struct Proxy {
    socket: PathBuf,
    bus: Arc<Bus>,
}

/// One command and its answer.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) command: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

impl Exchange {
    /// TPM_CC.
    pub(crate) fn code(&self) -> u32 {
        code(&self.command)
    }
}

impl Proxy {
    pub(crate) fn start(dir: &Path, upstream: PathBuf) -> Self {
        let socket = dir.join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let bus = Arc::new(Bus { upstream, wire: Mutex::default() });
        let serving = bus.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let bus = serving.clone();
                thread::spawn(move || bus.serve(client));
            }
        });
        let control = UnixListener::bind(dir.join("proxy.sock.ctrl")).unwrap();
        thread::spawn(move || control.incoming().map_while(Result::ok).for_each(answer_control));
        Self { socket, bus }
    }

    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:path={}", self.socket.display())
    }

    /// Sends a command of the test's own.
    pub(crate) fn send(&self, command: &[u8]) -> Vec<u8> {
        exchange(&mut self.bus.wire.lock().unwrap(), &self.bus.upstream, command).unwrap()
    }

    /// Sends `intruder` ahead of a command with this code, after `skip` of them: what another program could do.
    pub(crate) fn interject(&self, skip: usize, before: u32, intruder: Vec<u8>) {
        self.bus.wire.lock().unwrap().interjections.push(Interjection { skip, before, intruder });
    }

    /// Answers the next command with this code in the TPM's stead.
    pub(crate) fn answer(&self, command: u32, response_code: u32) {
        self.bus.wire.lock().unwrap().answers.push((command, response_code));
    }

    /// Puts `to` in the place of `from` in the next command with this code: what root on the device could send.
    pub(crate) fn alter(&self, command: u32, from: &[u8], to: &[u8]) {
        let alteration = Alteration { command, from: from.to_vec(), to: to.to_vec() };
        self.bus.wire.lock().unwrap().alterations.push(alteration);
    }

    /// Has every answer altered on its way back, as somebody on the bus can. `alter` gets the command and its answer.
    pub(crate) fn alter_answers(&self, alter: impl Fn(&[u8], &mut Vec<u8>) + Send + 'static) {
        self.bus.wire.lock().unwrap().answer_alteration = Some(Box::new(alter));
    }

    /// Leaves answers alone again.
    pub(crate) fn leave_answers(&self) {
        self.bus.wire.lock().unwrap().answer_alteration = None;
    }

    /// Holds every command back for as long as the result lives.
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        self.bus.wire.lock().unwrap()
    }

    /// All that went over the bus since the last call, commands of the test's own excepted.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.bus.wire.lock().unwrap().record)
    }

    /// Leaves swtpm; the next command connects again.
    pub(crate) fn hang_up(&self) {
        self.bus.wire.lock().unwrap().stream = None;
    }
}

struct Bus {
    upstream: PathBuf,
    wire: Mutex<Wire>,
}

#[derive(Default)]
struct Wire {
    stream: Option<UnixStream>,
    record: Vec<Exchange>,
    interjections: Vec<Interjection>,
    alterations: Vec<Alteration>,
    answer_alteration: Option<AnswerAlteration>,
    /// Commands and the response codes that they get.
    answers: Vec<(u32, u32)>,
}

type AnswerAlteration = Box<dyn Fn(&[u8], &mut Vec<u8>) + Send>;

struct Interjection {
    skip: usize,
    before: u32,
    intruder: Vec<u8>,
}

struct Alteration {
    command: u32,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Alteration {
    fn apply(&self, command: &mut [u8]) {
        let mut places =
            command.windows(self.from.len()).enumerate().filter(|(_, bytes)| *bytes == self.from);
        let (at, _) = places.next().expect("what is to be altered is in the command");
        assert!(places.next().is_none(), "what is to be altered is in the command twice");
        command[at..at + self.to.len()].copy_from_slice(&self.to);
    }
}

impl Bus {
    fn serve(&self, mut client: UnixStream) {
        while let Ok(command) = read_message(&mut client) {
            let Ok(response) = self.relay(command) else { break };
            if client.write_all(&response).is_err() {
                break;
            }
        }
    }

    fn relay(&self, mut command: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut wire = self.wire.lock().unwrap();
        let code = code(&command);
        if let Some(at) = wire.alterations.iter().position(|alteration| alteration.command == code) {
            wire.alterations.remove(at).apply(&mut command);
        }
        if let Some(at) = wire.interjections.iter().position(|interjection| interjection.before == code) {
            match wire.interjections[at].skip.checked_sub(1) {
                Some(skip) => wire.interjections[at].skip = skip,
                None => {
                    let intruder = wire.interjections.remove(at).intruder;
                    exchange(&mut wire, &self.upstream, &intruder)?;
                }
            }
        }
        let mut response = match wire.answers.iter().position(|(command, _)| *command == code) {
            Some(at) => refusal(wire.answers.remove(at).1),
            None => exchange(&mut wire, &self.upstream, &command)?,
        };
        if let Some(alter) = &wire.answer_alteration {
            alter(&command, &mut response);
        }
        wire.record.push(Exchange { command, response: response.clone() });
        Ok(response)
    }
}

/// The TSS sets the locality, which is what it is, before it says anything else.
fn answer_control(mut client: UnixStream) {
    const SUCCESS: [u8; 4] = [0; 4];
    while client.read(&mut [0; 64]).is_ok_and(|length| length > 0) && client.write_all(&SUCCESS).is_ok() {}
}

fn exchange(wire: &mut Wire, upstream: &Path, command: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = wire.stream.take().unwrap_or_else(|| connect(upstream));
    stream.write_all(command)?;
    let response = read_message(&mut stream)?;
    wire.stream = Some(stream);
    Ok(response)
}

fn refusal(response_code: u32) -> Vec<u8> {
    [&[0x80, 0x01, 0, 0, 0, 10][..], &response_code.to_be_bytes()].concat()
}

/// A command or a response: both say their size after the tag.
fn read_message(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 10];
    stream.read_exact(&mut message)?;
    let size = u32::from_be_bytes(message[2..6].try_into().unwrap()) as usize;
    message.resize(size, 0);
    stream.read_exact(&mut message[10..])?;
    Ok(message)
}

fn code(command: &[u8]) -> u32 {
    u32::from_be_bytes(command[6..10].try_into().unwrap())
}
