//! The approval session of a pairing: the request, the proof, and polling until the approval. It does not change the present
//! pairing, and runs in parallel to the present phase.

use std::sync::Arc;
use std::time::Duration;

use pawl_local_api::PairRequest;
use pawl_proto::bounded::TooLong;
use pawl_proto::codec::Version;
use pawl_proto::message::{
    ApprovalStep, GivenApproval, HostFacts, PairingApproved, PairingOffer, PairingRequest, Scope,
    SessionProof, Statement, StatementBytes, StatementContext, TpmStructure, Waiting,
};
use pawl_proto::record::DeviceFact;
use pawl_proto::{DeviceId, Digest, Epoch, Nonce, PairingId, SessionId, Text, limits};
use pawl_tpm::{Counter, Identity};

use super::error::PairingError;
use super::past::Past;
use super::statement::{Request, StatementError};
use super::view::{Step, View};
use crate::approval;
use crate::backoff::Backoff;
use crate::core::context::Settings;
use crate::core::effect::{Call, Effect, Gather, Reply, TpmCommand, Write};
use crate::core::evidence::{self, Subject};
use crate::core::input::{CallAnswer, CallFailure, Gathered, Secret, SessionAnswer, TpmAnswer};
use crate::core::procedure::{Port, pick};
use crate::record::Approved;
use crate::telemetry::event::SecurityEvent;

/// A session to open.
pub(in crate::core) struct NewSession {
    /// The caller's request. Its origin begins with the user that the kernel names.
    pub(in crate::core) request: PairRequest,
    /// Whether a person is at the device, who can show a code or approve.
    pub(in crate::core) attended: bool,
    pub(in crate::core) past: Past,
    pub(in crate::core) settings: Settings,
}

/// Requests a pairing, and polls the session until it is approved. Does not act on the approval.
///
/// # Errors
/// [`PairingError`]
pub(in crate::core) async fn run(
    port: Port,
    new: NewSession,
    view: View,
) -> Result<Box<Approved>, PairingError> {
    let (mut session, answer) = Session::open(&port, &view, new).await?;
    session.follow(answer).await
}

/// A session that the control plane has offered.
struct Session<'a> {
    port: &'a Port,
    view: &'a View,
    id: SessionId,
    request: PairingRequest,
    /// The TPM name of the attestation key.
    attestation_name: TpmStructure,
    /// SHA-256 of the evidence in the proof.
    evidence: Digest,
    /// The secret of the credential, which only this TPM could open. Each step contains it, and so proves that the same device
    /// sends it.
    secret: Secret,
    /// The control plane's statement, once it was received.
    statement: Option<(StatementBytes, Statement)>,
    /// Why the control plane rejected the last approval or confirmation.
    refused: Option<String>,
    /// Until when to retry if the control plane does not answer, on CLOCK_BOOTTIME.
    deadline: Duration,
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(15);
/// How long to retry if the control plane does not answer, at the opening of a session and after its expiry.
const PATIENCE: Duration = Duration::from_secs(45);
/// Limits of the polling interval.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl<'a> Session<'a> {
    /// Requests a session and opens it. Returns the session, and the control plane's first answer.
    async fn open(
        port: &'a Port,
        view: &'a View,
        new: NewSession,
    ) -> Result<(Self, SessionAnswer), PairingError> {
        port.write(Write::Reserve).await.map_err(PairingError::Store)?;
        let counter = port.tpm(TpmCommand::ProvisionCounter, pick!(TpmAnswer::Provisioned)).await?;
        let identity = port.tpm(TpmCommand::Identity, pick!(TpmAnswer::Identity)).await?;
        // The old pairing may have pinned the key of another TPM.
        port.push(Effect::PinEndorsementKey(identity.ek_name.clone()));
        let host = |gathered| match gathered {
            Gathered::Host { facts, nonce } => Some((facts, nonce)),
            Gathered::Logs(_) => None,
        };
        let (facts, nonce) = port.gather(Gather::Host, host).await.map_err(PairingError::Host)?;
        let request = new.message(&identity, &counter, facts, nonce)?;
        let call = Call::RequestPairing(Box::new(request.clone()));
        let offer = port.call(call, pick!(CallAnswer::Offered)).await?;
        view.set_id(offer.session);
        let command = TpmCommand::Activate(offer.credential.clone());
        let secret = port.tpm(command, pick!(TpmAnswer::Activated)).await?;
        let (proof, evidence) = prove(port, &request, &offer, &secret).await?;
        let session = Self {
            port,
            view,
            id: offer.session,
            request,
            attestation_name: identity.ak_name.clone().try_into()?,
            evidence,
            secret,
            statement: None,
            refused: None,
            deadline: port.now().boot.saturating_add(PATIENCE),
        };
        let answer = session.submit_proof(proof).await?;
        Ok((session, answer))
    }

    /// Submits the proof until the control plane answers: an answer that was lost may be an approval, which ends the old pairing.
    async fn submit_proof(&self, proof: SessionProof) -> Result<SessionAnswer, CallFailure> {
        let (proof, mut backoff) = (Arc::new(proof), Backoff::new(FIRST_RETRY, LONGEST_RETRY));
        loop {
            let call = Call::OpenSession(self.id, Arc::clone(&proof));
            match self.port.call(call, pick!(CallAnswer::Session)).await {
                Err(error) if self.outlives(&error) => self.port.back_off(&mut backoff).await,
                other => return other,
            }
        }
    }

    async fn follow(&mut self, mut answer: SessionAnswer) -> Result<Box<Approved>, PairingError> {
        loop {
            let waiting = match answer {
                SessionAnswer::Approved(approved) => return self.approved(*approved).await,
                SessionAnswer::Waiting(waiting) => waiting,
            };
            self.show(&waiting)?;
            if let Some(caller) = self.view.take_caller() {
                let status = Box::new(self.view.status());
                self.port.push(Effect::Reply(caller, Reply::Session(status)));
            }
            answer = self.next(&waiting).await?;
        }
    }

    fn show(&mut self, waiting: &Waiting) -> Result<(), StatementError> {
        let statement = self.accept(&waiting.statement)?;
        let asked = approval::asked(&waiting.statement, statement, &waiting.known);
        self.view.set_asked(asked);
        let now = self.port.now();
        self.view.wait(approval::waiting_status(waiting, now.unix, self.refused.clone()));
        let expires_in = Duration::from_secs(u64::from(waiting.expires_in));
        self.deadline = now.boot.saturating_add(expires_in).saturating_add(PATIENCE);
        Ok(())
    }

    /// Polls the control plane at the time that it asked for, or as soon as there is a submission. Returns its answer.
    async fn next(&mut self, waiting: &Waiting) -> Result<SessionAnswer, PairingError> {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let wait = Duration::from_secs(u64::from(waiting.retry_after)).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let mut ask_at = self.port.now().boot.saturating_add(wait);
        loop {
            if !self.view.has_news() {
                self.port.doze(ask_at).await;
            }
            let step = self.view.take_step();
            match self.submit(step).await {
                Err(error) if self.outlives(&error) => {
                    tracing::debug!(%error, "the control plane did not answer; retrying");
                    if let Some(caller) = self.view.take_caller() {
                        let problem = PairingError::Call(error).problem(true);
                        self.port.push(Effect::Reply(caller, Reply::Unreachable(problem)));
                    }
                    ask_at = self.port.next_try(&mut backoff);
                }
                Err(error) if error.is_transient => return Err(PairingError::Expired),
                other => return Ok(other?),
            }
        }
    }

    async fn submit(&mut self, step: Option<Step>) -> Result<SessionAnswer, CallFailure> {
        let (approval, confirmation) = match step {
            None => return self.ask(None, None).await,
            Some(Step::Approval(approval)) => (Some(approval), None),
            Some(Step::Confirmation(code)) => (None, Some(code)),
        };
        self.refused = None;
        match self.ask(approval, confirmation).await {
            Err(error) if error.is_rejected_input() => {
                tracing::warn!(%error, "approval or confirmation rejected");
                self.refused = Some(error.text);
                self.ask(None, None).await
            }
            other => other,
        }
    }

    async fn ask(
        &self,
        approval: Option<GivenApproval>,
        confirmation: Option<Text<32>>,
    ) -> Result<SessionAnswer, CallFailure> {
        let secret =
            self.secret.0.to_vec().try_into().map_err(|error: TooLong| CallFailure::local(&error))?;
        let step = Box::new(ApprovalStep { version: Version, secret, approval, confirmation });
        self.port.call(Call::Step(self.id, step), pick!(CallAnswer::Session)).await
    }

    /// Checks the control plane's statement: it must match this request, and must not change during the session.
    fn accept(&mut self, bytes: &StatementBytes) -> Result<&Statement, StatementError> {
        let (accepted, statement) = match self.statement.take() {
            Some(accepted) => accepted,
            None => {
                let request = Request { session: self.id, request: &self.request, evidence: self.evidence };
                let statement = request.check(bytes)?;
                self.record(DeviceFact::Opened {
                    session: self.id,
                    origin: statement.origin.clone(),
                    action: statement.action.clone(),
                    statement: bytes.digest(),
                });
                (bytes.clone(), statement)
            }
        };
        if accepted != *bytes {
            return Err(StatementError::Changed);
        }
        Ok(&self.statement.insert((accepted, statement)).1)
    }

    /// Checks an approval as far as the device can: it must cover this device's request, and its signatures must be over that
    /// request. Only the control plane knows whose keys these are.
    async fn approved(&mut self, answer: PairingApproved) -> Result<Box<Approved>, PairingError> {
        if self.statement.is_none() {
            let statement = self.accept(&answer.statement)?;
            let asked = approval::asked(&answer.statement, statement, &StatementContext::default());
            self.view.set_asked(asked);
        }
        self.accept(&answer.statement)?;
        approval::check_signatures(&answer.statement, &answer.approvals)?;
        let counter = self.port.tpm(TpmCommand::Counter, pick!(TpmAnswer::Counter)).await?;
        if answer.above > counter.ok_or(PairingError::Counter)? {
            return Err(PairingError::Ahead(answer.above));
        }
        let by: Vec<_> = answer.approvals.iter().map(|approval| approval.principal.clone()).collect();
        let text = match by.is_empty() {
            true => format!("session {} was approved automatically (no approver required)", self.id),
            false => format!("session {} was approved by {by:?}", self.id),
        };
        let event = SecurityEvent::PAIRING_APPROVED;
        self.port.push(Effect::Security(event, Some(self.request.epoch), text));
        self.record(DeviceFact::Approved { session: self.id, by });
        let attestation_name = self.attestation_name.clone();
        Ok(Box::new(Approved { version: Version, answer, attestation_name }))
    }

    /// Returns whether the session continues after this error.
    fn outlives(&self, error: &CallFailure) -> bool {
        error.is_transient && self.port.now().boot < self.deadline
    }

    fn record(&self, fact: DeviceFact) {
        self.port.push(Effect::Record { epoch: Some(self.request.epoch), moment: None, fact });
    }
}

/// Returns the proof that this TPM opens the session, and the digest of the evidence in it.
async fn prove(
    port: &Port,
    request: &PairingRequest,
    offer: &PairingOffer,
    secret: &Secret,
) -> Result<(SessionProof, Digest), PairingError> {
    let counter = super::certify_counter(port, offer.nonce).await?;
    let subject = Subject {
        device: request.device,
        pairing: PairingId::from(offer.session),
        epoch: request.epoch,
        nonce: offer.nonce,
    };
    let prepared = evidence::report(port, subject, None, &[]).await?;
    let proof = SessionProof {
        version: Version,
        request: request.clone(),
        expires: offer.expires,
        secret: secret.0.to_vec().try_into()?,
        counter_attest: counter.attest.try_into()?,
        counter_signature: counter.signature.try_into()?,
        report: prepared.report,
    };
    Ok((proof, prepared.contents.digest))
}

impl NewSession {
    /// Returns the request, for the TPM of `identity` with this counter.
    fn message(
        &self,
        identity: &Identity,
        counter: &Counter,
        host: HostFacts,
        nonce: Nonce,
    ) -> Result<PairingRequest, TooLong> {
        let PairRequest { reason, scopes, replaces, origin, again: _ } = &self.request;
        let scopes: &[Scope] = if scopes.is_empty() { &self.settings.scopes } else { scopes };
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
            host,
            nonce,
            origin: origin.clone(),
            finding: self.past.finding(&identity.ak_name),
            former: self.past.former(&identity.ak_name),
            replaces: *replaces,
            attended: self.attended,
            reason: reason.clone(),
            scopes: scopes.to_vec(),
            audiences: self.settings.audiences.clone(),
        })
    }
}
