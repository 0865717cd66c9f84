use p256::ecdsa::Signature;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use pawl_evidence::lease::{LeaseTerms, to_be_signed};
use pawl_evidence::tpm::PcrSelection;

use super::context::{Context, Done, Outcome, bytes, ensure, name, sha256};
use pawl_verifier::pairing::verifying_key;
use pawl_verifier::record::Fact;
use pawl_verifier::report::bank_hash;

/// The lease key of the pairing signed these terms for it.
pub(super) fn check(context: &Context, fact: &Fact) -> Outcome {
    let Fact::Lease { epoch, reset_count, clock, pcr_digest, signed: Some(signed), .. } = fact else {
        return Ok(Done::Nothing);
    };
    let paired = context.pairing()?;
    let (Some(counter), Some(policy_ref), Some(lease_key)) =
        (&paired.counter, &paired.policy_ref, &paired.lease_key)
    else {
        return Ok(Done::Nothing);
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
    ensure(sha256(&signed.digest)?.0 == digest, "something else was signed")?;

    let key =
        context.lease_keys.get(lease_key).ok_or_else(|| format!("the lease key {lease_key} is missing"))?;
    let key = verifying_key(key).ok_or("the lease key is not on the curve P-256")?;
    let signature = Signature::from_slice(&bytes(&signed.signature)?).map_err(|error| error.to_string())?;
    let holds = key.verify_prehash(&digest, &signature).is_ok();
    ensure(holds, "it is not signed by the lease key")?;
    Ok(Done::Holds(1))
}
