//! Verifies the facts of records: approvals, the pairings and actions that they allow, quotes and receipts of the TPM,
//! and leases.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use pawl_approval::{NAMESPACE, Signature, Touch};
use pawl_evidence::attest::{AttestError, VerifiedAttest};
use pawl_evidence::lease::{LeaseTerms, to_be_signed};
use pawl_evidence::tpm::{PcrSelection, PcrValues};
use pawl_proto::message::{Receipt, Scope, ShortText, Statement, StatementBytes};
use pawl_proto::{Blob, Digest, limits};
use pawl_verifier::pairing::verifying_key;
use pawl_verifier::record::{ApprovedBy, Attested, Fact, TpmTime};
use pawl_verifier::report::bank_hash;

use super::context::{Approved, Context, Outcome, Paired, Verified, bytes, ensure, name, sha256};

/// Decodes the statement in a record.
pub(super) fn read_statement(statement: &str) -> Result<Approved, String> {
    let bytes = StatementBytes(Blob::new(bytes(statement)?).map_err(|error| error.to_string())?);
    let statement = bytes.decode().map_err(|error| error.to_string())?;
    Ok(Approved { statement, digest: bytes.digest() })
}

/// Verifies that each named person signed the statement with their own key before it expired.
pub(super) fn check_approval(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Approved { session, action, origin, statement, by, .. } = fact else {
        return Ok(Verified::Nothing);
    };
    let Approved { statement, digest } = read_statement(statement)?;
    let same = statement.session.to_string() == *session
        && [Some(statement.device), statement.replaces].contains(&Some(context.device))
        && statement.action.as_str() == action
        && statement.origin.as_str() == origin;
    ensure(same, "the statement is for another session, device, action or origin")?;
    for person in by {
        check_signature(context, &statement, &digest.to_string(), person)
            .map_err(|problem| format!("{}: {problem}", person.principal))?;
    }
    Ok(Verified::Claims(super::count(by.len())))
}

fn check_signature(
    context: &Context,
    statement: &Statement,
    message: &str,
    by: &ApprovedBy,
) -> Result<(), String> {
    let key = Signature::parse(&by.signature)
        .and_then(|signature| signature.verify(NAMESPACE, message.as_bytes(), Touch::Require))
        .map_err(|error| error.to_string())?;
    ensure(key.fingerprint().to_string() == by.key, "the signature is by another key")?;
    let signers = context.approvers.as_ref().map_err(Clone::clone)?;
    let approver = signers.approver(&key, NAMESPACE, by.time).map_err(|error| error.to_string())?;
    ensure(approver.principal.as_str() == by.principal, "the key is another person's")?;
    ensure(
        (statement.time..=statement.expires).contains(&by.time),
        "it was not given while the session was open",
    )
}

/// Verifies that a pairing has the approval of its session, and only approved scopes.
pub(super) fn check_pairing(context: &Context, pairing: &str, scopes: &[String], recorded: bool) -> Outcome {
    if !recorded {
        return Ok(Verified::Nothing);
    }
    let approved = context.approved.get(pairing).ok_or("no approval of its session precedes it")?;
    let approved_statement = &approved.statement;
    let action = approved_statement.action.as_str();
    ensure([Statement::PAIR, Statement::RE_PAIR].contains(&action), "the approval is not for a pairing")?;
    let within = scopes
        .iter()
        .all(|scope| approved_statement.scopes.iter().map(Scope::as_str).any(|held| held == scope));
    ensure(within, "it has scopes that were not approved")?;
    Ok(Verified::Claims(1))
}

/// Verifies that an action was authorized as approved, in its session and in the current pairing.
pub(super) fn check_assurance(context: &Context, fact: &Fact) -> Outcome {
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
        return Ok(Verified::Nothing);
    };
    let paired = context.pairing()?;
    ensure(
        paired.pairing == *pairing && paired.epoch == *epoch,
        "it is for another pairing than the current",
    )?;
    let approved = context.approved.get(session).ok_or("no approval of its session precedes it")?;
    ensure(sha256(statement)? == approved.digest, "the approval is for another statement")?;
    let approved_statement = &approved.statement;
    let same = approved_statement.action.as_str() == action
        && approved_statement.resource.as_ref().map(ShortText::as_str) == Some(resource)
        && approved_statement.subject.map(|subject| subject.to_string()).as_ref() == Some(subject)
        && approved_statement.context.as_ref().map(ShortText::as_str) == Some(workload)
        && approved_statement.origin.as_str() == origin
        && approved_statement.epoch.0 == *epoch;
    ensure(same, "the approval is for another action, resource, input, workload, origin or epoch")?;
    Ok(Verified::Claims(1))
}

/// Verifies that the pairing's TPM made the quote of a verdict over this evidence.
pub(super) fn check_quote(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Verdict { evidence, quote, signature, at, .. } = fact else { return Ok(Verified::Nothing) };
    let covered = sha256(evidence)?;
    let attest = verify_attest(context, context.pairing()?, quote, signature, covered)?;
    check_time(&attest, *at)?;
    // The record does not contain the PCR values: this verifies only that the attestation is a quote.
    match attest.quote(&PcrValues::default()) {
        Err(error @ AttestError::Kind { .. }) => Err(error.to_string()),
        _ => Ok(Verified::Claims(1)),
    }
}

/// Verifies that the TPM of the ended pairing certified a receipt.
pub(super) fn check_receipt(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Receipt { ended, epoch, event, reason, receipt: digest, attested: Some(attested), at, .. } =
        fact
    else {
        return Ok(Verified::Nothing);
    };
    let paired = context.pairing_in(*ended)?;
    let Some(counter) = &paired.counter else { return Ok(Verified::Nothing) };
    let covers = bytes(&attested.covers)?;
    let covered = Digest::of(&covers);
    ensure(covered.to_string() == *digest, "the receipt does not match its digest")?;
    let Attested { attest, signature, .. } = attested;
    let attest = verify_attest(context, paired, attest, signature, covered)?;
    check_time(&attest, *at)?;
    let value = attest.nv_counter(&name(counter)?).map_err(|error| error.to_string())?;
    ensure(value == *epoch && ended < epoch, "the TPM certified another value of the counter")?;

    let said: Receipt = pawl_proto::decode(&covers, limits::ORDER).map_err(|error| error.to_string())?;
    let same = said.device == context.device
        && (said.ended.0, said.epoch.0) == (*ended, *epoch)
        && said.pairing.to_string() == paired.pairing
        && said.event.map(|event| event.to_string()) == *event
        && said.reason.as_str() == reason;
    ensure(same, "the receipt does not match the record")?;
    Ok(Verified::Claims(1))
}

fn verify_attest(
    context: &Context,
    paired: &Paired,
    attest: &str,
    signature: &str,
    covered: Digest,
) -> Result<VerifiedAttest, String> {
    let key = context.attestation_key(paired)?;
    key.verify(&bytes(attest)?, &bytes(signature)?, covered.as_bytes()).map_err(|error| error.to_string())
}

fn check_time(attest: &VerifiedAttest, said: Option<TpmTime>) -> Result<(), String> {
    let attested = TpmTime::from(attest.clock());
    ensure(said.is_none_or(|said| said == attested), "the recorded TPM time differs from the attested one")
}

/// Verifies that the pairing's lease key signed the terms of a lease.
pub(super) fn check_lease(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Lease { epoch, reset_count, clock, pcr_digest, signed: Some(signed), .. } = fact else {
        return Ok(Verified::Nothing);
    };
    let paired = context.pairing()?;
    let (Some(counter), Some(policy_ref), Some(lease_key)) =
        (&paired.counter, &paired.policy_ref, &paired.lease_key)
    else {
        return Ok(Verified::Nothing);
    };
    ensure(*epoch == paired.epoch, "it is for another epoch than the pairing's")?;
    let selection = PcrSelection::new(bank_hash(signed.bank), signed.pcrs.iter().copied())
        .map_err(|error| error.to_string())?;
    let terms = LeaseTerms {
        selection,
        pcr_digest: sha256(pcr_digest)?.0,
        counter_name: name(counter)?,
        epoch: *epoch,
        reset_count_max: *reset_count,
        clock_before: *clock,
    };
    let digest = to_be_signed(&terms.approved_policy(), sha256(policy_ref)?.as_bytes());
    ensure(sha256(&signed.digest)?.0 == digest, "the signed digest does not match the terms of the lease")?;

    let key =
        context.lease_keys.get(lease_key).ok_or_else(|| format!("the lease key {lease_key} is missing"))?;
    let key = verifying_key(key).ok_or("the lease key is not on the curve P-256")?;
    let signature =
        p256::ecdsa::Signature::from_slice(&bytes(&signed.signature)?).map_err(|error| error.to_string())?;
    let holds = key.verify_prehash(&digest, &signature).is_ok();
    ensure(holds, "it is not signed by the lease key")?;
    Ok(Verified::Claims(1))
}
