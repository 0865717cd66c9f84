//! A wire tap between the daemon and its TPM.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

use super::free_pair;

/// Passes a TPM's commands and answers on, and keeps a copy of every byte.
pub struct Recording {
    port: u16,
    bytes: Arc<Mutex<Vec<u8>>>,
    over: Arc<AtomicBool>,
}

impl Recording {
    /// Listens on a pair of ports before the swtpm on `tpm_port`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(tpm_port: u16) -> Result<Self> {
        let recording =
            Self { port: free_pair()?, bytes: Arc::default(), over: Arc::new(AtomicBool::new(false)) };
        recording.pass(recording.port, tpm_port, Arc::clone(&recording.bytes))?;
        // The control channel only switches localities and cancels.
        recording.pass(recording.port + 1, tpm_port + 1, Arc::default())?;
        Ok(recording)
    }

    /// How the TSS finds the TPM through it.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// All bytes so far, both ways.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pass(&self, from: u16, to: u16, bytes: Arc<Mutex<Vec<u8>>>) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, from)).context("listen for the TSS")?;
        let over = Arc::clone(&self.over);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(tpm) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                let (Ok(client2), Ok(tpm2)) = (client.try_clone(), tpm.try_clone()) else { continue };
                let copy = Arc::clone(&bytes);
                let answers = Arc::clone(&bytes);
                thread::spawn(move || forward(client, tpm, &copy));
                thread::spawn(move || forward(tpm2, client2, &answers));
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

/// Copies until one side closes, and closes the other.
fn forward(mut from: TcpStream, mut to: TcpStream, copy: &Mutex<Vec<u8>>) {
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let Some(read) = buffer.get(..length) else { break };
        copy.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(read);
        if to.write_all(read).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
