//! Tests of the core with chosen times and inputs.

mod creation;
mod device;
mod evidence;
mod leases;
mod messages;
mod peers;
mod receipts;
mod refusals;
mod reports;
mod revocation;
mod sessions;
mod soft_tpm;
mod starts;
mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use p256::ecdsa::SigningKey;
use pawl_local_api::Token;
use pawl_proto::bounded::SignatureBytes;
use pawl_proto::codec::{self, Version};
use pawl_proto::message::{
    Cause, Entitlement, Event, EventKind, Evidence, HostFacts, HostHealth, Lease, Report, Standing,
    TrustTier, Verdict,
};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{Channel, Digest, Epoch, EventId, Nonce, PcrBank, Text, Topic, limits};
use zeroize::Zeroizing;

use super::*;
use crate::record::testing;

const EPOCH: u64 = 3;
const AUDIENCE: &str = "https://plane.example";

/// A core, its clocks, and the effects that the test has not executed yet.
struct Rig {
    core: Core,
    now: Now,
    effects: Vec<Effect>,
    record: PairingRecord,
    key: SigningKey,
    sequence: u64,
}

impl Rig {
    /// Returns a core without an examination.
    fn new() -> Self {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let mut record = testing::record(EPOCH);
        record.order_keys = vec![OrderKey::from(&key)];
        record.counter_name = [[0, 11].as_slice(), &[0; 32]].concat().try_into().unwrap();
        let now = Now { boot: Duration::from_secs(100), unix: 1_800_000_000 };
        let token = TokenSettings {
            name: "telemetry".to_owned(),
            scopes: vec!["telemetry".to_owned()],
            audience: AUDIENCE.to_owned(),
            named_audience: None,
        };
        let settings = Settings {
            tokens: vec![token],
            pairs_by_itself: false,
            counter: 0x0180_0000,
            scopes: vec![Text::lossy("telemetry")],
            audiences: Vec::new(),
        };
        Self { core: Core::new(now, settings, 1), now, effects: Vec::new(), record, key, sequence: 0 }
    }

    /// Returns a paired device that is connected, and has no lease yet.
    fn paired() -> Self {
        let mut rig = Self::new();
        let found = rig.found();
        rig.find(found);
        rig.feed(Input::Link(LinkInput::Connected));
        rig.feed(Input::Link(LinkInput::Subscribed));
        rig
    }

    /// Returns a paired device with a lease for `seconds`, and without a token.
    fn entitled(seconds: u64) -> Self {
        let mut rig = Self::paired();
        rig.lease(seconds);
        rig.feed(Input::VaultOpened(Vec::new()));
        assert_eq!(rig.core.state(), DeviceState::Entitled);
        rig.effects.clear();
        rig
    }

    fn found(&self) -> Found {
        Found {
            unfinished: Unfinished::Nothing,
            pairing: Ok(Some(self.record.clone())),
            keys: Ok(true),
            revocation: None,
            verdict: None,
            lease: None,
            receipts: Vec::new(),
            counter: Some(Epoch(EPOCH)),
            attestation_name: Some(b"ak".to_vec()),
        }
    }

    /// Feeds the result of the executor's examination at its start.
    fn find(&mut self, found: Found) {
        self.feed(Input::Found(Ticket::START, Box::new(found)));
    }

    fn feed(&mut self, input: Input) {
        self.effects.extend(self.core.handle(self.now, input));
    }

    /// Advances both clocks, and feeds a timer at each deadline.
    fn advance(&mut self, wait: Duration) {
        let end = self.now.boot + wait;
        while let Some(deadline) = self.core.deadline().filter(|deadline| *deadline <= end) {
            self.move_to(deadline.max(self.now.boot));
            self.feed(Input::Timer);
            assert!(self.core.deadline().is_none_or(|next| next > deadline), "the deadline did not move");
        }
        self.move_to(end);
        self.feed(Input::Timer);
    }

    fn move_to(&mut self, boot: Duration) {
        self.now.unix += boot.as_secs() - self.now.boot.as_secs();
        self.now.boot = boot;
    }

    fn seconds(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// Stops the core, and drops the effects so far.
    fn stop(&mut self) {
        self.core.stop(self.now);
        self.effects.clear();
    }

    /// Removes the first effect for which `pick` returns a value, and returns that value.
    fn take<T>(&mut self, pick: impl Fn(&Effect) -> Option<T>) -> Option<T> {
        let (index, found) =
            self.effects.iter().enumerate().find_map(|(index, effect)| Some((index, pick(effect)?)))?;
        self.effects.remove(index);
        Some(found)
    }

    fn position(&self, is: impl Fn(&Effect) -> bool) -> Option<usize> {
        self.effects.iter().position(is)
    }

    fn has(&self, is: impl Fn(&Effect) -> bool) -> bool {
        self.position(is).is_some()
    }

    fn take_tpm(&mut self, is: impl Fn(&TpmCommand) -> bool) -> Option<Ticket> {
        self.take(|effect| match effect {
            Effect::Tpm(ticket, command) if is(command) => Some(*ticket),
            _ => None,
        })
    }

    fn take_write(&mut self, is: impl Fn(&Write) -> bool) -> Option<Ticket> {
        self.take(|effect| match effect {
            Effect::Write(ticket, write) if is(write) => Some(*ticket),
            _ => None,
        })
    }

    fn take_call(&mut self, is: impl Fn(&Call) -> bool) -> Option<Ticket> {
        self.take(|effect| match effect {
            Effect::Call(ticket, call) if is(call) => Some(*ticket),
            _ => None,
        })
    }

    /// Feeds the loss of the link, and then this epoch of the TPM's counter.
    fn check_epoch(&mut self, epoch: u64) {
        self.feed(Input::Link(LinkInput::Lost("gone".to_owned())));
        let check = self.take_tpm(|command| matches!(command, TpmCommand::Check(_))).unwrap();
        self.answer(check, TpmAnswer::Checked(Some(Epoch(epoch)), true));
    }

    fn take_examination(&mut self) -> Option<Ticket> {
        self.take(|effect| match effect {
            Effect::Examine(ticket) => Some(*ticket),
            _ => None,
        })
    }

    /// Takes the first effect of a full report.
    fn take_report(&mut self) -> Option<Ticket> {
        self.take_tpm(|command| matches!(command, TpmCommand::ReadPcrs))
    }

    /// Executes the effects of a report, from its first one on. Returns the evidence.
    fn make_report(&mut self, ticket: Ticket) -> Evidence {
        let mut tpm = soft_tpm::SoftTpm::new(Some(EPOCH));
        self.answer(ticket, tpm.answer(&TpmCommand::ReadPcrs));
        let gather = self.take(|effect| match effect {
            Effect::Gather(ticket, gather) => Some((*ticket, *gather)),
            _ => None,
        });
        let (ticket, gather) = gather.expect("the logs were not read");
        self.feed(Input::Gathered(ticket, Ok(peers::gathered(gather, &peers::no_logs()))));
        let quote = self.take(|effect| match effect {
            Effect::Tpm(ticket, command @ TpmCommand::Quote { .. }) => Some((*ticket, command.clone())),
            _ => None,
        });
        let (ticket, command) = quote.expect("no quote was made");
        self.answer(ticket, tpm.answer(&command));
        let payload = self.take(|effect| match effect {
            Effect::Publish(Parcel { kind: ParcelKind::Posture(_), payload }) => Some(payload.clone()),
            _ => None,
        });
        let report: Report = codec::decode(&payload.expect("no report was sent"), limits::MESSAGE).unwrap();
        codec::decode(report.evidence.as_bytes(), limits::MESSAGE).unwrap()
    }

    fn take_reply(&mut self) -> Option<Reply> {
        self.take(|effect| match effect {
            Effect::Reply(_, reply) => Some(reply.clone()),
            _ => None,
        })
    }

    fn answer(&mut self, ticket: Ticket, answer: TpmAnswer) {
        self.feed(Input::Tpm(ticket, Ok(answer)));
    }

    fn fail(&mut self, ticket: Ticket, kind: TpmFailureKind) {
        let failure = TpmFailure { kind, text: "NV_RATE".to_owned(), remedy: "wait".to_owned() };
        self.feed(Input::Tpm(ticket, Err(failure)));
    }

    /// Feeds a verdict of the control plane, as message 9.
    fn verdict(&mut self, change: impl FnOnce(&mut Verdict)) {
        let message = self.signed_verdict(change);
        let topic = Topic::new(self.record.device, Channel::Verdict).to_string();
        let id = Some(MessageId(9));
        self.feed(Input::Link(LinkInput::Message { topic, payload: message, id }));
    }

    fn signed_verdict(&mut self, change: impl FnOnce(&mut Verdict)) -> Vec<u8> {
        self.sequence += 1;
        let mut verdict = Verdict {
            version: Version,
            device: self.record.device,
            pairing: self.record.pairing,
            epoch: self.record.epoch,
            sequence: self.sequence,
            time: 1,
            answers: None,
            entitlement: Entitlement {
                standing: Standing::Active,
                scopes: vec![Text::lossy("telemetry")],
                audiences: vec![Text::lossy(AUDIENCE)],
            },
            result: Some(TrustTier::Affirming),
            areas: BTreeMap::new(),
            reasons: Vec::new(),
            policy: None,
            nonce: Nonce([5; 32]),
            whole: false,
            nvpcrs: Vec::new(),
            interval: 300,
            records: 0,
            lease: None,
            ahead: Vec::new(),
        };
        change(&mut verdict);
        signed::sign(&verdict, &Topic::new(self.record.device, Channel::Verdict), &self.key).unwrap()
    }

    /// Feeds an event of the control plane, as message 8.
    fn event(&mut self, kind: EventKind, epoch: u64) {
        self.event_at(1, kind, epoch);
    }

    fn event_at(&mut self, sequence: u64, kind: EventKind, epoch: u64) {
        let payload = self.signed_event_at(sequence, kind, epoch);
        let topic = Topic::new(self.record.device, Channel::Event).to_string();
        let id = Some(MessageId(8));
        self.feed(Input::Link(LinkInput::Message { topic, payload, id }));
    }

    fn signed_event(&self, kind: EventKind, epoch: u64) -> Vec<u8> {
        self.signed_event_at(1, kind, epoch)
    }

    fn signed_event_at(&self, sequence: u64, kind: EventKind, epoch: u64) -> Vec<u8> {
        let event = Event {
            version: Version,
            id: EventId::from_random([1; 16]),
            kind,
            device: self.record.device,
            epoch: Epoch(epoch),
            sequence,
            time: 1,
            reason: Text::lossy("lost"),
        };
        signed::sign(&event, &Topic::new(self.record.device, Channel::Event), &self.key).unwrap()
    }

    /// Feeds a verdict with a lease, which the TPM accepts for `seconds`.
    fn lease(&mut self, seconds: u64) {
        self.verdict(|verdict| verdict.lease = Some(lease(seconds * 1000)));
        let ticket = self.take_tpm(|command| matches!(command, TpmCommand::Unseal(_))).unwrap();
        self.answer(ticket, TpmAnswer::Unsealed { key: VaultKey(Zeroizing::new([1; 32])), clock_ms: 0 });
        if let Some(write) = self.take_write(|write| matches!(write, Write::Verdict { .. })) {
            self.feed(Input::Written(write, Ok(())));
        }
    }

    /// Answers the token request in progress.
    fn token(&mut self, lifetime: u64) {
        let ticket = self.take_call(|call| matches!(call, Call::Token(_))).expect("no token was requested");
        let token = Token {
            access_token: "secret".to_owned(),
            token_type: "DPoP".to_owned(),
            expires_at: self.now.unix + lifetime,
            scope: "telemetry".to_owned(),
            dpop: None,
        };
        self.feed(Input::Called(ticket, Ok(CallAnswer::Token(token))));
    }

    /// Answers the increment in progress.
    fn end_epoch(&mut self) {
        let increment = self.take_tpm(is_increment_command).unwrap();
        self.answer(increment, TpmAnswer::Incremented);
    }

    /// Answers the TPM commands that make a receipt.
    fn receipt(&mut self) {
        let counter = self.take_tpm(|command| matches!(command, TpmCommand::Counter)).unwrap();
        self.answer(counter, TpmAnswer::Counter(Some(Epoch(EPOCH + 1))));
        let certify = self.take_tpm(|command| matches!(command, TpmCommand::Certify(_))).unwrap();
        self.answer(certify, TpmAnswer::Certified { attest: vec![1], signature: vec![2] });
    }

    /// Answers the write of a receipt.
    fn store_receipt(&mut self) {
        let stored = self.take_write(|write| matches!(write, Write::Receipt(..))).unwrap();
        self.feed(Input::Written(stored, Ok(())));
    }

    fn problem(&self) -> String {
        self.core.status().problem.map(|problem| problem.error).unwrap_or_default()
    }
}

/// Returns a lease that expires when the TPM's clock is at `clock`, ms.
fn lease(clock: u64) -> Lease {
    Lease {
        bank: PcrBank::Sha256,
        pcrs: vec![7],
        pcr_digest: Digest([0; 32]),
        reset_count: 1,
        clock,
        signature: SignatureBytes([0; 64]),
    }
}

fn is_increment(effect: &Effect) -> bool {
    matches!(effect, Effect::Tpm(_, TpmCommand::Increment))
}

fn is_increment_command(command: &TpmCommand) -> bool {
    matches!(command, TpmCommand::Increment)
}

fn is_acknowledged(effect: &Effect, id: u64) -> bool {
    matches!(effect, Effect::Acknowledge(MessageId(acknowledged)) if *acknowledged == id)
}

/// Returns whether a session begins with this effect.
fn is_opened(effect: &Effect) -> bool {
    matches!(effect, Effect::Write(_, Write::Reserve))
}
