//! Procedures: operations of several steps, such as an approval session. Each is an `async fn` that awaits a [`Port`]. The core
//! polls it, with a waker that does nothing and without a runtime: an `await` pushes one effect, and the input with the result of
//! that effect resumes the procedure. So a procedure does no I/O, and a test or a simulator can crash, fail or delay it at every
//! `await`.
//!
//! The core may drop a procedure at every `await`. It then ignores the result of the effect in progress. The code that drops a
//! procedure also pushes the effects that have to follow (an answer for the caller, the removal of a file). After a crash, the
//! next start does that.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::common::Ticket;
use super::context::{Context, next_ticket};
use super::effect::{Call, Effect, Gather, TpmCommand, Write};
use super::input::{CallAnswer, CallFailure, Gathered, TpmAnswer, TpmFailure, UNEXPECTED};
use super::time::{Jitter, Now};
use crate::backoff::Backoff;

/// A procedure and what it awaits.
pub(super) struct Procedure<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    port: Port,
    /// Whether to poll it: it has just been created, or its result has come.
    is_ready: bool,
}

/// The connection of a procedure to the core.
#[derive(Clone)]
pub(super) struct Port(Rc<RefCell<Exchange>>);

struct Exchange {
    now: Now,
    jitter: Jitter,
    tickets: Rc<Cell<u64>>,
    /// The effects since the last poll.
    effects: Vec<Effect>,
    awaits: Awaited,
    outcome: Option<Outcome>,
}

/// The input that resumes a procedure.
#[derive(Clone, Copy)]
enum Awaited {
    Nothing,
    Result(Ticket),
    /// This time on CLOCK_BOOTTIME.
    Time(Duration),
    /// This time on CLOCK_BOOTTIME, or [`Procedure::wake`].
    TimeOrWake(Duration),
}

/// The result of what a procedure awaits.
pub(super) enum Outcome {
    Tpm(Result<TpmAnswer, TpmFailure>),
    Written(Result<(), String>),
    Called(Result<CallAnswer, CallFailure>),
    Gathered(Result<Gathered, String>),
}

impl<T> Procedure<T> {
    /// Returns a procedure that begins with the next [`Procedure::run`].
    pub(super) fn new<F>(cx: &mut Context, procedure: impl FnOnce(Port) -> F) -> Self
    where
        F: Future<Output = T> + 'static,
    {
        let port = Port(Rc::new(RefCell::new(Exchange {
            now: cx.now,
            jitter: cx.fork_jitter(),
            tickets: cx.tickets(),
            effects: Vec::new(),
            awaits: Awaited::Nothing,
            outcome: None,
        })));
        Self { future: Box::pin(procedure(port.clone())), port, is_ready: true }
    }

    /// Passes a result to the procedure. Returns the result if the procedure does not await this ticket.
    pub(super) fn resume(&mut self, ticket: Ticket, outcome: Option<Outcome>) -> Option<Outcome> {
        let mut exchange = self.port.0.borrow_mut();
        if !matches!(exchange.awaits, Awaited::Result(awaited) if awaited == ticket) {
            return outcome;
        }
        self.is_ready |= outcome.is_some();
        exchange.outcome = outcome;
        None
    }

    /// Ends a [`Port::doze`] now.
    pub(super) fn wake(&mut self) {
        self.is_ready |= matches!(self.port.0.borrow().awaits, Awaited::TimeOrWake(_));
    }

    /// Returns when to run it again; none if it awaits a result.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.port.0.borrow().awaits {
            Awaited::Time(until) | Awaited::TimeOrWake(until) => Some(until),
            Awaited::Nothing | Awaited::Result(_) => None,
        }
    }

    /// Runs it up to its next `await`, if its result has come or its time is due. Returns its return value at its end. Do not run
    /// it again after that.
    pub(super) fn run(&mut self, cx: &mut Context) -> Option<T> {
        if !self.is_ready && !cx.is_due(self.deadline()) {
            return None;
        }
        self.is_ready = false;
        {
            let mut exchange = self.port.0.borrow_mut();
            (exchange.now, exchange.awaits) = (cx.now, Awaited::Nothing);
        }
        let polled = self.future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
        for effect in self.port.0.borrow_mut().effects.drain(..) {
            cx.push(effect);
        }
        match polled {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}

impl Port {
    /// Returns the time of the last input.
    pub(super) fn now(&self) -> Now {
        self.0.borrow().now
    }

    /// Pushes an effect without a result.
    pub(super) fn push(&self, effect: Effect) {
        self.0.borrow_mut().effects.push(effect);
    }

    /// Runs a TPM command. `pick` takes the answer out of [`TpmAnswer`].
    ///
    /// # Errors
    /// The TPM's error, or [`UNEXPECTED`] if the executor returns the answer of another command.
    pub(super) async fn tpm<T>(
        &self,
        command: TpmCommand,
        pick: impl FnOnce(TpmAnswer) -> Option<T>,
    ) -> Result<T, TpmFailure> {
        match self.result(|ticket| Effect::Tpm(ticket, command)).await {
            Outcome::Tpm(answer) => pick(answer?).ok_or_else(TpmFailure::unexpected),
            _ => Err(TpmFailure::unexpected()),
        }
    }

    /// Writes to the disk.
    ///
    /// # Errors
    /// The error of the disk, as text.
    pub(super) async fn write(&self, write: Write) -> Result<(), String> {
        match self.result(|ticket| Effect::Write(ticket, write)).await {
            Outcome::Written(outcome) => outcome,
            _ => Err(UNEXPECTED.to_owned()),
        }
    }

    /// Calls the control plane. `pick` takes the answer out of [`CallAnswer`].
    ///
    /// # Errors
    /// [`CallFailure`]
    pub(super) async fn call<T>(
        &self,
        call: Call,
        pick: impl FnOnce(CallAnswer) -> Option<T>,
    ) -> Result<T, CallFailure> {
        match self.result(|ticket| Effect::Call(ticket, call)).await {
            Outcome::Called(answer) => pick(answer?).ok_or_else(CallFailure::unexpected),
            _ => Err(CallFailure::unexpected()),
        }
    }

    /// Reads facts and logs of the host. `pick` takes them out of [`Gathered`].
    ///
    /// # Errors
    /// Why they could not be read.
    pub(super) async fn gather<T>(
        &self,
        gather: Gather,
        pick: impl FnOnce(Gathered) -> Option<T>,
    ) -> Result<T, String> {
        match self.result(|ticket| Effect::Gather(ticket, gather)).await {
            Outcome::Gathered(outcome) => pick(outcome?).ok_or_else(|| UNEXPECTED.to_owned()),
            _ => Err(UNEXPECTED.to_owned()),
        }
    }

    /// Waits for the next delay of `backoff`.
    pub(super) async fn back_off(&self, backoff: &mut Backoff) {
        let until = self.next_try(backoff);
        self.0.borrow_mut().awaits = Awaited::Time(until);
        self.resumed().await;
    }

    /// Waits until this time on CLOCK_BOOTTIME, or until [`Procedure::wake`].
    pub(super) async fn doze(&self, until: Duration) {
        self.0.borrow_mut().awaits = Awaited::TimeOrWake(until);
        self.resumed().await;
    }

    /// Returns the time of the next attempt, on CLOCK_BOOTTIME.
    pub(super) fn next_try(&self, backoff: &mut Backoff) -> Duration {
        let mut exchange = self.0.borrow_mut();
        let delay = exchange.jitter.delay(backoff);
        exchange.now.boot.saturating_add(delay)
    }

    async fn result(&self, effect: impl FnOnce(Ticket) -> Effect) -> Outcome {
        {
            let mut exchange = self.0.borrow_mut();
            let ticket = next_ticket(&exchange.tickets);
            exchange.effects.push(effect(ticket));
            exchange.awaits = Awaited::Result(ticket);
        }
        poll_fn(|_| match self.0.borrow_mut().outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits for the next poll.
    async fn resumed(&self) {
        let mut was_polled = false;
        poll_fn(|_| if std::mem::replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }
}

/// A function that takes the value out of one variant of an answer.
macro_rules! pick {
    ($variant:path) => {
        |answer| match answer {
            $variant(value) => Some(value),
            _ => None,
        }
    };
}
pub(super) use pick;
