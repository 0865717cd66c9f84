//! What persons signed, and what stands on it.

use pawl_approval::{NAMESPACE, Signature, Touch};
use pawl_proto::Blob;
use pawl_proto::message::{Scope, ShortText, Statement, StatementBytes};

use super::context::{Approved, Context, Done, Outcome, bytes, ensure, sha256};
use pawl_verifier::record::{ApprovedBy, Fact};

/// The statement in a record.
pub(super) fn read(statement: &str) -> Result<Approved, String> {
    let bytes = StatementBytes(Blob::new(bytes(statement)?).map_err(|error| error.to_string())?);
    let statement = bytes.decode().map_err(|error| error.to_string())?;
    Ok(Approved { statement, digest: bytes.digest() })
}

/// Each person named signed the statement, with a key that was theirs, before it expired.
pub(super) fn approved(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Approved { session, action, origin, statement, by, .. } = fact else {
        return Ok(Done::Nothing);
    };
    let Approved { statement, digest } = read(statement)?;
    let same = statement.session.to_string() == *session
        && [Some(statement.device), statement.replaces].contains(&Some(context.device))
        && statement.action.as_str() == action
        && statement.origin.as_str() == origin;
    ensure(same, "the statement is about something else")?;
    for person in by {
        signed(context, &statement, &digest.to_string(), person)
            .map_err(|problem| format!("{}: {problem}", person.principal))?;
    }
    Ok(Done::Holds(super::count(by.len())))
}

fn signed(context: &Context, statement: &Statement, message: &str, by: &ApprovedBy) -> Result<(), String> {
    let key = Signature::parse(&by.signature)
        .and_then(|signature| signature.verify(NAMESPACE, message.as_bytes(), Touch::Require))
        .map_err(|error| error.to_string())?;
    ensure(key.fingerprint().to_string() == by.key, "the signature is by another key")?;
    let signers = context.approvers.as_ref().map_err(Clone::clone)?;
    let approver = signers.approver(&key, NAMESPACE, by.time).map_err(|error| error.to_string())?;
    ensure(approver.principal.as_str() == by.principal, "the key is another person's")?;
    ensure((statement.time..=statement.expires).contains(&by.time), "it was not given in the session's time")
}

/// A pairing has the approval of its own session, and no scope beyond it.
pub(super) fn pairing(context: &Context, pairing: &str, scopes: &[String], recorded: bool) -> Outcome {
    if !recorded {
        return Ok(Done::Nothing);
    }
    let approved = context.approved.get(pairing).ok_or("no approval of its session stands before it")?;
    let wanted = &approved.statement;
    let action = wanted.action.as_str();
    ensure([Statement::PAIR, Statement::RE_PAIR].contains(&action), "what was approved is no pairing")?;
    let within = scopes.iter().all(|scope| wanted.scopes.iter().map(Scope::as_str).any(|held| held == scope));
    ensure(within, "it has scopes that were not approved")?;
    Ok(Done::Holds(1))
}

/// An action was authorized as it was approved, in its own session and in the current pairing.
pub(super) fn assurance(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Assurance {
        session,
        pairing,
        epoch,
        action,
        resource,
        subject,
        context: workload,
        origin,
        statement,
        ..
    } = fact
    else {
        return Ok(Done::Nothing);
    };
    let paired = context.pairing()?;
    ensure(
        paired.pairing == *pairing && paired.epoch == *epoch,
        "it is for another pairing than the current",
    )?;
    let approved = context.approved.get(session).ok_or("no approval of its session stands before it")?;
    ensure(sha256(statement)? == approved.digest, "another statement was approved")?;
    let wanted = &approved.statement;
    let same = wanted.action.as_str() == action
        && wanted.resource.as_ref().map(ShortText::as_str) == Some(resource)
        && wanted.subject.map(|subject| subject.to_string()).as_ref() == Some(subject)
        && wanted.context.as_ref().map(ShortText::as_str) == Some(workload)
        && wanted.origin.as_str() == origin
        && wanted.epoch.0 == *epoch;
    ensure(same, "something else was approved")?;
    Ok(Done::Holds(1))
}
