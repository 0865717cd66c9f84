//! Models of a control plane, a disk and a host, for pairings.

use p256::ecdsa::SigningKey;
use pawl_evidence::lease::lease_key_public;
use pawl_proto::message::{
    Approval, ApprovalStep, Broker, Credential, Evidence, PairingApproved, PairingGrant, PairingOffer,
    PairingProof, PairingRequest, RefusalCode, SessionProof, Statement, StatementBytes, Waiting,
};
use pawl_proto::{Blob, DeviceId, PairingId, SessionId, limits};

use super::soft_tpm::{AK_NAME, SoftTpm};
use super::*;

/// A control plane that approves at once, or after `needed` submissions.
pub(super) struct Plane {
    pub(super) key: SigningKey,
    /// The number of missing approvals.
    pub(super) needed: u8,
    pub(super) above: u64,
    statement: Option<StatementBytes>,
    session: SessionId,
    /// The number of requested sessions.
    pub(super) sessions: u8,
    proof: Option<PairingProof>,
    pub(super) alter_statement: fn(&mut Statement),
    pub(super) alter_approval: fn(&mut PairingApproved),
    pub(super) alter_grant: fn(&mut PairingGrant),
    /// The steps that were received.
    pub(super) steps: Vec<ApprovalStep>,
    pub(super) request: Option<PairingRequest>,
}

impl Plane {
    pub(super) fn new(key: SigningKey, above: u64) -> Self {
        Self {
            key,
            needed: 0,
            above,
            statement: None,
            session: SessionId::from_random([0; 16]),
            sessions: 0,
            proof: None,
            alter_statement: |_| {},
            alter_approval: |_| {},
            alter_grant: |_| {},
            steps: Vec::new(),
            request: None,
        }
    }

    pub(super) fn answer(&mut self, call: &Call) -> Result<CallAnswer, CallFailure> {
        Ok(match call {
            Call::Receipt(_) => CallAnswer::ReceiptTaken(None),
            Call::Token(name) => panic!("a token was requested: {name}"),
            Call::RequestPairing(request) => {
                self.request = Some((**request).clone());
                self.sessions += 1;
                (self.session, self.proof) = (SessionId::from_random([self.sessions; 16]), None);
                CallAnswer::Offered(Box::new(PairingOffer {
                    version: Version,
                    session: self.session,
                    credential: credential(),
                    nonce: Nonce([3; 32]),
                    expires: 1,
                }))
            }
            Call::OpenSession(id, proof) => {
                assert_eq!(*id, self.session);
                self.statement = Some(self.state(proof));
                CallAnswer::Session(self.session_answer())
            }
            Call::Step(_, step) => {
                self.steps.push((**step).clone());
                if step.approval.is_some() || step.confirmation.is_some() {
                    self.needed = self.needed.saturating_sub(1);
                }
                CallAnswer::Session(self.session_answer())
            }
            // The same proof gets the same grant; another proof gets none.
            Call::Prove(_, proof) if self.proof.as_ref().is_some_and(|before| *before != **proof) => {
                return Err(refusal(RefusalCode::Stale));
            }
            Call::Prove(_, proof) => {
                self.proof = Some((**proof).clone());
                CallAnswer::Granted(Box::new(self.grant(proof)))
            }
        })
    }

    fn state(&self, proof: &SessionProof) -> StatementBytes {
        let request = &proof.request;
        let mut statement = Statement {
            version: Version,
            session: self.session,
            device: request.device,
            nonce: request.nonce,
            origin: request.origin.clone(),
            action: Text::lossy(Statement::RE_PAIR),
            resource: None,
            subject: None,
            context: None,
            reason: request.reason.clone(),
            scopes: request.scopes.clone(),
            audiences: request.audiences.clone(),
            granted: None,
            replaces: request.replaces,
            endorsement: None,
            epoch: request.epoch,
            evidence: Digest::of(proof.report.evidence.as_bytes()),
            boot: Digest([0; 32]),
            time: 1,
            expires: 601,
        };
        (self.alter_statement)(&mut statement);
        StatementBytes::of(&statement).unwrap()
    }

    /// Changes the statement of the open session.
    pub(super) fn restate(&mut self) {
        let mut statement = self.statement.as_ref().unwrap().decode().unwrap();
        (self.alter_statement)(&mut statement);
        self.statement = Some(StatementBytes::of(&statement).unwrap());
    }

    /// Returns the state of the session.
    pub(super) fn session_answer(&self) -> SessionAnswer {
        let statement = self.statement.clone().unwrap();
        if self.needed > 0 {
            return SessionAnswer::Waiting(Box::new(Waiting {
                version: Version,
                statement,
                approval: Approval {
                    user_code: Text::lossy("CODE"),
                    url: Text::lossy("https://plane.example"),
                },
                needed: self.needed,
                approved: Vec::new(),
                unconfirmed: 0,
                tries_left: 5,
                expires_in: 600,
                retry_after: 5,
                known: pawl_proto::message::StatementContext::default(),
            }));
        }
        let mut approved = approved(statement, self.above);
        (self.alter_approval)(&mut approved);
        SessionAnswer::Approved(Box::new(approved))
    }

    fn grant(&self, proof: &PairingProof) -> PairingGrant {
        let bytes = proof.report.evidence.as_bytes();
        let evidence: Evidence = pawl_proto::codec::decode(bytes, limits::MESSAGE).unwrap();
        let (device, pairing, epoch) = (evidence.device, evidence.pairing, evidence.epoch);
        assert_eq!(pairing, PairingId::from(self.session));
        let verdict = signed::sign(
            &first_verdict(device, pairing, epoch),
            &Topic::new(device, Channel::Verdict),
            &self.key,
        );
        let mut grant = PairingGrant {
            version: Version,
            pairing,
            device,
            epoch,
            control_plane: Text::lossy("plane"),
            endorsement: Text::lossy("none"),
            link_certificates: Vec::new(),
            broker: Broker { host: Text::default(), port: 1, authority: Vec::new().try_into().unwrap() },
            scopes: Vec::new(),
            order_keys: vec![OrderKey::from(&self.key)],
            verdict: verdict.unwrap().try_into().unwrap(),
        };
        (self.alter_grant)(&mut grant);
        grant
    }
}

fn credential() -> Credential {
    Credential { id_object: vec![1].try_into().unwrap(), secret: vec![7; 32].try_into().unwrap() }
}

/// Returns an approval of this statement. The model of the TPM accepts any credential.
pub(super) fn approved(statement: StatementBytes, above: u64) -> PairingApproved {
    let lease_key = lease_key_public(&[1; 32], &[2; 32]).as_bytes().to_vec();
    PairingApproved {
        version: Version,
        statement,
        approvals: Vec::new(),
        credential: credential(),
        nonce: Nonce([4; 32]),
        lease_key: lease_key.clone().try_into().unwrap(),
        authorization_key: lease_key.try_into().unwrap(),
        policy_ref: Digest([3; 32]),
        above: Epoch(above),
    }
}

fn first_verdict(device: DeviceId, pairing: PairingId, epoch: Epoch) -> Verdict {
    Verdict {
        version: Version,
        device,
        pairing,
        epoch,
        sequence: 1,
        time: 1,
        answers: None,
        entitlement: Entitlement { standing: Standing::Active, scopes: Vec::new(), audiences: Vec::new() },
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
    }
}

/// A disk on which each write succeeds completely or fails.
pub(super) struct Disk {
    pub(super) pairing: Option<PairingRecord>,
    has_keys: bool,
    pub(super) approved: Option<Box<Approved>>,
    has_begun_keys: bool,
    staged: Option<PairingRecord>,
    pub(super) revocation: Option<Revocation>,
    receipts: BTreeMap<Epoch, Vec<u8>>,
    pub(super) is_reserved: bool,
    pub(super) is_full: bool,
}

impl Disk {
    pub(super) fn new(pairing: Option<PairingRecord>) -> Self {
        Self {
            has_keys: pairing.is_some(),
            pairing,
            approved: None,
            has_begun_keys: false,
            staged: None,
            revocation: None,
            receipts: BTreeMap::new(),
            is_reserved: false,
            is_full: false,
        }
    }

    pub(super) fn write(&mut self, write: &Write) -> Result<(), String> {
        if self.is_full && matches!(write, Write::Reserve | Write::Approved(_) | Write::Stage(_)) {
            return Err("no space left".to_owned());
        }
        match write {
            Write::Reserve => self.is_reserved = true,
            Write::Release => self.is_reserved = false,
            Write::Approved(approved) => {
                (self.approved, self.has_begun_keys) = (Some(approved.clone()), false);
            }
            Write::BeginKeys(_) => self.has_begun_keys = true,
            Write::DiscardUnfinished => (self.approved, self.staged) = (None, None),
            Write::Stage(staged) => (self.staged, self.is_reserved) = (Some(staged.record.clone()), false),
            Write::Commit => {
                self.pairing = Some(self.staged.take().ok_or("nothing is staged")?);
                (self.approved, self.revocation, self.has_keys) = (None, None, true);
            }
            Write::RevocationNote(revocation) | Write::Revocation(revocation) => {
                if self.pairing.as_ref().is_none_or(|record| record.epoch == revocation.ended) {
                    self.revocation = Some(revocation.clone());
                }
            }
            Write::DestroyKeys => self.has_keys = false,
            Write::Receipt(epoch, receipt) => drop(self.receipts.insert(*epoch, receipt.clone())),
            Write::RemoveReceipt(epoch) => drop(self.receipts.remove(epoch)),
            Write::ForgetPairing => (self.pairing, self.revocation) = (None, None),
            Write::Verdict { .. } | Write::RemoveLease | Write::Vault => {}
        }
        Ok(())
    }

    pub(super) fn found(&self, tpm: &SoftTpm) -> Found {
        Found {
            unfinished: match (&self.staged, &self.approved) {
                (Some(_), _) => Unfinished::Staged,
                (None, Some(approved)) => {
                    Unfinished::Approved { approved: approved.clone(), may_have_keys: self.has_begun_keys }
                }
                (None, None) => Unfinished::Nothing,
            },
            pairing: Ok(self.pairing.clone()),
            keys: Ok(self.has_keys),
            revocation: self.revocation.clone(),
            verdict: None,
            lease: None,
            receipts: self.receipts.clone().into_iter().collect(),
            counter: tpm.counter.map(Epoch),
            attestation_name: Some(AK_NAME.to_vec()),
        }
    }
}

/// Returns the host's answer, with these logs.
pub(super) fn gathered(gather: Gather, logs: &GatheredLogs) -> Gathered {
    match gather {
        Gather::Host => Gathered::Host { facts: HostFacts::default(), nonce: Nonce([8; 32]) },
        Gather::Logs(_) => Gathered::Logs(Box::new(logs.clone())),
    }
}

/// Returns the answer of a host without logs.
pub(super) fn no_logs() -> GatheredLogs {
    GatheredLogs {
        boot_id: Text::lossy("boot"),
        run: Nonce([1; 32]),
        facts: None,
        health: HostHealth::default(),
        boot: None,
        measure: None,
        named_nvpcrs: None,
        ima: None,
        audit: None,
    }
}

/// Returns an approval that was given at the device.
pub(super) fn given() -> pawl_proto::message::GivenApproval {
    pawl_proto::message::GivenApproval {
        statement: StatementBytes(Blob::new(b"statement".to_vec()).unwrap()),
        signature: Blob::new(b"signature".to_vec()).unwrap(),
    }
}

pub(super) fn silence() -> CallFailure {
    CallFailure {
        text: "timed out".to_owned(),
        remedy: "check the network".to_owned(),
        is_transient: true,
        refusal: None,
    }
}

pub(super) fn refusal(code: RefusalCode) -> CallFailure {
    let (text, remedy) = ("no".to_owned(), "ask".to_owned());
    CallFailure { text, remedy, is_transient: false, refusal: Some(code) }
}
