//! A tap on the bus between a daemon and its TPM: it notes each command and its times, and sends
//! a command again by itself.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_e2e::rig::free_pair;

/// `TPM_CC` (TPM 2.0 Library, Part 2, 6.5.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommandCode(u32);

impl CommandCode {
    pub(crate) const NV_INCREMENT: Self = Self(0x134);
    pub(crate) const QUOTE: Self = Self(0x158);
}

pub(crate) struct Tap {
    port: u16,
    bus: Arc<Mutex<Bus>>,
}

/// One command and its answer.
#[derive(Clone)]
pub(crate) struct Exchange {
    command: Vec<u8>,
    answer: Vec<u8>,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
}

impl Tap {
    /// Stands before the swtpm on `tpm_port`, for one daemon at a time.
    pub(crate) fn start(tpm_port: u16) -> Result<Self> {
        let port = free_pair()?;
        let commands = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("listen for the daemon")?;
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).context("listen for the daemon")?;
        let tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, tpm_port)).context("connect to swtpm")?;
        tpm.set_nodelay(true)?;
        let bus = Arc::new(Mutex::new(Bus { tpm, record: Vec::new() }));
        let shared = Arc::clone(&bus);
        thread::spawn(move || {
            for daemon in commands.incoming().map_while(Result::ok) {
                // It ends when the daemon hangs up, which is no error here.
                let _ = serve(&shared, daemon);
            }
        });
        thread::spawn(move || control.incoming().map_while(Result::ok).for_each(answer_control));
        Ok(Self { port, bus })
    }

    /// How the TSS finds the TPM through it.
    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The first such command since a time.
    pub(crate) fn first(&self, code: CommandCode, since: Instant) -> Option<Exchange> {
        let bus = lock(&self.bus);
        bus.record.iter().find(|exchange| exchange.code() == code && exchange.sent >= since).cloned()
    }

    /// Sends the daemon's last command of this kind again: how long the TPM alone takes for it.
    pub(crate) fn repeat(&self, code: CommandCode) -> Result<Duration> {
        let mut bus = lock(&self.bus);
        let last = bus.record.iter().rev().find(|exchange| exchange.code() == code);
        let command = last.context("the daemon never sent that command")?.command.clone();
        let exchange = bus.exchange(command)?;
        ensure!(exchange.succeeded(), "the TPM refused the same command when it was sent again");
        Ok(exchange.answered - exchange.sent)
    }
}

struct Bus {
    tpm: TcpStream,
    record: Vec<Exchange>,
}

impl Bus {
    fn exchange(&mut self, command: Vec<u8>) -> io::Result<Exchange> {
        let sent = Instant::now();
        self.tpm.write_all(&command)?;
        let answer = read_message(&mut self.tpm)?;
        Ok(Exchange { command, answer, sent, answered: Instant::now() })
    }
}

impl Exchange {
    fn code(&self) -> CommandCode {
        CommandCode(word(&self.command))
    }

    fn succeeded(&self) -> bool {
        word(&self.answer) == 0
    }
}

fn serve(bus: &Mutex<Bus>, mut daemon: TcpStream) -> io::Result<()> {
    daemon.set_nodelay(true)?;
    loop {
        let command = read_message(&mut daemon)?;
        let mut bus = lock(bus);
        let exchange = bus.exchange(command)?;
        daemon.write_all(&exchange.answer)?;
        bus.record.push(exchange);
    }
}

/// The TSS sets the locality to the one that stands already, and expects success.
fn answer_control(mut daemon: TcpStream) {
    const SUCCESS: [u8; 4] = [0; 4];
    while daemon.read(&mut [0; 64]).is_ok_and(|length| length > 0) && daemon.write_all(&SUCCESS).is_ok() {}
}

/// Far above what any TPM takes or gives at once.
const LONGEST: usize = 16 * 1024;

/// A command or an answer: tag, size of all, then the code (TPM 2.0 Library, Part 1, 18).
fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 10];
    stream.read_exact(&mut message)?;
    let size = message.get(2..6).and_then(|size| size.try_into().ok()).map_or(0, u32::from_be_bytes);
    let size = usize::try_from(size).ok().filter(|size| (10..=LONGEST).contains(size));
    let size = size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no TPM message"))?;
    message.resize(size, 0);
    if let Some(body) = message.get_mut(10..) {
        stream.read_exact(body)?;
    }
    Ok(message)
}

/// The command's or the answer's code.
fn word(message: &[u8]) -> u32 {
    message.get(6..10).and_then(|code| code.try_into().ok()).map_or(u32::MAX, u32::from_be_bytes)
}

/// No foreign code runs under the lock.
fn lock(bus: &Mutex<Bus>) -> MutexGuard<'_, Bus> {
    bus.lock().unwrap_or_else(PoisonError::into_inner)
}
