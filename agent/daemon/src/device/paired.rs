//! A live pairing: its link, its reports, its lease and its tokens.

use std::sync::Arc;

use pawl_proto::message::{Cause, DeviceState, Entitlement, Event, EventKind, Verdict};
use pawl_proto::signed;
use pawl_proto::{Channel, Epoch, Topic};
use pawl_tpm::{KeyBlob, LeaseGrant};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::lease::{Leases, Opened};
use super::reporter::Reporter;
use super::tokens::Tokens;
use super::writes::{Writes, Written};
use crate::control_plane::TokenError;
use crate::link::{Acknowledgement, LinkEvent, ParcelKind};
use crate::orders::{self, Order, Refused, Seen};
use crate::posture::{Prepared, ReportError};
use crate::shared::Shared;
use crate::store::{PairingKeys, PairingRecord};
use crate::vault::Binding;
use crate::{problem, wipe};

pub(super) struct Paired {
    record: Arc<PairingRecord>,
    device_key: Arc<KeyBlob>,
    vault_key: Arc<KeyBlob>,
    action_key: Arc<KeyBlob>,
    pub(super) connection: Connection,
    /// Everything that waits for the TPM or the network. It ends with the pairing.
    tasks: JoinSet<Done>,
    pub(super) writes: Writes,
    seen: Seen,
    pub(super) verdict: Option<Verdict>,
    /// What the newest verdict grants.
    entitlement: Option<Entitlement>,
    leases: Option<Leases>,
    /// The last verdict keeps the device from working, whatever the TPM says of a lease.
    barred: bool,
    pub(super) reporter: Reporter,
    pub(super) tokens: Tokens,
}

/// What a task of the pairing amounted to.
pub(super) enum Done {
    Report(Result<Prepared, ReportError>),
    /// The lease that was tried first, and what the TPM made of it and of those ahead.
    Lease(Arc<LeaseGrant>, Result<Opened, pawl_tpm::Error>),
    Token(String, Result<pawl_proto::local::Token, TokenError>),
    /// The counter's value, and whether this TPM has the pairing's attestation key.
    Looked(Result<(Option<Epoch>, bool), pawl_tpm::Error>),
}

/// What happens to a live pairing.
pub(super) enum Input {
    Link(LinkEvent),
    Done(Done),
    Written(Written),
    ReportDue,
    TokensDue,
    LeaseOver,
}

/// What a live pairing cannot do by itself.
pub(super) enum Wanted {
    Nothing,
    /// End the epoch.
    Wipe {
        order: wipe::Order,
        acknowledgement: Option<Acknowledgement>,
    },
    /// The counter is elsewhere than the pairing has it.
    Recovery(Option<Epoch>),
    /// This is another TPM.
    MovedDisk,
}

impl Paired {
    /// Takes up a pairing: connects, and tries the lease that was left.
    pub(super) fn start(shared: &Shared, record: PairingRecord, keys: PairingKeys) -> Self {
        record.pin_keys(&shared.tpm);
        let record = Arc::new(record);
        let mut paired = Self {
            device_key: Arc::new(keys.device),
            vault_key: Arc::new(keys.vault),
            action_key: Arc::new(keys.action),
            connection: Connection::start(shared, &record, &keys.link),
            tasks: JoinSet::new(),
            writes: Writes::default(),
            seen: Seen::default(),
            verdict: None,
            entitlement: None,
            leases: None,
            barred: false,
            reporter: Reporter::default(),
            tokens: Tokens::new(&shared.config.tokens),
            record,
        };
        shared.audit.identify(paired.record.device);
        shared.gate.close(problem::waiting());
        paired.take_up_verdicts(shared);
        paired
    }

    /// The next thing that happens. Dropped before it is ready, it has lost nothing.
    pub(super) async fn next(&mut self, gate_until: Option<Instant>) -> Input {
        let report = if self.connection.status().connected { self.reporter.due() } else { None };
        let tokens = gate_until.and(self.tokens.due());
        tokio::select! {
            biased;
            event = self.connection.next() => Input::Link(event),
            Some(Ok(done)) = self.tasks.join_next() => Input::Done(done),
            written = self.writes.next() => Input::Written(written),
            () = at(gate_until) => Input::LeaseOver,
            () = at(report) => Input::ReportDue,
            () = at(tokens) => Input::TokensDue,
        }
    }

    pub(super) fn handle(&mut self, shared: &Arc<Shared>, refused: &mut Refused, input: Input) -> Wanted {
        match input {
            Input::Link(event) => return self.link_event(shared, refused, event),
            Input::Done(done) => return self.done(shared, done),
            Input::Written(written) => self.written(written),
            Input::ReportDue => self.report(shared),
            Input::TokensDue => self.ask_for_tokens(shared),
            Input::LeaseOver => {
                shared.gate.close(problem::lease_expired());
                shared.gate.tell_holders();
                self.reporter.report_now();
            }
        }
        Wanted::Nothing
    }

    fn link_event(&mut self, shared: &Arc<Shared>, refused: &mut Refused, event: LinkEvent) -> Wanted {
        match event {
            LinkEvent::Connected => {
                self.connection.made();
                let open = shared.gate.is_open();
                self.connection.announce(if open { DeviceState::Entitled } else { DeviceState::Lapsed });
                if self.reporter.count() == 0 {
                    self.reporter.report_now();
                }
            }
            LinkEvent::Lost(error) => {
                self.connection.lost(error);
                // A link key that the TPM refuses to use looks like this, too.
                self.look_at_tpm(shared);
            }
            LinkEvent::Message { topic, payload, acknowledgement } => {
                return self.message(shared, refused, &topic, &payload, acknowledgement);
            }
            LinkEvent::Delivered(ParcelKind::Posture(digest)) => {
                tracing::debug!(evidence = %digest, "the broker has the report");
            }
            LinkEvent::Delivered(_) => {}
        }
        Wanted::Nothing
    }

    fn message(
        &mut self,
        shared: &Arc<Shared>,
        refused: &mut Refused,
        topic: &str,
        payload: &[u8],
        acknowledgement: Option<Acknowledgement>,
    ) -> Wanted {
        let arrived = std::time::Instant::now();
        match orders::verify(&self.record, &mut self.seen, topic, payload) {
            Ok(Order::Event(Event {
                kind: kind @ (EventKind::Revoke | EventKind::Repair),
                id,
                reason,
                ..
            })) => {
                let cause = if kind == EventKind::Repair { Cause::Repair } else { Cause::Revoke };
                let order = wipe::Order { cause, event: Some(id), reason, arrived };
                return Wanted::Wipe { order, acknowledgement };
            }
            Ok(Order::Event(_)) => self.reporter.report_now(),
            Ok(Order::Verdict(verdict)) => {
                self.judged(shared, *verdict, payload, acknowledgement);
                return Wanted::Nothing;
            }
            Err(refusal) => refused.count(refusal),
        }
        self.connection.acknowledge(acknowledgement);
        Wanted::Nothing
    }

    fn done(&mut self, shared: &Arc<Shared>, done: Done) -> Wanted {
        match done {
            Done::Report(outcome) => self.reported(outcome),
            Done::Lease(tried, outcome) => self.lease_tried(shared, &tried, outcome),
            Done::Token(name, outcome) => self.token_settled(shared, &name, outcome),
            Done::Looked(Ok((_, false))) => return Wanted::MovedDisk,
            Done::Looked(Ok((counter, true))) if counter != Some(self.record.epoch) => {
                return Wanted::Recovery(counter);
            }
            Done::Looked(Ok(_)) => {}
            Done::Looked(Err(error)) => {
                tracing::warn!(%error, remedy = error.remedy(), "the TPM does not answer")
            }
        }
        Wanted::Nothing
    }

    /// Looks whether this is still the TPM, and still the epoch, of this pairing.
    pub(super) fn look_at_tpm(&mut self, shared: &Arc<Shared>) {
        let (shared, record) = (Arc::clone(shared), Arc::clone(&self.record));
        self.spawn(async move {
            let look = async {
                let counter = shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch));
                let name = shared.identity().await?.ak_name.clone();
                Ok((counter, name == record.attestation_name.as_bytes()))
            };
            Done::Looked(look.await)
        });
    }

    pub(super) fn spawn(&mut self, task: impl Future<Output = Done> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// The last messages of the control plane, as they were kept. They are verified again: the
    /// disk is not trusted.
    pub(super) fn kept(&self, message: Option<Vec<u8>>) -> Option<Verdict> {
        let topic = Topic::new(self.record.device, Channel::Verdict);
        let verdict: Verdict = signed::verify(&message?, &topic, &self.record.order_keys).ok()?;
        (verdict.pairing == self.record.pairing && verdict.epoch == self.record.epoch).then_some(verdict)
    }

    pub(super) fn seen_verdict(&mut self, sequence: u64) {
        self.seen.verdict = self.seen.verdict.max(sequence);
    }

    /// Holds leases that are to be tried, or that are only kept to tell what the TPM says of them.
    pub(super) fn hold(&mut self, leases: Option<Leases>) {
        self.leases = leases;
    }

    pub(super) fn set_entitlement(&mut self, entitlement: Option<Entitlement>) {
        self.entitlement = entitlement;
    }

    /// Returns what the newest verdict grants.
    pub(super) fn entitlement(&self) -> Option<&Entitlement> {
        self.entitlement.as_ref()
    }

    pub(super) fn set_barred(&mut self, barred: bool) {
        self.barred = barred;
    }

    pub(super) fn is_barred(&self) -> bool {
        self.barred
    }

    /// Whether this is the lease under which the device may work.
    pub(super) fn works_under(&self, grant: &Arc<LeaseGrant>) -> bool {
        !self.barred && self.leases.as_ref().is_some_and(|held| Arc::ptr_eq(held.present(), grant))
    }

    /// The last leases, whether or not they still hold.
    pub(super) fn leases(&self) -> Option<&Leases> {
        self.leases.as_ref()
    }

    pub(super) fn leases_mut(&mut self) -> Option<&mut Leases> {
        self.leases.as_mut()
    }

    pub(super) fn record(&self) -> &Arc<PairingRecord> {
        &self.record
    }

    pub(super) fn device_key(&self) -> Arc<KeyBlob> {
        Arc::clone(&self.device_key)
    }

    pub(super) fn vault_key(&self) -> Arc<KeyBlob> {
        Arc::clone(&self.vault_key)
    }

    pub(super) fn action_key(&self) -> Arc<KeyBlob> {
        Arc::clone(&self.action_key)
    }

    /// What the sealed vault is bound to.
    pub(super) fn binding(&self) -> Binding {
        Binding { pairing: self.record.pairing, epoch: self.record.epoch }
    }
}

/// Waits for a time; for ever where there is none.
async fn at(time: Option<Instant>) {
    match time {
        // Tokio's timers round up to whole milliseconds: what is due now is not to wait for one.
        Some(time) if time <= Instant::now() => {}
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
