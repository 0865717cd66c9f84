//! What waits for the TPM or the control plane. Each job's result is an input of the core.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use pawl_proto::{Epoch, encode};
use pawl_tpm::{Class, Error, LeaseGrant, LeaseStep};

use crate::control_plane::{CallError, TokenError};
use crate::core::{
    Call, CallAnswer, CallFailure, Input, Ticket, TpmAnswer, TpmCommand, TpmFailure, TpmFailureKind, VaultKey,
};
use crate::posture::{self, Acknowledged, Subject};
use crate::shared::Shared;
use crate::store::PairingRecord;

/// Something that waits.
pub(super) type Job = Pin<Box<dyn Future<Output = Input> + Send>>;

/// Returns the job of a TPM command. An increment is with the TPM's thread when this returns: it was polled once.
pub(super) fn tpm(shared: &Arc<Shared>, ticket: Ticket, command: TpmCommand) -> Job {
    let is_urgent = matches!(command, TpmCommand::Increment);
    let shared = Arc::clone(shared);
    let mut job: Job = Box::pin(async move {
        let answer = run(&shared, command).await;
        Input::Tpm(ticket, answer.map_err(|error| failure(&error)))
    });
    if is_urgent {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(input) = job.as_mut().poll(&mut context) {
            return Box::pin(std::future::ready(input));
        }
    }
    job
}

async fn run(shared: &Arc<Shared>, command: TpmCommand) -> Result<TpmAnswer, Error> {
    let tpm = &shared.tpm;
    Ok(match command {
        TpmCommand::Increment => {
            tpm.revoke().await?;
            TpmAnswer::Incremented
        }
        TpmCommand::Counter => TpmAnswer::Counter(counter(shared).await?),
        TpmCommand::Certify(digest) => {
            let attestation = tpm.certify_counter(digest.0).await?;
            TpmAnswer::Certified { attest: attestation.attest, signature: attestation.signature }
        }
        TpmCommand::Unseal(lease) => {
            let vault = shared.keys().ok_or(Error::Malformed("vault key"))?;
            let key = tpm.unseal(&vault.vault, &lease).await?;
            TpmAnswer::Unsealed { key: VaultKey(key), clock_ms: tpm.clock().await?.clock_ms }
        }
        TpmCommand::MatchPcrs(leases) => TpmAnswer::Matched(matching(shared, &leases).await?),
        TpmCommand::Check(record) => {
            let counter = counter(shared).await?;
            let name = shared.identity().await?.ak_name.clone();
            TpmAnswer::Checked(counter, name == record.attestation_name.as_bytes())
        }
        TpmCommand::Deprovision => TpmAnswer::Deprovisioned(tpm.deprovision().await?),
        TpmCommand::EndEpoch => {
            let ended = tpm.provision_counter().await?;
            tpm.revoke().await?;
            let now = tpm.provision_counter().await?;
            TpmAnswer::Ended(Epoch(ended.epoch), Epoch(now.epoch))
        }
    })
}

async fn counter(shared: &Shared) -> Result<Option<Epoch>, Error> {
    Ok(shared.tpm.counter().await?.map(|counter| Epoch(counter.epoch)))
}

/// Returns which of the leases is for the boot state that the PCRs show. This saves the TPM the others; what counts is
/// what it makes of the one.
async fn matching(shared: &Shared, leases: &[Arc<LeaseGrant>]) -> Result<Option<usize>, Error> {
    for (index, lease) in leases.iter().enumerate() {
        let selection = &lease.terms.selection;
        let pcrs = shared.tpm.read_pcrs(selection).await?;
        if pcrs.policy_digest(selection) == Ok(lease.terms.pcr_digest) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Returns what the core knows of an error of the TPM.
pub(super) fn failure(error: &Error) -> TpmFailure {
    let kind = match error {
        Error::Lease { step: LeaseStep::Pcrs, .. } => TpmFailureKind::Pcrs,
        Error::Lease { step: LeaseStep::Epoch, .. } => TpmFailureKind::Key,
        Error::Lease { .. } => TpmFailureKind::Lease,
        Error::Epoch { .. }
        | Error::CounterAbsent { .. }
        | Error::KeyReplaced { .. }
        | Error::OtherTpm { .. }
        | Error::Malformed(_) => TpmFailureKind::Key,
        Error::Tpm { code, .. } => match code.class() {
            Class::Policy | Class::Handle | Class::Input | Class::Authorization => TpmFailureKind::Key,
            _ => TpmFailureKind::Transient,
        },
        _ => TpmFailureKind::Transient,
    };
    TpmFailure { kind, text: error.to_string(), remedy: error.remedy().to_owned() }
}

/// Returns the job of a call of the control plane.
pub(super) fn call(shared: &Arc<Shared>, ticket: Ticket, call: Call) -> Job {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let answer = match call {
            Call::Receipt(message) => receipt(&shared, message).await,
            Call::Token(name) => token(&shared, &name).await,
        };
        Input::Called(ticket, answer)
    })
}

async fn receipt(shared: &Shared, message: Vec<u8>) -> Result<CallAnswer, CallFailure> {
    let outcome = shared.control_plane.deliver_receipt(message).await;
    outcome.map(CallAnswer::ReceiptTaken).map_err(|error: CallError| CallFailure {
        text: error.to_string(),
        is_transient: error.is_transient(),
    })
}

async fn token(shared: &Shared, name: &str) -> Result<CallAnswer, CallFailure> {
    let refused = |text: String| CallFailure { text, is_transient: true };
    let configured = shared.config.tokens.iter().find(|token| token.name.as_str() == name);
    let configured = configured.ok_or_else(|| refused("no token has this name".to_owned()))?;
    let (signer, acting) = shared.gate.acting().map_err(|problem| refused(problem.reason))?;
    let (device, now) = (acting.record.device, shared.clock.unix());
    let outcome = shared.control_plane.token(&shared.tpm, &signer, device, configured, now).await;
    outcome.map(CallAnswer::Token).map_err(|error: TokenError| refused(error.to_string()))
}

/// Returns the job of a report.
pub(super) fn report(
    shared: &Arc<Shared>,
    ticket: Ticket,
    record: Arc<PairingRecord>,
    (nonce, nvpcrs): (pawl_proto::Nonce, Vec<u32>),
    base: Option<Acknowledged>,
) -> Job {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let subject = Subject { device: record.device, pairing: record.pairing, epoch: record.epoch, nonce };
        let Shared { tpm, logs, audit, .. } = &*shared;
        let prepared = posture::prepare(tpm, logs, subject, base.as_ref(), audit, &nvpcrs).await;
        let outcome = prepared.map_err(|error| error.to_string()).and_then(|prepared| {
            let payload = encode(&prepared.report).map_err(|error| error.to_string())?;
            Ok((payload, prepared.tells))
        });
        Input::ReportMade(ticket, outcome)
    })
}
