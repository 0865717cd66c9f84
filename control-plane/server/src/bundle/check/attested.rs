//! What a TPM attested to: quotes and receipts.

use pawl_evidence::attest::{AttestError, VerifiedAttest};
use pawl_evidence::tpm::PcrValues;
use pawl_proto::message::Receipt;
use pawl_proto::{Digest, limits};

use super::context::{Context, Done, Outcome, Paired, bytes, ensure, name, sha256};
use pawl_verifier::record::{Attested, Fact, TpmTime};

/// The quote of a verdict is one of the pairing's TPM over this evidence.
pub(super) fn verdict(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Verdict { evidence, quote, signature, at, .. } = fact else { return Ok(Done::Nothing) };
    let covered = sha256(evidence)?;
    let attest = verified(context, context.pairing()?, quote, signature, covered)?;
    at_the_time(&attest, *at)?;
    // The values are not in the record; that it is a quote has to do.
    match attest.quote(&PcrValues::default()) {
        Err(error @ AttestError::Kind { .. }) => Err(error.to_string()),
        _ => Ok(Done::Holds(1)),
    }
}

/// A receipt says what the TPM of the ended pairing certified.
pub(super) fn receipt(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Receipt { ended, epoch, event, reason, receipt: digest, attested: Some(attested), at, .. } =
        fact
    else {
        return Ok(Done::Nothing);
    };
    let paired = context.pairing_in(*ended)?;
    let Some(counter) = &paired.counter else { return Ok(Done::Nothing) };
    let covers = bytes(&attested.covers)?;
    let covered = Digest::of(&covers);
    ensure(covered.to_string() == *digest, "the receipt is another one than its digest names")?;
    let Attested { attest, signature, .. } = attested;
    let attest = verified(context, paired, attest, signature, covered)?;
    at_the_time(&attest, *at)?;
    let value = attest.nv_counter(&name(counter)?).map_err(|error| error.to_string())?;
    ensure(value == *epoch && ended < epoch, "the TPM certified another value of the counter")?;

    let said: Receipt = pawl_proto::decode(&covers, limits::ORDER).map_err(|error| error.to_string())?;
    let same = said.device == context.device
        && (said.ended.0, said.epoch.0) == (*ended, *epoch)
        && said.pairing.to_string() == paired.pairing
        && said.event.map(|event| event.to_string()) == *event
        && said.reason.as_str() == reason;
    ensure(same, "the receipt says something else")?;
    Ok(Done::Holds(1))
}

fn verified(
    context: &Context,
    paired: &Paired,
    attest: &str,
    signature: &str,
    covered: Digest,
) -> Result<VerifiedAttest, String> {
    let key = context.attestation_key(paired)?;
    key.verify(&bytes(attest)?, &bytes(signature)?, covered.as_bytes()).map_err(|error| error.to_string())
}

fn at_the_time(attest: &VerifiedAttest, said: Option<TpmTime>) -> Result<(), String> {
    let attested = TpmTime::from(attest.clock());
    ensure(said.is_none_or(|said| said == attested), "the TPM's time beside it is another one")
}
