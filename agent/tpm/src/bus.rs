use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    thread,
    time::Duration,
};

use tss_esapi::{
    Context,
    attributes::SessionAttributesBuilder,
    constants::SessionType,
    handles::{KeyHandle, ObjectHandle, SessionHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        session_handles::{AuthSession, PolicySession},
    },
    structures::SymmetricDefinition,
};

use crate::{Class, Error, ResponseCode, tcti::Transport};

/// The connection to the TPM. Shared by what has to be given back through it.
pub(crate) struct Bus {
    context: RefCell<Context>,
    broken: Cell<bool>,
}

/// The sessions of a command, in the order of the handles that they authorize.
pub(crate) type Sessions = (Option<AuthSession>, Option<AuthSession>, Option<AuthSession>);

pub(crate) const NO_SESSION: Sessions = (None, None, None);
/// One handle with an empty authorization value.
pub(crate) const EMPTY_AUTH: Sessions = (Some(AuthSession::Password), None, None);
/// Two of them.
pub(crate) const EMPTY_AUTHS: Sessions = (Some(AuthSession::Password), Some(AuthSession::Password), None);

impl Bus {
    pub(crate) fn open(place: &Transport) -> Result<Rc<Self>, Error> {
        let context = place
            .name_conf()
            .and_then(Context::new)
            .map_err(|error| Error::Unreachable { tcti: place.clone().into(), code: response_code(error) })?;
        Ok(Rc::new(Self { context: RefCell::new(context), broken: Cell::new(false) }))
    }

    /// Runs one command, again after a pause while the TPM says that it is busy.
    ///
    /// A command may be given twice, so whatever a failure undoes (a session's attributes) belongs into `command`.
    pub(crate) fn run<T>(
        &self,
        doing: &'static str,
        sessions: Sessions,
        mut command: impl FnMut(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, Error> {
        let mut pauses = PAUSES_MS.iter();
        loop {
            // Commands are single calls into the TSS: none runs another inside.
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

    /// Starts a session, salted to `salt` where parameters are to be encrypted.
    pub(crate) fn session(
        self: &Rc<Self>,
        kind: SessionType,
        salt: Option<KeyHandle>,
    ) -> Result<Session, Error> {
        self.session_with(HashingAlgorithm::Sha256, kind, salt)
    }

    /// The same, with the hash algorithm of the object that its policy is to authorize.
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

    /// Whether the connection, or what we believe to be loaded, is lost.
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
        // What cannot be flushed goes when the connection is closed, so close it.
        if self.run("TPM2_FlushContext", NO_SESSION, |context| context.flush_context(handle)).is_err() {
            self.give_up();
        }
    }
}

/// Some two seconds in all: the self-test of a slow TPM takes about one.
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

/// A session in the TPM; dropping it ends it.
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

/// Which side of a command is encrypted on the bus.
#[derive(Clone, Copy)]
pub(crate) enum Encrypt {
    /// The first parameter that we send.
    Command,
    /// The first parameter that comes back.
    Response,
}

/// Has the next command under a salted session encrypted.
///
/// To be called directly before every such command, inside its closure: after a command that failed, whichever it
/// was, the TSS (seen in 3.2.1 to 4.2.0) has silently dropped these attributes, and would send the next secret in
/// the clear.
pub(crate) fn encrypt(context: &mut Context, session: AuthSession, side: Encrypt) -> tss_esapi::Result<()> {
    let builder = SessionAttributesBuilder::new();
    let (attributes, mask) = match side {
        Encrypt::Command => builder.with_decrypt(true).with_encrypt(false),
        Encrypt::Response => builder.with_decrypt(false).with_encrypt(true),
    }
    .build();
    context.tr_sess_set_attributes(session, attributes, mask)
}
