//! Executes the effects of the core.

use std::sync::Arc;

use pawl_proto::codec::Version;
use pawl_proto::message::{DeviceState, Status};
use tokio::sync::mpsc;

use super::{Device, gather, jobs};
use crate::action::{Acting, Actions};
use crate::core::{Effect, HeldToken, Input, OpenGate, Ticket, Write};
use crate::gate::Opened;
use crate::jws::Signer;
use crate::link::{Endpoint, Link};
use crate::posture;
use crate::record::PairingRecord;
use crate::shared::Shared;
use crate::systemd;
use crate::tls;
use crate::vault::{Binding, Vault};

const LINK_EVENTS: usize = 16;

/// Begins an effect. Returns the input that results from it at once, if there is one.
pub(super) fn execute(device: &mut Device, effect: Effect) -> Option<Input> {
    let shared = &device.shared;
    match effect {
        Effect::CloseGate(problem) => shared.gate.close(problem),
        Effect::OpenGate(open) => return open_gate(shared, *open),
        Effect::RenewGate { until, lease } => {
            if let Some(keys) = shared.keys() {
                shared.gate.renew(until, &Signer { key: Arc::new(keys.device.clone()), lease });
            }
        }
        Effect::RestrictGate(entitlement) => drop(shared.gate.restrict(&entitlement)),
        Effect::PutToken { name, token, audience } => {
            let now = shared.clock.unix();
            let put = shared.gate.with_vault(|vault| vault.put(&name, token, &audience, now).is_ok());
            if put != Ok(true) {
                tracing::warn!(token = name, "the vault refused a token that is outside the entitlement");
            }
        }
        Effect::TellHolders => shared.gate.tell_holders(),
        Effect::Tpm(ticket, command) => {
            let job = jobs::tpm(shared, ticket, command);
            device.sources.jobs.spawn(job);
        }
        Effect::Write(ticket, write) => begin_write(device, ticket, write),
        Effect::Call(ticket, call) => drop(device.sources.jobs.spawn(jobs::call(shared, ticket, call))),
        Effect::Gather(ticket, gather) => {
            drop(device.sources.jobs.spawn(jobs::gather(shared, ticket, gather)));
        }
        Effect::Examine(ticket) => examine(device, ticket),
        Effect::PinEndorsementKey(name) => shared.tpm.pin_endorsement_key(&name),
        Effect::Connect(record) => connect(device, &record),
        Effect::Subscribe => device.link.iter().for_each(Link::subscribe),
        Effect::Disconnect => {
            device.link = None;
            device.sources.link = None;
            device.messages.clear();
            shared.use_keys(None);
        }
        Effect::Publish(parcel) => {
            if let Some(link) = &device.link {
                link.publish(parcel);
            }
        }
        Effect::Acknowledge(id) => {
            let acknowledgement = device.messages.remove(&id);
            if let Some(link) = &device.link {
                link.acknowledge(acknowledgement);
            }
        }
        Effect::Reply(id, reply) => {
            if let Some(waiting) = device.callers.remove(&id) {
                waiting.answer(reply);
            }
        }
        Effect::Record { epoch, moment, fact } => shared.audit.record_at(epoch, moment, fact),
        Effect::RecordsAcknowledged(sequence) => shared.audit.acknowledged(sequence),
        Effect::RaiseClock(time) => shared.clock.heard(time),
        Effect::Security(event, epoch, text) => event.log(epoch, format_args!("{text}")),
        Effect::ShowState(text) => systemd::show_status(&text),
    }
    None
}

fn examine(device: &mut Device, ticket: Ticket) {
    let shared = Arc::clone(&device.shared);
    device.sources.jobs.spawn(async move {
        match gather::found(&shared).await {
            Ok(found) => Input::Found(ticket, Box::new(found)),
            Err(error) => Input::NotFound(ticket, jobs::failure(&error)),
        }
    });
}

/// Loads the keys of a pairing, and connects to its broker. The link retries. Without a link the device uses its stored lease
/// until it expires.
fn connect(device: &mut Device, record: &Arc<PairingRecord>) {
    let shared = &device.shared;
    let keys = match shared.store.keys() {
        Ok(Some(keys)) => Arc::new(keys),
        Ok(None) => return tracing::error!("the keys of the pairing are missing"),
        Err(error) => return tracing::error!(%error, "the keys of the pairing cannot be read"),
    };
    shared.use_keys(Some(Arc::clone(&keys)));
    record.pin_keys(&shared.tpm);
    shared.audit.identify(record.device);
    let last_will = Status {
        version: Version,
        device: record.device,
        online: false,
        state: DeviceState::Lapsed,
        epoch: record.epoch,
    };
    let (events, inbox) = mpsc::channel(LINK_EVENTS);
    let link = tls::broker(record, &keys.link, &shared.tpm, &shared.clock)
        .map_err(|error| error.to_string())
        .and_then(|tls| {
            let broker = record.broker.clone();
            let endpoint = Endpoint { device: record.device, broker, tls, last_will };
            Link::start(endpoint, events).map_err(|error| error.to_string())
        });
    match link {
        Ok(link) => (device.link, device.sources.link) = (Some(link), Some(inbox)),
        Err(error) => tracing::error!(error, "cannot create the link to the broker"),
    }
}

fn begin_write(device: &mut Device, ticket: Ticket, write: Write) {
    let shared = Arc::clone(&device.shared);
    match write {
        // Seal it now: when the disk runs this write, the gate may have closed or opened again.
        Write::Vault => {
            let sealed = shared.keys().and_then(|_| seal(&shared));
            device
                .sources
                .disk
                .write(ticket, move || sealed.map_or(Ok(()), |sealed| shared.store.put_vault(&sealed)));
        }
        write => device
            .sources
            .disk
            .write(ticket, move || shared.store.put(write, || shared.clock.to_keep(posture::boot_id()))),
    }
}

fn seal(shared: &Shared) -> Option<Vec<u8>> {
    let (_, acting) = shared.gate.acting().ok()?;
    let binding = Binding { pairing: acting.record.pairing, epoch: acting.record.epoch };
    shared.gate.with_vault(|vault| vault.seal(binding)).ok().flatten()
}

/// Opens the gate with the tokens that the sealed vault holds.
fn open_gate(shared: &Shared, open: OpenGate) -> Option<Input> {
    let OpenGate { until, lease, key, entitlement, record } = open;
    let keys = shared.keys()?;
    let sealed = shared.store.vault().unwrap_or_else(|error| {
        tracing::warn!(%error, "the sealed tokens cannot be read; they are requested again");
        None
    });
    let binding = Binding { pairing: record.pairing, epoch: record.epoch };
    let mut vault = Vault::open(key.0, sealed.as_deref(), binding, entitlement);
    vault.drop_expired(shared.clock.unix());
    let held = vault.held().map(|(name, token, audience, kept_at)| HeldToken {
        name: name.to_owned(),
        scope: token.scope.clone(),
        audience: audience.to_owned(),
        kept_at,
        expires_at: token.expires_at,
    });
    let held = held.collect();
    let signer = Signer { key: Arc::new(keys.device.clone()), lease };
    let acting = Acting { record, key: Arc::new(keys.action.clone()) };
    shared.gate.open(Opened { until, signer, vault, actions: Actions::new(acting) });
    Some(Input::VaultOpened(held))
}
