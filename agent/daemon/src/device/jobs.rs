//! The jobs that wait for the TPM, the control plane or the host. The result of each is an input of the core.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use pawl_proto::{Epoch, Nonce};
use pawl_tpm::{Class, Error, LeaseGrant, LeaseStep};

use super::pairing;
use crate::control_plane::{CallError, TokenError};
use crate::core::{
    Call, CallAnswer, CallFailure, Gather, Gathered, GatheredLogs, Input, NewKeys, Secret, Ticket, TpmAnswer,
    TpmCommand, TpmFailure, TpmFailureKind, VaultKey,
};
use crate::fail_point;
use crate::posture;
use crate::random;
use crate::shared::Shared;

/// A job.
pub(super) type Job = Pin<Box<dyn Future<Output = Input> + Send>>;

/// Returns the job of a TPM command. When this returns, an increment is in the queue of the TPM's thread: this function polls its
/// job once.
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
        TpmCommand::ProvisionCounter => TpmAnswer::Provisioned(tpm.provision_counter().await?),
        TpmCommand::Identity => TpmAnswer::Identity(shared.identity().await?),
        TpmCommand::Activate(credential) => {
            TpmAnswer::Activated(Secret(tpm.activate_credential(credential).await?))
        }
        TpmCommand::CreateKeys(binding) => {
            fail_point::reach("re-pair.wiped");
            let keys = tpm.create_keys(*binding).await?;
            fail_point::reach("pair.keys-created");
            TpmAnswer::Created(NewKeys(keys))
        }
        TpmCommand::CertifyKeys(keys, nonce) => {
            TpmAnswer::KeysCertified(Box::new(pairing::certify(tpm, &keys.0, nonce).await?))
        }
        TpmCommand::RequestLink { keys, device, epoch } => {
            TpmAnswer::LinkRequested(pairing::link_request(tpm, &keys.0.link, device, epoch).await?)
        }
        TpmCommand::ReadPcrs => TpmAnswer::Pcrs(posture::read_pcrs(tpm).await?),
        TpmCommand::ReadNvPcrs(asked) => TpmAnswer::NvPcrs(posture::read_nvpcrs(tpm, &asked).await),
        TpmCommand::PresentNvPcrs(named) => {
            TpmAnswer::PresentNvPcrs(posture::present_nvpcrs(tpm, named).await)
        }
        TpmCommand::Quote { bank, digest } => TpmAnswer::Quoted(posture::quote(tpm, bank, digest).await?),
        TpmCommand::CertifyNvPcrs(handles, digest) => {
            TpmAnswer::NvPcrsCertified(posture::certify_nvpcrs(tpm, handles, digest).await)
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

/// Returns the index of the lease whose PCR digest matches the PCRs, so that the TPM need not try the others. The TPM decides
/// whether that lease is valid.
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

/// Converts an error of the TPM for the core.
pub(crate) fn failure(error: &Error) -> TpmFailure {
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

/// Returns the job of a call to the control plane.
pub(super) fn call(shared: &Arc<Shared>, ticket: Ticket, call: Call) -> Job {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let control_plane = &shared.control_plane;
        let answer = match call {
            Call::Receipt(message) => {
                control_plane.deliver_receipt(message).await.map(CallAnswer::ReceiptTaken)
            }
            Call::Token(name) => return Input::Called(ticket, token(&shared, &name).await),
            Call::RequestPairing(request) => control_plane
                .request_pairing(&request)
                .await
                .map(|offer| CallAnswer::Offered(Box::new(offer))),
            Call::OpenSession(id, proof) => {
                let opened = control_plane.open_session(id, &proof).await;
                if opened.is_ok() {
                    fail_point::reach("re-pair.proven");
                }
                opened.map(CallAnswer::Session)
            }
            Call::Step(id, step) => control_plane.step(id, &step).await.map(CallAnswer::Session),
            Call::Prove(id, proof) => {
                fail_point::reach("pair.activated");
                let granted = control_plane.prove(id, &proof).await;
                if granted.is_ok() {
                    fail_point::reach("pair.granted");
                }
                granted.map(|grant| CallAnswer::Granted(Box::new(grant)))
            }
        };
        Input::Called(ticket, answer.map_err(|error| call_failure(&error)))
    })
}

fn call_failure(error: &CallError) -> CallFailure {
    let refusal = match error {
        CallError::Refused { code, .. } => Some(*code),
        _ => None,
    };
    CallFailure {
        text: error.to_string(),
        remedy: error.remedy().to_owned(),
        is_transient: error.is_transient(),
        refusal,
    }
}

async fn token(shared: &Shared, name: &str) -> Result<CallAnswer, CallFailure> {
    let refused =
        |text: String| CallFailure { text, remedy: String::new(), is_transient: true, refusal: None };
    let configured = shared.config.tokens.iter().find(|token| token.name.as_str() == name);
    let configured = configured.ok_or_else(|| refused("no token has this name".to_owned()))?;
    let (signer, acting) = shared.gate.acting().map_err(|problem| refused(problem.reason))?;
    let (device, now) = (acting.record.device, shared.clock.unix());
    let outcome = shared.control_plane.token(&shared.tpm, &signer, device, configured, now).await;
    outcome.map(CallAnswer::Token).map_err(|error: TokenError| refused(error.to_string()))
}

/// Returns the job that reads the logs, facts and audit records of the host.
pub(super) fn gather(shared: &Arc<Shared>, ticket: Ticket, gather: Gather) -> Job {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let gathered = match gather {
            Gather::Host => Ok(Gathered::Host { facts: posture::facts(), nonce: Nonce(random::bytes()) }),
            Gather::Logs(range) => {
                let audit = shared.audit.report().await;
                let (logs, state_dir) = (shared.logs.clone(), shared.config.state_dir.clone());
                let read =
                    tokio::task::spawn_blocking(move || posture::gather(&logs, &state_dir, range)).await;
                read.map(|logs| Gathered::Logs(Box::new(GatheredLogs { audit, ..logs })))
                    .map_err(|error| error.to_string())
            }
        };
        Input::Gathered(ticket, gathered)
    })
}
