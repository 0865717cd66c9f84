//! Ctrl-C, and the polite end that a service manager asks for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From its making on, SIGINT and SIGTERM no longer end the process: whoever has it must.
pub(crate) struct Interrupt {
    keyboard: Signal,
    termination: Signal,
}

impl Interrupt {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { keyboard: signal(SignalKind::interrupt())?, termination: signal(SignalKind::terminate())? })
    }

    /// Returns when one of them has come.
    pub(crate) async fn came(&mut self) {
        tokio::select! {
            _ = self.keyboard.recv() => (),
            _ = self.termination.recv() => (),
        }
    }
}
