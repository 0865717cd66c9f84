//! Executes what [`crate::core`] decides. One task owns core, link and jobs. Work that waits for the TPM, the network or the
//! disk runs beside it, and its result is an input of the core.

mod disk;
mod execute;
mod gather;
mod jobs;
mod pairing;
mod requests;
mod sources;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::clock;
use crate::core::{self, Core, Input, LinkInput, MessageId, Now, RequestId, Settings, Ticket, TokenSettings};
use crate::link::{Acknowledgement, Link, LinkEvent};
use crate::random;
use crate::shared::Shared;
use crate::systemd;

use execute::execute;
#[cfg(feature = "simulation")]
pub(crate) use jobs::failure;
use requests::Waiting;
pub(crate) use requests::{Request, Snapshot, SubmitOutcome, Unanswered, lacking};
use sources::{SourceEvent, Sources};

/// The device: the core, and the executor of its effects.
pub(crate) struct Device {
    shared: Arc<Shared>,
    core: Core,
    link: Option<Link>,
    sources: Sources,
    /// Messages of the broker that the core has not acknowledged yet.
    messages: BTreeMap<MessageId, Acknowledgement>,
    /// Callers of the local API that the core has not answered yet.
    callers: BTreeMap<RequestId, Waiting>,
    next_id: u64,
}

/// Limit of the time in which a start finishes a wipe or a commit of an earlier process before it serves callers.
const FINISHING: Duration = Duration::from_secs(2);
/// Time at a stop for writes in progress.
const LAST_WRITES: Duration = Duration::from_secs(5);

impl Device {
    /// Reads the disk and the counter, and enters the phase that follows from them.
    ///
    /// # Errors
    /// If the TPM does not return its counter.
    pub(crate) async fn start(shared: Arc<Shared>) -> Result<Self, StartError> {
        let found = gather::found(&shared).await?;
        let seed = u64::from_be_bytes(random::bytes());
        let core = Core::new(now(&shared), settings(&shared), seed);
        let mut device = Self {
            core,
            link: None,
            sources: Sources::new().map_err(StartError::Timer)?,
            messages: BTreeMap::new(),
            callers: BTreeMap::new(),
            next_id: 0,
            shared,
        };
        device.feed(Input::Found(Ticket::START, Box::new(found)));
        device.finish_earlier_work().await;
        Ok(device)
    }

    /// Finishes a wipe or a commit that an earlier process began, so that callers do not see a half finished one.
    async fn finish_earlier_work(&mut self) {
        let finished = async {
            while self.core.is_revoking() || self.core.is_examining() || self.sources.disk.is_busy() {
                let event = self.sources.next(self.core.deadline()).await;
                self.event(event);
            }
        };
        if timeout(FINISHING, finished).await.is_err() {
            tracing::warn!(
                "finishing the work of an earlier process takes longer; serving callers meanwhile"
            );
        }
    }

    /// Serves until `stop` resolves or the local API has ended. Returns the thread of the link, which still disconnects from the
    /// broker.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        stop: impl Future<Output = ()>,
    ) -> Option<JoinHandle<()>> {
        let mut stop = std::pin::pin!(stop);
        let watchdog = systemd::watchdog_interval();
        let mut alive_at = watchdog.map(|interval| Instant::now() + interval);
        loop {
            let deadline = self.core.deadline();
            // Without `biased`, a branch that is always ready does not starve the others.
            tokio::select! {
                () = &mut stop => break,
                event = self.sources.next(deadline) => self.event(event),
                request = requests.recv() => match request {
                    Some(request) => self.request(request),
                    None => break,
                },
                () = tokio::time::sleep_until(alive_at.unwrap_or_else(Instant::now)), if alive_at.is_some() => {
                    systemd::notify_watchdog();
                    alive_at = watchdog.map(|interval| Instant::now() + interval);
                }
            }
        }
        systemd::notify_stopping();
        self.stop().await
    }

    fn event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Input(input) => self.feed(input),
            SourceEvent::Link(event) => {
                let input = self.link_input(event);
                self.feed(Input::Link(input));
            }
        }
    }

    fn link_input(&mut self, event: LinkEvent) -> LinkInput {
        match event {
            LinkEvent::Connected => LinkInput::Connected,
            LinkEvent::Lost(error) => {
                // The packet ids are void: the broker delivers the messages again.
                self.messages.clear();
                LinkInput::Lost(error)
            }
            LinkEvent::Subscribed => LinkInput::Subscribed,
            LinkEvent::SubscriptionRefused(error) => LinkInput::SubscriptionRefused(error),
            LinkEvent::Message { topic, payload, acknowledgement } => {
                let id = acknowledgement.map(|acknowledgement| {
                    let id = MessageId(self.fresh_id());
                    self.messages.insert(id, acknowledgement);
                    id
                });
                LinkInput::Message { topic, payload, id }
            }
            LinkEvent::Delivered(kind) => LinkInput::Delivered(kind),
            LinkEvent::Undelivered(kind) => LinkInput::Undelivered(kind),
        }
    }

    /// Passes an input to the core, and begins the resulting effects in their order.
    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.core.handle(now(&self.shared), input) {
                inputs.extend(execute(self, effect));
            }
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Status(reply) => drop(reply.send(Snapshot::of(&self.core, &self.shared.clock))),
            Request::Session(reply) => drop(reply.send(self.core.session())),
            Request::Approve(approval, reply) => {
                self.ask(core::Request::Approve(approval), Waiting::Session(reply));
            }
            Request::Confirm(code, reply) => self.ask(core::Request::Confirm(code), Waiting::Session(reply)),
            Request::Pair(request, reply) => self.ask(core::Request::Pair(request), Waiting::Done(reply)),
            Request::GiveUp(reply) => self.ask(core::Request::GiveUp, Waiting::Done(reply)),
            Request::Wipe(request, reply) => {
                self.ask(core::Request::Wipe(request.reason), Waiting::Wiped(reply));
            }
            Request::Deprovision(reply) => {
                self.ask(core::Request::Deprovision, Waiting::Deprovisioned(reply));
            }
        }
    }

    fn ask(&mut self, request: core::Request, caller: Waiting) {
        let id = RequestId(self.fresh_id());
        self.callers.insert(id, caller);
        self.feed(Input::Request(id, request));
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    async fn stop(mut self) -> Option<JoinHandle<()>> {
        for effect in self.core.stop(now(&self.shared)) {
            execute(&mut self, effect);
        }
        let written = async {
            while self.sources.disk.is_busy() {
                let input = self.sources.disk.next().await;
                for effect in self.core.handle(now(&self.shared), input) {
                    execute(&mut self, effect);
                }
            }
        };
        if timeout(LAST_WRITES, written).await.is_err() {
            tracing::warn!("the disk did not complete the last writes; stopping without them");
        }
        self.link.take().and_then(Link::stop)
    }
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Tpm(#[from] pawl_tpm::Error),
    #[error("the system has no timer on CLOCK_BOOTTIME: {0}")]
    Timer(std::io::Error),
}

fn now(shared: &Shared) -> Now {
    Now { boot: clock::uptime(), unix: shared.clock.unix() }
}

fn settings(shared: &Shared) -> Settings {
    let config = &shared.config;
    let token = |token: &pawl_config::TokenConfig| TokenSettings {
        name: token.name.as_str().to_owned(),
        scopes: token.scopes.iter().map(ToString::to_string).collect(),
        audience: requests::audience(shared, token),
        named_audience: token.audience.as_ref().map(|audience| audience.as_str().to_owned()),
    };
    Settings {
        tokens: config.tokens.iter().map(token).collect(),
        pairs_by_itself: config.pairing.automatic,
        counter: config.tpm.counter,
        scopes: config.pairing.scopes.clone(),
        audiences: config.audiences(),
    }
}
