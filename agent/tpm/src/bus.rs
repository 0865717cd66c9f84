use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::SymmetricDefinition;

use crate::tcti::Transport;
use crate::{Class, Error, ResponseCode};

/// The connection to the TPM. Objects and sessions share it, because they flush themselves through it when
/// dropped.
pub(crate) struct Bus {
    context: RefCell<Context>,
    broken: Cell<bool>,
}

/// The authorization sessions of a command, in the order of the handles that they authorize.
pub(crate) type Sessions = (Option<AuthSession>, Option<AuthSession>, Option<AuthSession>);

pub(crate) const NO_SESSION: Sessions = (None, None, None);
/// Authorizes one handle with an empty authorization value.
pub(crate) const EMPTY_AUTH: Sessions = (Some(AuthSession::Password), None, None);
/// Authorizes two handles with empty authorization values.
pub(crate) const EMPTY_AUTHS: Sessions = (Some(AuthSession::Password), Some(AuthSession::Password), None);

impl Bus {
    pub(crate) fn open(place: &Transport) -> Result<Rc<Self>, Error> {
        let context = place
            .name_conf()
            .and_then(Context::new)
            .map_err(|error| Error::Unreachable { tcti: place.clone().into(), code: response_code(error) })?;
        Ok(Rc::new(Self { context: RefCell::new(context), broken: Cell::new(false) }))
    }

    /// Runs one command. While the TPM answers that it is busy, pauses and runs it again.
    ///
    /// `command` can run several times, so it must set up again whatever a failed command resets (a session's
    /// attributes).
    pub(crate) fn run<T>(
        &self,
        doing: &'static str,
        sessions: Sessions,
        mut command: impl FnMut(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, Error> {
        let mut pauses = PAUSES_MS.iter();
        loop {
            // No command starts another one inside, so the `RefCell` is free.
            let result = self.context.borrow_mut().execute_with_sessions(sessions, &mut command);
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => self.understand(doing, error),
            };
            match (error.class(), pauses.next()) {
                (Some(Class::Busy), Some(pause)) => thread::sleep(Duration::from_millis(*pause)),
                _ => return Err(error),
            }
        }
    }

    /// Runs a command that loads an object.
    pub(crate) fn load(
        self: &Rc<Self>,
        doing: &'static str,
        sessions: Sessions,
        command: impl FnMut(&mut Context) -> tss_esapi::Result<ObjectHandle>,
    ) -> Result<Loaded, Error> {
        let handle = self.run(doing, sessions, command)?;
        Ok(Loaded { bus: self.clone(), handle })
    }

    /// Starts a session with SHA-256, salted to `salt` if parameters are to be encrypted.
    pub(crate) fn session(
        self: &Rc<Self>,
        kind: SessionType,
        salt: Option<KeyHandle>,
    ) -> Result<Session, Error> {
        self.session_with(HashingAlgorithm::Sha256, kind, salt)
    }

    /// Starts a session with the hash algorithm of the object that its policy authorizes.
    pub(crate) fn session_with(
        self: &Rc<Self>,
        hash: HashingAlgorithm,
        kind: SessionType,
        salt: Option<KeyHandle>,
    ) -> Result<Session, Error> {
        let doing = "TPM2_StartAuthSession";
        let symmetric =
            if salt.is_some() { SymmetricDefinition::AES_128_CFB } else { SymmetricDefinition::Null };
        let auth = self
            .run(doing, NO_SESSION, |context| {
                context.start_auth_session(salt, None, None, kind, symmetric, hash)
            })?
            .ok_or_else(|| Error::Answer { doing, reason: "no session".into() })?;
        let loaded = Loaded { bus: self.clone(), handle: SessionHandle::from(auth).into() };
        Ok(Session { auth, _loaded: loaded })
    }

    /// Returns whether the connection, or what this process believes to be loaded, is lost.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    pub(crate) fn give_up(&self) {
        self.broken.set(true);
    }

    fn understand(&self, doing: &'static str, error: tss_esapi::Error) -> Error {
        match response_code(error) {
            Some(code) => {
                if code.class() == Class::Transport {
                    self.give_up();
                }
                Error::Tpm { doing, code }
            }
            None => Error::Answer { doing, reason: error.to_string() },
        }
    }

    fn flush(&self, handle: ObjectHandle) {
        // Closing the connection frees whatever could not be flushed.
        if self.run("TPM2_FlushContext", NO_SESSION, |context| context.flush_context(handle)).is_err() {
            self.give_up();
        }
    }
}

/// Waits about two seconds in all: the self-test of a slow TPM takes about one.
const PAUSES_MS: [u64; 10] = [2, 5, 10, 20, 50, 100, 200, 400, 600, 800];

fn response_code(error: tss_esapi::Error) -> Option<ResponseCode> {
    match error {
        tss_esapi::Error::TssError(code) => Some(ResponseCode::new(code.into())),
        tss_esapi::Error::WrapperError(_) => None,
    }
}

/// An object in one of the TPM's few slots; dropping it frees the slot.
pub(crate) struct Loaded {
    bus: Rc<Bus>,
    handle: ObjectHandle,
}

impl Loaded {
    pub(crate) fn object(&self) -> ObjectHandle {
        self.handle
    }

    pub(crate) fn key(&self) -> KeyHandle {
        self.handle.into()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.bus.flush(self.handle);
    }
}

/// A session in the TPM; dropping it flushes it.
pub(crate) struct Session {
    auth: AuthSession,
    _loaded: Loaded,
}

impl Session {
    pub(crate) fn auth(&self) -> AuthSession {
        self.auth
    }

    pub(crate) fn policy(&self) -> Result<PolicySession, Error> {
        PolicySession::try_from(self.auth).map_err(|_| Error::Answer {
            doing: "TPM2_StartAuthSession",
            reason: "not a policy session".into(),
        })
    }
}

/// The direction of parameter encryption (TPM 2.0 Library, part 1, section 21).
#[derive(Clone, Copy)]
pub(crate) enum Encrypt {
    /// The first parameter of the command.
    Command,
    /// The first parameter of the response.
    Response,
}

/// Has the next command under a salted session encrypted.
///
/// Call it inside the command's closure, directly before every such command. After any failed command the TSS
/// (seen in 3.2.1 to 4.2.0) silently drops these attributes and would send the next secret in the clear.
pub(crate) fn encrypt(context: &mut Context, session: AuthSession, side: Encrypt) -> tss_esapi::Result<()> {
    let builder = SessionAttributesBuilder::new();
    let (attributes, mask) = match side {
        Encrypt::Command => builder.with_decrypt(true).with_encrypt(false),
        Encrypt::Response => builder.with_decrypt(false).with_encrypt(true),
    }
    .build();
    context.tr_sess_set_attributes(session, attributes, mask)
}
