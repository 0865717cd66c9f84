//! The control plane: state in memory, decisions by `pawl_verifier`.

use std::error::Error;

use p256::ecdsa::SigningKey;
use pawl_evidence::appraise::TpmTime;
use pawl_evidence::assurance::AuthorizationKey;
use pawl_evidence::lease::LeaseKey;
use pawl_proto::message::{
    Access, Event, EventKind, PairingApproved, PairingOffer, PairingProof, PairingRequest, Receipt, Scope,
    SessionProof, ShortText, SignedReceipt, Standing, Verdict,
};
use pawl_proto::{Digest, EventId, Nonce, SessionId};
use pawl_verifier::AcceptedState;
use pawl_verifier::entitlement::{entitlement, with_own_audience};
use pawl_verifier::event::{EventContext, Order, PendingOrder};
use pawl_verifier::incident::{TpmHistory, TpmSighting};
use pawl_verifier::lease::{LeaseIssuer, LeasePolicy};
use pawl_verifier::pairing::{
    ApprovalPolicy, Claim, EnrolledDevice, GrantSecrets, OfferKey, Pairing, PairingBasis, PairingSession,
    PairingState, PairingStatement, PairingStep, PolicyKeys, appraise_device, approve_pairing,
    check_enrolled, check_epoch, check_grant_secret, check_pairing, check_session, check_unchanged,
    epoch_above, new_pairing,
};
use pawl_verifier::receipt::verify_receipt;
use pawl_verifier::record::Fact;
use pawl_verifier::report::{ReportBasis, ReportOutcome, Terms, appraise_report};
use pawl_verifier::session::{ApprovalSession, Opening, Purpose, approve, spend, stale};
use pawl_verifier::verdict::{VerdictContext, VerdictDraft};
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const URL: &str = "https://control.example";
const INTERVAL: u32 = 300;

/// A control plane for one device.
pub(crate) struct ControlPlane {
    lease_key: LeaseKey,
    authorization_key: AuthorizationKey,
    order_key: SigningKey,
    offers: OfferKey,
    lease: LeasePolicy,
    enrolled: EnrolledDevice,
    granted: Access,
    session: Option<(ApprovalSession, PairingSession)>,
    pub(crate) pairing: Option<Pairing>,
    accepted: Vec<AcceptedState>,
    history: TpmHistory,
    pending: Vec<PendingOrder>,
    challenged_at: u64,
    sequence: u64,
    /// The assurance records. A real control plane chains them with `pawl_proto::record::Link`.
    pub(crate) records: Vec<Fact>,
}

impl ControlPlane {
    /// Enrols the device with this endorsement key, and grants it a scope.
    pub(crate) fn new(ek_public: &[u8]) -> Self {
        Self {
            lease_key: LeaseKey::new(SigningKey::random(&mut OsRng)),
            authorization_key: AuthorizationKey::new(SigningKey::random(&mut OsRng)),
            order_key: SigningKey::random(&mut OsRng),
            offers: OfferKey::new(Zeroizing::new(random())),
            lease: LeasePolicy::default(),
            enrolled: EnrolledDevice {
                ek_sha256: Digest::of(ek_public),
                standing: Standing::Active,
                standing_reason: None,
                without_certificate: true,
            },
            granted: Access { scopes: vec![Scope::lossy("telemetry")], audiences: Vec::new() },
            session: None,
            pairing: None,
            accepted: Vec::new(),
            history: TpmHistory::default(),
            pending: Vec::new(),
            challenged_at: 0,
            sequence: 0,
            records: Vec::new(),
        }
    }

    /// `POST /v1/pairings`
    pub(crate) fn offer(&self, request: &PairingRequest, now: u64) -> Result<PairingOffer> {
        let claim = Claim::parse(request)?;
        let vendor = claim.check_vendor(None, request, now)?;
        check_enrolled(Some(&self.enrolled), &claim, &vendor, None, false)?;
        let session = SessionId::from_random(random());
        Ok(self.offers.offer(&claim, request, session, now, &mut OsRng)?)
    }

    /// `POST /v1/pairings/{id}/session`. Here no person has to approve, so the session is approved at once.
    pub(crate) fn open(&mut self, id: SessionId, proof: &SessionProof, now: u64) -> Result<PairingApproved> {
        let offer = self.offers.open(id, proof, None, now)?;
        let (quoted, quote) = check_session(&offer, proof)?;
        let (basis, terms) = (self.basis(), Terms { policy: None, lease: &self.lease });
        let (claim, step) = (&offer.claim, PairingStep::Opening);
        let device = appraise_device(&basis, claim, claim.epoch, (&quoted, &quote), terms, step, now)?;
        let enrolment = check_enrolled(Some(&self.enrolled), claim, &offer.vendor_check, None, false)?;
        device.check_time()?;
        device.check_result()?;
        let policy = ApprovalPolicy { pair: 0, re_pair: 0, after_repair: 0, seconds: 600 };
        let endorsement = offer.vendor_check.describe(enrolment);
        let statement = PairingStatement {
            offer: &offer,
            endorsement: &endorsement,
            required: policy.required(self.pairing.as_ref().map(|pairing| (pairing, None)), false),
            policy,
            evidence: quoted.digest,
            boot: &device.boot,
            granted: with_own_audience(self.granted.clone(), URL),
            now,
        };
        let mut data = PairingSession::new(offer.request.clone(), endorsement.clone(), None, offer.nonce);
        let opening = Opening {
            purpose: Purpose::Pairing,
            statement: statement.build(),
            needed: 0,
            secret: proof.secret.as_bytes(),
            stranger: None,
            body: Vec::new(),
        };
        let (session, fact) = opening.open(None)?;
        let session = approve(session, now);
        // The old pairing ends with the approval, before the grant is sent.
        if let Some(pairing) = self.pairing.as_mut().filter(|pairing| pairing.state == PairingState::Live) {
            pairing.state = PairingState::Revoking;
        }
        let secrets = GrantSecrets {
            secret: Zeroizing::new(random()),
            nonce: Nonce(random()),
            policy_ref: Digest(random()),
        };
        let keys = (self.lease_key.public(), self.authorization_key.public());
        let newest = self.pairing.as_ref().map(|pairing| pairing.epoch);
        let above = epoch_above(claim.epoch, newest, self.history.highest);
        let statement = session.statement.clone();
        let approved = approve_pairing(claim, statement, Vec::new(), keys, above, &secrets, &mut OsRng)?;
        let answer = approved.answer.clone();
        data.approved = Some(approved);
        self.records.push(fact);
        self.session = Some((session, data));
        Ok(answer)
    }

    /// `POST /v1/pairings/{id}/proof`. Returns the first verdict. A real control plane also signs the link key's certificate.
    pub(crate) fn prove(&mut self, id: SessionId, proof: &PairingProof, now: u64) -> Result<Vec<u8>> {
        let (session, data) =
            self.session.take().filter(|(session, _)| session.id == id).ok_or_else(stale)?;
        let approved = data.approved.clone().ok_or_else(stale)?;
        let claim = data.claim()?;
        check_grant_secret(approved.secret, proof)?;
        let keys = PolicyKeys {
            lease: self.lease_key.name(),
            authorization: self.authorization_key.public().name(),
        };
        let proven = check_pairing(id, &claim, &approved.answer, &keys, proof)?;
        let (basis, terms) = (self.basis(), Terms { policy: None, lease: &self.lease });
        let evidence = (&proven.quoted, &proven.quote);
        let device = appraise_device(&basis, &claim, proven.epoch, evidence, terms, PairingStep::Proof, now)?;
        check_unchanged(&device.boot, session.asked()?.1.boot)?;
        let newest = self.pairing.as_ref().map(|pairing| pairing.epoch);
        check_epoch(proven.epoch, newest, approved.answer.above)?;
        device.check_time()?;
        device.check_result()?;

        let (time, evidence) = (device.report.time, proven.evidence());
        let sighting = TpmSighting { device: claim.device, time, evidence, now_ms: now * 1000 };
        self.history = self.history.begin(&sighting).ok_or_else(stale)?;
        if self.accepted.is_empty() {
            self.accepted.push(AcceptedState::at_first_pairing(device.boot.clone(), now));
        }
        let policy_ref = approved.answer.policy_ref;
        let mut pairing = new_pairing(id, &data, &claim, &proven, policy_ref, Nonce(random()), now);
        pairing.base = Some(device.report.base);
        self.pairing = Some(pairing);
        self.session = Some((spend(session), data));
        let digest = proven.quoted.digest;
        self.issue(device.report.judgement.into_draft(Standing::Active, None, digest, INTERVAL), now)
    }

    /// Handles a report on the posture topic. Returns the verdict.
    pub(crate) fn report(&mut self, message: &[u8], now: u64) -> Result<Vec<u8>> {
        let pairing = self.pairing.clone().ok_or_else(stale)?;
        let device = pairing.device;
        let accepted = self.accepted.clone();
        let basis = ReportBasis {
            pairing,
            accepted,
            challenged_at: Some(self.challenged_at),
            nvpcrs_asked: Vec::new(),
        };
        let terms = Terms { policy: None, lease: &self.lease };
        let decision = appraise_report(&basis, None, device, message, terms, now)?;
        let digest = decision.quoted.digest;
        let draft = match decision.outcome {
            ReportOutcome::Ended { .. } => return Err("the pairing has ended".into()),
            ReportOutcome::Challenge { whole } => VerdictDraft::challenge(Standing::Active, whole),
            ReportOutcome::Contradiction { reason } => return Err(reason.into()),
            ReportOutcome::Appraised(report) => {
                let evidence = &decision.quoted.evidence;
                let sighting = TpmSighting { device, time: report.time, evidence, now_ms: now * 1000 };
                let update = self.history.follow(&sighting, false);
                self.history = update.history;
                if let Some(sign) = update.sign {
                    return Err(sign.detail.into());
                }
                self.pairing.as_mut().ok_or_else(stale)?.base = Some(report.base);
                report.judgement.into_draft(Standing::Active, None, digest, INTERVAL)
            }
        };
        self.issue(draft, now)
    }

    /// Orders a revocation: for the control plane the pairing is over at once. Returns the retained event.
    pub(crate) fn revoke(&mut self, reason: &str, now: u64) -> Result<(Event, Vec<u8>)> {
        let order = Order::new(self.pairing.as_ref(), &self.pending, EventKind::Revoke)?;
        let id = EventId::from_random(random());
        let reason = ShortText::lossy(reason);
        self.sequence += 1;
        let context = EventContext { id, sequence: self.sequence, reason, now, order_key: &self.order_key };
        let issued = order.issue(context)?;
        let event = issued.event;
        self.pending.push(PendingOrder { id, kind: event.kind, epoch: event.epoch });
        self.records.extend(issued.fact);
        self.pairing.as_mut().ok_or_else(stale)?.state = issued.state;
        Ok((event, issued.message))
    }

    /// Handles a receipt on the receipt topic: the epoch has ended permanently.
    pub(crate) fn receipt(&mut self, signed: &SignedReceipt) -> Result<()> {
        let receipt: Receipt = pawl_proto::decode(signed.receipt.as_bytes(), 2048)?;
        let verified = verify_receipt(self.pairing.as_ref(), &receipt, signed)?;
        if let Some(history) = self.history.raised_to(TpmTime::new(receipt.epoch.0, verified.clock)) {
            self.history = history;
        }
        self.pending.retain(|order| order.epoch >= receipt.epoch);
        self.pairing.as_mut().ok_or_else(stale)?.state = PairingState::Ended;
        self.records.push(verified.fact);
        Ok(())
    }

    /// Signs a verdict. The next report must contain its nonce.
    fn issue(&mut self, draft: VerdictDraft, now: u64) -> Result<Vec<u8>> {
        self.sequence += 1;
        let pairing = self.pairing.as_mut().ok_or_else(stale)?;
        let issued = draft.issue(VerdictContext {
            pairing,
            entitlement: entitlement(self.granted.clone(), pairing, URL, Standing::Active),
            sequence: self.sequence,
            records: 0,
            // There is no policy that could name NvPCRs.
            nvpcrs: Vec::new(),
            nonce: Nonce(random()),
            now,
            leases: LeaseIssuer {
                key: &self.lease_key,
                policy: &self.lease,
                accepted: &self.accepted,
                held: &[],
            },
            order_key: &self.order_key,
        })?;
        let verdict: &Verdict = &issued.verdict;
        pairing.nonce = verdict.nonce;
        self.challenged_at = now;
        self.records.extend(issued.facts);
        Ok(issued.message)
    }

    fn basis(&self) -> PairingBasis {
        PairingBasis {
            newest: self.pairing.clone(),
            accepted: self.accepted.clone(),
            highest: self.history.highest,
        }
    }

    /// Returns the key that the device pins when it is paired.
    pub(crate) fn order_key(&self) -> pawl_proto::signed::OrderKey {
        (&self.order_key).into()
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
