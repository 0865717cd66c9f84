//! Pairing: the device proves which TPM it is, and what that TPM holds, and is bound to one
//! epoch.
//!
//! Power may fail anywhere in here. Until the last step, [`Store::commit`], there is no new
//! pairing; what was begun is found at the next start, its epoch is ended, and it begins anew.
//! The control plane grants one pairing an epoch, so the keys of a half-finished one can never
//! be entitled beside those of the one that follows it.
//!
//! [`Store::commit`]: crate::store::Store::commit

mod proof;

use std::sync::Arc;
use std::time::Duration;

use pawl_evidence::lease::{LeaseKeyError, check_lease_key};
use pawl_evidence::tpm::{ParseError, Public};
use pawl_proto::bounded::TooLong;
use pawl_proto::codec::Version;
use pawl_proto::local::{PairRequest, Problem};
use pawl_proto::message::{PairingGrant, PairingOffer, PairingRequest, RefusalCode, Scope, Verdict, Waiting};
use pawl_proto::signed::{self, VerifyError};
use pawl_proto::{Channel, DeviceId, Epoch, Nonce, Topic, limits};
use pawl_tpm::{Binding, Counter, Identity};

use crate::control_plane::{CallError, Proven};
use crate::fail_point;
use crate::posture::{self, ReportError};
use crate::problem::problem;
use crate::random;
use crate::shared::Shared;
use crate::store::{PairingKeys, PairingRecord, StoreError};

/// Pairs the device, and leaves the new pairing in the store.
///
/// `resumed`: an earlier attempt was cut short, and the epoch that it began in is ended first.
///
/// # Errors
/// [`PairingError`]; the store then holds no unfinished pairing.
pub(crate) async fn pair(
    shared: &Arc<Shared>,
    request: &PairRequest,
    resumed: bool,
) -> Result<(), PairingError> {
    let outcome = attempt(shared, request, resumed).await;
    if outcome.is_err() {
        shared.store.discard_unfinished()?;
    }
    outcome
}

async fn attempt(shared: &Arc<Shared>, request: &PairRequest, resumed: bool) -> Result<(), PairingError> {
    shared.store.begin_pairing(request)?;
    fail_point::reach("pair.begun");
    let mut counter = shared.tpm.provision_counter().await?;
    if resumed {
        counter = end_epoch(shared).await?;
    }
    let identity = shared.identity().await?;
    let (offer, counter) = offer(shared, request, &identity, counter).await?;
    fail_point::reach("pair.offered");
    let session = Session { offer, counter, identity: &identity };
    let keys = session.create_keys(shared).await?;
    fail_point::reach("pair.keys-created");
    let proof = session.proof(shared, &keys).await?;
    fail_point::reach("pair.activated");
    let grant = loop {
        match shared.control_plane.prove(session.offer.pairing, &proof).await? {
            Proven::Granted(grant) => break grant,
            Proven::Waiting(Waiting { retry_after, .. }) => {
                let wait = Duration::from_secs(u64::from(retry_after)).clamp(SHORTEST_WAIT, LONGEST_WAIT);
                tokio::time::sleep(wait).await;
            }
        }
    };
    fail_point::reach("pair.granted");
    session.check(&grant)?;
    let record = PairingRecord::new(
        &grant,
        &session.offer,
        session.counter.name.clone().try_into()?,
        identity.ak_name.clone().try_into()?,
    );
    shared.store.stage(&record, &keys, grant.verdict.as_bytes())?;
    fail_point::reach("pair.staged");
    shared.store.commit()?;
    fail_point::reach("pair.committed");
    Ok(())
}

const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Asks for a pairing; in a new epoch, if an earlier pairing lived in this one.
async fn offer(
    shared: &Shared,
    wanted: &PairRequest,
    identity: &Identity,
    counter: Counter,
) -> Result<(PairingOffer, Counter), PairingError> {
    let request = request(shared, wanted, identity, &counter)?;
    match shared.control_plane.request_pairing(&request).await {
        Err(CallError::Refused { code: RefusalCode::EpochSpent, .. }) => {
            tracing::info!(epoch = counter.epoch, "an earlier pairing lived in this epoch; it is ended");
            let counter = end_epoch(shared).await?;
            let request = request_again(request, &counter)?;
            Ok((shared.control_plane.request_pairing(&request).await?, counter))
        }
        other => Ok((other?, counter)),
    }
}

fn request(
    shared: &Shared,
    wanted: &PairRequest,
    identity: &Identity,
    counter: &Counter,
) -> Result<PairingRequest, PairingError> {
    let scopes: Vec<Scope> =
        if wanted.scopes.is_empty() { shared.config.pairing.scopes.clone() } else { wanted.scopes.clone() };
    let certificates = identity.ek_certificates.iter().take(limits::CHAIN);
    Ok(PairingRequest {
        version: Version,
        device: DeviceId::from_endorsement_key(&identity.ek_public),
        endorsement_key: identity.ek_public.clone().try_into()?,
        endorsement_certificates: certificates
            .map(|certificate| certificate.clone().try_into())
            .collect::<Result<_, _>>()?,
        attestation_key: identity.ak_public.clone().try_into()?,
        counter: counter.public.clone().try_into()?,
        epoch: Epoch(counter.epoch),
        host: posture::facts(),
        session: Nonce(random::bytes()),
        reason: wanted.reason.clone(),
        scopes,
    })
}

fn request_again(request: PairingRequest, counter: &Counter) -> Result<PairingRequest, PairingError> {
    Ok(PairingRequest {
        counter: counter.public.clone().try_into()?,
        epoch: Epoch(counter.epoch),
        session: Nonce(random::bytes()),
        ..request
    })
}

async fn end_epoch(shared: &Shared) -> Result<Counter, PairingError> {
    shared.tpm.revoke().await?;
    shared.tpm.counter().await?.ok_or(PairingError::Counter)
}

/// One pairing in the making: what was offered, to which counter, by which TPM.
struct Session<'a> {
    offer: PairingOffer,
    counter: Counter,
    identity: &'a Identity,
}

impl Session<'_> {
    fn device(&self) -> DeviceId {
        DeviceId::from_endorsement_key(&self.identity.ek_public)
    }

    async fn create_keys(&self, shared: &Shared) -> Result<PairingKeys, PairingError> {
        let lease_public = self.offer.lease_key.as_bytes().to_vec();
        check_lease_key(&Public::unmarshal(&lease_public)?)?;
        let binding =
            Binding { counter: self.counter.clone(), lease_public, policy_ref: self.offer.policy_ref.0 };
        let pawl_tpm::PairingKeys { link, device, vault } = shared.tpm.create_keys(binding).await?;
        Ok(PairingKeys { link, device, vault })
    }

    /// The grant must be the answer to this session, and its first verdict signed by a key that
    /// it pins.
    fn check(&self, grant: &PairingGrant) -> Result<(), PairingError> {
        let device = self.device();
        let expected = (self.offer.pairing, device, Epoch(self.counter.epoch));
        if (grant.pairing, grant.device, grant.epoch) != expected {
            return Err(PairingError::OtherSession);
        }
        let topic = Topic::new(device, Channel::Verdict);
        let verdict: Verdict = signed::verify(grant.verdict.as_bytes(), &topic, &grant.order_keys)?;
        if (verdict.pairing, verdict.device, verdict.epoch) != expected {
            return Err(PairingError::OtherSession);
        }
        Ok(())
    }
}

/// Why a pairing was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairingError {
    #[error(transparent)]
    Tpm(#[from] pawl_tpm::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("the TPM has no epoch counter")]
    Counter,
    #[error("the control plane's lease key cannot be used: {0}")]
    LeaseKey(#[from] LeaseKeyError),
    #[error("the control plane's lease key is malformed: {0}")]
    LeaseKeyForm(#[from] ParseError),
    #[error("the control plane's grant belongs to another session")]
    OtherSession,
    #[error("the control plane's first verdict does not hold: {0}")]
    Verdict(#[from] VerifyError),
    #[error("the link key's certificate request cannot be made: {0}")]
    LinkRequest(String),
    #[error("a structure is larger than the protocol allows: {0}")]
    TooLong(#[from] TooLong),
}

impl PairingError {
    /// What a caller is told.
    pub(crate) fn problem(&self) -> Problem {
        let code = match self {
            Self::Call(CallError::Refused { code, .. }) => return problem_of(*code, self),
            Self::Call(call) if call.is_transient() => "control-plane-unreachable",
            Self::Tpm(_) => "tpm",
            _ => "pairing-failed",
        };
        problem(code, self.to_string(), self.remedy())
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Tpm(error) | Self::Report(ReportError::Tpm(error)) => error.remedy(),
            Self::Call(call) => call.remedy(),
            Self::Store(_) => "check the disk, its free space and the owner of the state directory",
            _ => "run: pawlctl pair; if it fails again, show the operator this message",
        }
    }
}

fn problem_of(code: RefusalCode, error: &PairingError) -> Problem {
    problem(&code.to_string(), error.to_string(), error.remedy())
}
