//! Compares the statement with this command's request before a key signs it.

use pawl_local_api::Asked;
use pawl_proto::message::{Scope, ShortText, Statement, StatementBytes};
use pawl_proto::{DeviceId, Digest, SessionId};

use super::waiting::access;
use crate::exit::{Exit, Failure};
use crate::output::{FieldList, utc, words};

/// The fields that this command requested; `None` for fields that it does not know. A key signs only a statement that matches.
#[derive(Clone, Debug)]
pub(crate) struct Requested {
    pub(crate) device: DeviceId,
    pub(crate) purpose: Purpose,
    /// How the caller reached the device. In the statement, the daemon has put the user before it.
    pub(crate) origin: Option<ShortText>,
    pub(crate) reason: Option<ShortText>,
    pub(crate) scopes: Option<Vec<Scope>>,
    pub(crate) replaces: Option<Option<DeviceId>>,
    pub(crate) resource: Option<Option<ShortText>>,
    pub(crate) subject: Option<Option<Digest>>,
    pub(crate) context: Option<Option<ShortText>>,
}

/// The purpose of the approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Pairing,
    Action(ShortText),
    /// An action that another command requested.
    AnyAction,
}

impl Purpose {
    fn covers(&self, action: &str) -> bool {
        let pairing = [Statement::PAIR, Statement::RE_PAIR].contains(&action);
        match self {
            Self::Pairing => pairing,
            Self::Action(name) => name.as_str() == action && !pairing,
            Self::AnyAction => !pairing,
        }
    }
}

impl Requested {
    /// Returns the bytes to sign, and the statement in them.
    ///
    /// # Errors
    /// If they are not a statement, or a statement for another session or another request. Then somebody between this command and
    /// the control plane may be trying to obtain a signature for a purpose of their own.
    pub(super) fn check(
        &self,
        asked: &Asked,
        session: Option<SessionId>,
    ) -> Result<(StatementBytes, Statement), Failure> {
        let bytes = hex::decode(&asked.statement).map_err(|_| differs("statement"))?;
        let bytes = StatementBytes(bytes.try_into().map_err(|_| differs("statement"))?);
        let statement = bytes.decode().map_err(|_| differs("statement"))?;
        if asked.digest != bytes.to_be_signed() {
            return Err(differs("digest"));
        }
        if session.is_some_and(|session| session != statement.session) {
            return Err(differs("session"));
        }
        match self.difference(&statement) {
            None => Ok((bytes, statement)),
            Some(field) => Err(differs(field)),
        }
    }

    /// Returns the first field in which the statement differs from the request.
    fn difference(&self, statement: &Statement) -> Option<&'static str> {
        fn other<T: PartialEq>(requested: Option<&T>, stated: &T) -> bool {
            requested.is_some_and(|requested| requested != stated)
        }
        let origin = |requested: &ShortText| statement.origin.as_str().ends_with(requested.as_str());
        let fields = [
            ("device", self.device != statement.device),
            ("action", !self.purpose.covers(statement.action.as_str())),
            ("origin", !self.origin.as_ref().is_none_or(origin)),
            ("reason", other(self.reason.as_ref(), &statement.reason)),
            ("scopes", other(self.scopes.as_ref(), &statement.scopes)),
            ("replaces", other(self.replaces.as_ref(), &statement.replaces)),
            ("resource", other(self.resource.as_ref(), &statement.resource)),
            ("digest of the input", other(self.subject.as_ref(), &statement.subject)),
            ("session of the workload", other(self.context.as_ref(), &statement.context)),
        ];
        fields.into_iter().find_map(|(field, differs)| differs.then_some(field))
    }
}

fn differs(field: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        "statement-differs",
        format!("nothing was signed: the statement differs from your request ({field})"),
        "try again; if it happens again, do not trust this device or its control plane, and call the operator",
    )
}

/// Shows every field of the statement.
pub(super) fn show(fields: &mut FieldList, statement: &Statement) {
    let optional = |value: &Option<ShortText>| value.as_ref().map(ToString::to_string).unwrap_or_default();
    fields.line("action", statement.action.as_str());
    fields.line("device", statement.device.as_str());
    fields.line("session", &statement.session.to_string());
    fields.line("origin", statement.origin.as_str());
    fields.line("reason", statement.reason.as_str());
    fields.line("scopes", &words(&statement.scopes));
    fields.line("audiences", &words(&statement.audiences));
    if let Some(granted) = &statement.granted {
        fields.line("granted", &access(granted));
    }
    fields.line("replaces", &statement.replaces.as_ref().map(ToString::to_string).unwrap_or_default());
    fields.line("EK", &optional(&statement.endorsement));
    fields.line("resource", &optional(&statement.resource));
    fields.line("subject", &statement.subject.map(|digest| digest.to_string()).unwrap_or_default());
    fields.line("for", &optional(&statement.context));
    fields.line("epoch", &statement.epoch.to_string());
    fields.line("evidence", &statement.evidence.to_string());
    fields.line("boot", &statement.boot.to_string());
    fields.line("opened", &utc(statement.time));
    fields.line("until", &utc(statement.expires));
}

#[cfg(test)]
mod tests {
    use pawl_proto::codec::Version;
    use pawl_proto::message::{Access, Audience, StatementContext};
    use pawl_proto::{Epoch, Nonce};

    use super::*;
    use crate::output::Style;

    fn text(text: &str) -> ShortText {
        ShortText::new(text).unwrap()
    }

    fn device(last: char) -> DeviceId {
        format!("abcdefghijklmnopqrstuvwxyz23456{last}").parse().unwrap()
    }

    fn statement() -> Statement {
        Statement {
            version: Version,
            session: SessionId::from_random([1; 16]),
            device: device('7'),
            nonce: Nonce([2; 32]),
            origin: text("uid 0; ssh 192.0.2.7"),
            action: text("re-pair"),
            resource: None,
            subject: None,
            context: None,
            reason: text("new disk"),
            scopes: vec![Scope::new("telemetry").unwrap()],
            audiences: vec![Audience::new("https://api.example").unwrap()],
            granted: Some(Access {
                scopes: vec![Scope::new("door").unwrap()],
                audiences: vec![Audience::new("https://control.example").unwrap()],
            }),
            replaces: None,
            endorsement: None,
            epoch: Epoch(7),
            evidence: Digest([3; 32]),
            boot: Digest([4; 32]),
            time: 1_767_225_599,
            expires: 1_767_226_199,
        }
    }

    fn asked(statement: &Statement) -> Asked {
        let bytes = StatementBytes::of(statement).unwrap();
        Asked {
            statement: hex::encode(bytes.0.as_bytes()),
            digest: bytes.to_be_signed(),
            action: String::new(),
            origin: String::new(),
            reason: String::new(),
            scopes: Vec::new(),
            audiences: Vec::new(),
            granted: None,
            replaces: None,
            endorsement: None,
            known: StatementContext::default(),
        }
    }

    fn request() -> Requested {
        Requested {
            device: device('7'),
            purpose: Purpose::Pairing,
            origin: Some(text("ssh 192.0.2.7")),
            reason: Some(text("new disk")),
            scopes: Some(vec![Scope::new("telemetry").unwrap()]),
            replaces: Some(None),
            resource: Some(None),
            subject: Some(None),
            context: Some(None),
        }
    }

    #[test]
    fn a_statement_that_matches_the_request_is_signed() {
        let (bytes, decoded) =
            request().check(&asked(&statement()), Some(SessionId::from_random([1; 16]))).unwrap();
        assert_eq!(decoded, statement());
        assert_eq!(bytes.to_be_signed(), asked(&statement()).digest);
    }

    #[test]
    fn a_statement_that_differs_in_one_field_is_not_signed() {
        type Alter = fn(&mut Statement);
        let alterations: [(&str, Alter); 9] = [
            ("device", |statement| statement.device = device('6')),
            ("action", |statement| statement.action = text("firmware-update")),
            ("origin", |statement| statement.origin = text("uid 0; ssh 198.51.100.1")),
            ("reason", |statement| statement.reason = text("new board")),
            ("scopes", |statement| statement.scopes.push(Scope::new("updates").unwrap())),
            ("replaces", |statement| statement.replaces = Some(device('6'))),
            ("resource", |statement| statement.resource = Some(text("/dev/mtd0"))),
            ("digest of the input", |statement| statement.subject = Some(Digest([0; 32]))),
            ("session of the workload", |statement| statement.context = Some(text("x"))),
        ];
        for (field, alter) in alterations {
            let mut other = statement();
            alter(&mut other);
            let failure = request().check(&asked(&other), None).unwrap_err();
            assert!(failure.problem.reason.contains(&format!("({field}")), "{field}: {failure:?}");
        }
        let failure =
            request().check(&asked(&statement()), Some(SessionId::from_random([9; 16]))).unwrap_err();
        assert!(failure.problem.reason.contains("(session)"), "{failure:?}");
    }

    #[test]
    fn an_action_is_never_a_pairing() {
        for pairing in ["pair", "re-pair"] {
            assert!(Purpose::Pairing.covers(pairing));
            assert!(!Purpose::AnyAction.covers(pairing) && !Purpose::Action(text(pairing)).covers(pairing));
        }
        assert!(Purpose::AnyAction.covers("update") && Purpose::Action(text("update")).covers("update"));
        assert!(!Purpose::Pairing.covers("update") && !Purpose::Action(text("update")).covers("open"));
    }

    #[test]
    fn a_digest_of_other_bytes_is_not_signed() {
        let mut lie = asked(&statement());
        lie.digest = lie.digest.replace('0', "1");
        assert!(request().check(&lie, None).unwrap_err().problem.reason.contains("(digest)"));
        for bytes in ["", "zz", "00", &"00".repeat(10_000)] {
            let mut lie = asked(&statement());
            lie.statement = bytes.to_owned();
            assert!(request().check(&lie, None).unwrap_err().problem.reason.contains("(statement)"));
        }
    }

    #[test]
    fn the_whole_statement_is_shown() {
        let mut fields = FieldList::new(Style::never());
        let all = Statement {
            replaces: Some(device('6')),
            endorsement: Some(text("no certificate; enrolled --without-certificate")),
            resource: Some(text("/dev/mtd0")),
            subject: Some(Digest([5; 32])),
            context: Some(text("update 9")),
            ..statement()
        };
        show(&mut fields, &all);
        let expected = format!(
            "  action    re-pair
  device    abcdefghijklmnopqrstuvwxyz234567
  session   01010101010101010101010101010101
  origin    uid 0; ssh 192.0.2.7
  reason    new disk
  scopes    telemetry
  audiences https://api.example
  granted   scopes door; audiences https://control.example
  replaces  abcdefghijklmnopqrstuvwxyz234566
  EK        no certificate; enrolled --without-certificate
  resource  /dev/mtd0
  subject   {}
  for       update 9
  epoch     7
  evidence  {}
  boot      {}
  opened    2025-12-31 23:59:59 UTC
  until     2026-01-01 00:09:59 UTC
",
            "05".repeat(32),
            "03".repeat(32),
            "04".repeat(32),
        );
        assert_eq!(fields.into_text(), expected);
    }
}
