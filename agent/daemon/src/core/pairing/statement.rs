//! Checks that the control plane's statement is this device's request.
//!
//! A technician signs the statement, and the device acts on it. So it must contain this device's own request, in this session,
//! word for word. The device cannot check `granted` (the operator decides it), `boot` (the operator's policy chooses the PCRs),
//! `endorsement` (the control plane verifies the endorsement key) and the control plane's times.

use pawl_proto::codec::DecodeError;
use pawl_proto::message::{PairingRequest, Statement, StatementBytes};
use pawl_proto::{Digest, SessionId};

/// The request of this device.
pub(super) struct Request<'a> {
    pub(super) session: SessionId,
    pub(super) request: &'a PairingRequest,
    /// SHA-256 of the evidence in its proof.
    pub(super) evidence: Digest,
}

impl Request<'_> {
    /// Decodes a statement, and checks that it is the one of this request.
    ///
    /// # Errors
    /// [`StatementError`], with the first field that differs.
    pub(super) fn check(&self, bytes: &StatementBytes) -> Result<Statement, StatementError> {
        let statement = bytes.decode()?;
        let asked = self.request;
        let holds = [
            ("session", statement.session == self.session),
            ("device", statement.device == asked.device),
            ("nonce", statement.nonce == asked.nonce),
            ("origin", statement.origin == asked.origin),
            ("action", [Statement::PAIR, Statement::RE_PAIR].contains(&statement.action.as_str())),
            ("resource", statement.resource.is_none()),
            ("subject", statement.subject.is_none()),
            ("context", statement.context.is_none()),
            ("reason", statement.reason == asked.reason),
            ("scopes", statement.scopes == asked.scopes),
            ("audiences", statement.audiences == asked.audiences),
            ("replaces", statement.replaces == asked.replaces),
            ("epoch", statement.epoch == asked.epoch),
            ("evidence", statement.evidence == self.evidence),
        ];
        match holds.into_iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(StatementError::Differs(field)),
            None => Ok(statement),
        }
    }
}

/// Why a statement is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatementError {
    #[error("the control plane's statement is malformed: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the control plane's statement does not have the {0} of this device's request")]
    Differs(&'static str),
    #[error("the control plane changed its statement during the session")]
    Changed,
}

#[cfg(test)]
mod tests {
    use pawl_proto::codec::Version;
    use pawl_proto::message::{Access, Finding, HostFacts, ShortText};
    use pawl_proto::{DeviceId, Epoch, Nonce, Text};

    use super::*;

    const EVIDENCE: Digest = Digest([2; 32]);

    fn session() -> SessionId {
        SessionId::from_random([1; 16])
    }

    fn text(text: &str) -> ShortText {
        Text::new(text).unwrap()
    }

    fn request() -> PairingRequest {
        let bytes = |bytes: &[u8]| bytes.to_vec().try_into().unwrap();
        PairingRequest {
            version: Version,
            device: DeviceId::from_digest([3; 32]),
            endorsement_key: bytes(b"ek"),
            endorsement_certificates: Vec::new(),
            attestation_key: bytes(b"ak"),
            counter: bytes(b"counter"),
            epoch: Epoch(7),
            host: HostFacts::default(),
            nonce: Nonce([4; 32]),
            origin: text("uid 0; ssh 192.0.2.7"),
            finding: Finding::NothingChanged,
            former: None,
            replaces: None,
            attended: true,
            reason: text("new board"),
            scopes: vec![Text::new("telemetry").unwrap()],
            audiences: vec![Text::new("https://api.example").unwrap()],
        }
    }

    fn statement(request: &PairingRequest) -> Statement {
        Statement {
            version: Version,
            session: session(),
            device: request.device,
            nonce: request.nonce,
            origin: request.origin.clone(),
            action: text(Statement::RE_PAIR),
            resource: None,
            subject: None,
            context: None,
            reason: request.reason.clone(),
            scopes: request.scopes.clone(),
            audiences: request.audiences.clone(),
            granted: Some(Access::default()),
            replaces: None,
            endorsement: Some(text("certificate, CA vendor.pem")),
            epoch: request.epoch,
            evidence: EVIDENCE,
            boot: Digest([5; 32]),
            time: 10,
            expires: 610,
        }
    }

    fn check(change: impl FnOnce(&mut Statement)) -> Result<Statement, StatementError> {
        let request = request();
        let mut statement = statement(&request);
        change(&mut statement);
        let asked = Request { session: session(), request: &request, evidence: EVIDENCE };
        asked.check(&StatementBytes::of(&statement).unwrap())
    }

    #[test]
    fn the_statement_of_this_request_is_accepted_with_any_times() {
        check(|_| {}).unwrap();
        check(|statement| (statement.time, statement.expires) = (99, 100)).unwrap();
        check(|statement| statement.action = text(Statement::PAIR)).unwrap();
    }

    #[test]
    fn a_statement_with_a_different_field_is_refused() {
        type Change = fn(&mut Statement);
        let changes: [(&str, Change); 14] = [
            ("session", |statement| statement.session = SessionId::from_random([9; 16])),
            ("device", |statement| statement.device = DeviceId::from_digest([9; 32])),
            ("nonce", |statement| statement.nonce = Nonce([9; 32])),
            ("origin", |statement| statement.origin = text("uid 1000")),
            ("action", |statement| statement.action = text("firmware-update")),
            ("resource", |statement| statement.resource = Some(text("pump"))),
            ("subject", |statement| statement.subject = Some(Digest([9; 32]))),
            ("context", |statement| statement.context = Some(text("job 7"))),
            ("reason", |statement| statement.reason = text("another board")),
            ("scopes", |statement| statement.scopes.push(Text::new("admin").unwrap())),
            ("audiences", |statement| statement.audiences.clear()),
            ("replaces", |statement| statement.replaces = Some(DeviceId::from_digest([9; 32]))),
            ("epoch", |statement| statement.epoch = Epoch(8)),
            ("evidence", |statement| statement.evidence = Digest([9; 32])),
        ];
        for (field, change) in changes {
            let refused = check(change);
            assert!(matches!(refused, Err(StatementError::Differs(named)) if named == field), "{field}");
        }
    }
}
