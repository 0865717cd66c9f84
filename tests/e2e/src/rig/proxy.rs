//! What stands between a daemon and its TPM: it records the bus, and can alter what crosses it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

use super::free_pair;
use super::interposer::Interposer;

/// Passes a TPM's commands and answers on, and keeps a copy of every byte.
pub struct Recording {
    port: u16,
    bus: Arc<Bus>,
    over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Bus {
    bytes: Mutex<Vec<u8>>,
    interposer: Mutex<Option<Interposer>>,
}

impl Recording {
    /// Listens on a pair of ports before the swtpm on `tpm_port`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(tpm_port: u16) -> Result<Self> {
        let port = free_pair()?;
        let recording = Self { port, bus: Arc::default(), over: Arc::new(AtomicBool::new(false)) };
        let bus = Arc::clone(&recording.bus);
        recording.listen(port, tpm_port, move |client, tpm| bus.serve(client, tpm))?;
        // The control channel only switches localities and cancels.
        recording.listen(port + 1, tpm_port + 1, pass)?;
        Ok(recording)
    }

    /// How the TSS finds the TPM through it.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// All bytes so far, both ways, as they were sent: before anything was altered.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.bus.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has commands and answers altered from now on, or no longer.
    pub fn interpose(&self, interposer: Option<Interposer>) {
        *self.bus.interposer.lock().unwrap_or_else(PoisonError::into_inner) = interposer;
    }

    fn listen(
        &self,
        from: u16,
        to: u16,
        serve: impl Fn(TcpStream, TcpStream) + Clone + Send + 'static,
    ) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, from)).context("listen for the TSS")?;
        let over = Arc::clone(&self.over);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(tpm) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                let serve = serve.clone();
                thread::spawn(move || serve(client, tpm));
            }
        });
        Ok(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the listeners, which then see that it is over.
        for port in [self.port, self.port + 1] {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
    }
}

impl Bus {
    /// One command, then its answer, until either side closes.
    fn serve(&self, mut client: TcpStream, mut tpm: TcpStream) {
        let _ = (client.set_nodelay(true), tpm.set_nodelay(true));
        while let Ok(command) = self.read(&mut client) {
            let altered = self.alter(|interposer| interposer.command(command.clone()), &command);
            if tpm.write_all(&altered).is_err() {
                return;
            }
            let Ok(answer) = self.read(&mut tpm) else { return };
            let altered = self.alter(|interposer| interposer.answer(&command, answer.clone()), &answer);
            if client.write_all(&altered).is_err() {
                return;
            }
        }
    }

    fn alter(&self, alter: impl FnOnce(Interposer) -> Vec<u8>, message: &[u8]) -> Vec<u8> {
        let interposer = *self.interposer.lock().unwrap_or_else(PoisonError::into_inner);
        interposer.map_or_else(|| message.to_vec(), alter)
    }

    /// Reads a command or an answer: both say their length after a tag of two bytes.
    fn read(&self, from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
        const HEADER: usize = 10;
        const LONGEST: usize = 8192;
        let mut message = vec![0; HEADER];
        from.read_exact(&mut message)?;
        let length = message.get(2..6).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if !(HEADER..=LONGEST).contains(&length) {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        message.resize(length, 0);
        from.read_exact(message.get_mut(HEADER..).unwrap_or_default())?;
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&message);
        Ok(message)
    }
}

/// Copies both ways until one side closes.
fn pass(client: TcpStream, tpm: TcpStream) {
    let (Ok(client2), Ok(tpm2)) = (client.try_clone(), tpm.try_clone()) else { return };
    thread::spawn(move || copy(client, tpm));
    copy(tpm2, client2);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
