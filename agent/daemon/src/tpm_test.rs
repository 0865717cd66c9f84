//! Tests whether a TPM does what Pawl needs: runs the whole mechanism on scratch objects, without touching a pairing, and removes
//! them.

mod keys;
mod report;

use std::time::Duration;

use pawl_evidence::lease::LeaseTerms;
use pawl_evidence::tpm::{Name, PcrSelection};
use pawl_local_api::TpmReport;
use pawl_tpm::{Binding, Clock, Counter, Error, LeaseGrant, LeaseStep, PairingKeys, Scratch, Tpm};
use tokio::time::{Instant, sleep};

use crate::random;
use keys::{Signer, check_attestation, check_signature};
use report::{Check, Checks};

/// Long enough for a lease in a test of the slowest TPM.
const LEASE_MS: u64 = 15 * 60 * 1000;
/// How long the test watches the TPM's clock.
const WATCHED: Duration = Duration::from_millis(200);
/// NV writes of one test: two definitions, four increments, two removals.
const WRITES: u32 = 8;
/// What the keys sign.
const MESSAGE: &[u8] = b"pawl tpm test";

const COUNTER: Check =
    Check { name: "counter", needed_for: "an epoch is the value of a counter in NV memory" };
const KEYS: Check =
    Check { name: "keys", needed_for: "a pairing has three ECDSA P-256 keys and a sealed secret" };
const LEASE: Check =
    Check { name: "lease", needed_for: "keys work only under a lease that the control plane signed" };
const LEASE_SIGNATURE: Check =
    Check { name: "lease-signature", needed_for: "nobody but the control plane can issue a lease" };
const LEASE_PCRS: Check =
    Check { name: "lease-pcrs", needed_for: "a lease works only in the boot state that was approved" };
const LEASE_EPOCH: Check = Check { name: "lease-epoch", needed_for: "a lease is for one epoch" };
const LEASE_RESETS: Check =
    Check { name: "lease-resets", needed_for: "a lease limits the number of TPM resets" };
const LEASE_CLOCK: Check =
    Check { name: "lease-clock", needed_for: "a lease ends at a time of the TPM's clock" };
const VAULT: Check =
    Check { name: "vault", needed_for: "tokens are sealed under a lease, and cross the bus encrypted" };
const QUOTE: Check = Check { name: "quote", needed_for: "reports carry a quote of the PCRs" };
const KEY_CERTIFICATE: Check =
    Check { name: "key-certificate", needed_for: "a pairing proves that its keys are in this TPM" };
const RECEIPT: Check = Check { name: "receipt", needed_for: "a receipt proves that an epoch has ended" };
const REVOCATION: Check =
    Check { name: "revocation", needed_for: "one increment ends every key of an epoch" };
const COUNTER_ABOVE: Check =
    Check { name: "counter-above", needed_for: "nobody can undo a revocation by defining the counter again" };
const CLOCK: Check =
    Check { name: "clock", needed_for: "leases end on the TPM's clock, and rollbacks show in it" };

/// Tests the TPM. Takes a second on a fast TPM and a minute on a slow one. A wipe that is due runs before the next step.
///
/// # Errors
/// [`Error::NoSpareIndex`], or the TPM's error before the first check.
pub(crate) async fn run(tpm: &Tpm) -> Result<TpmReport, Error> {
    let properties = tpm.properties().await?;
    let banks = tpm.identity().await?.pcr_banks;
    let scratch = tpm.scratch().await?;
    let mut test = Test { tpm, scratch: &scratch, checks: Checks::default() };
    let highest = test.mechanism().await;
    // Remove the scratch objects also after a failure.
    let removed = scratch.remove().await.map(drop);
    test.counter_above(highest, removed).await;
    test.clock().await;
    Ok(report::assemble(properties, &banks, scratch.handle(), WRITES, test.checks))
}

struct Test<'a> {
    tpm: &'a Tpm,
    scratch: &'a Scratch,
    checks: Checks,
}

/// Scratch keys, and the terms of a lease for them.
struct Paired {
    keys: PairingKeys,
    counter: Counter,
    signer: Signer,
    terms: LeaseTerms,
    clock: Clock,
}

impl Paired {
    fn lease(&self) -> Result<LeaseGrant, String> {
        self.altered(|_| {})
    }

    /// Returns a lease with other terms.
    fn altered(&self, alter: impl FnOnce(&mut LeaseTerms)) -> Result<LeaseGrant, String> {
        let mut terms = self.terms.clone();
        alter(&mut terms);
        self.signer.grant(terms)
    }
}

impl Test<'_> {
    /// Runs the mechanism. Returns the highest value of the scratch counter.
    async fn mechanism(&mut self) -> Option<u64> {
        let scratch = self.scratch;
        let counter = self.checks.run(COUNTER, async {
            let first = scratch.provision().await.map_err(text)?;
            scratch.increment().await.map_err(text)?;
            let second = scratch.provision().await.map_err(text)?;
            if second.epoch <= first.epoch {
                return Err(format!("an increment took it from {} to {}", first.epoch, second.epoch));
            }
            let detail = format!("defined and incremented: {}, then {}", first.epoch, second.epoch);
            Ok((second, detail))
        });
        let counter = counter.await?;
        let highest = counter.epoch;
        let tpm = self.tpm;
        let paired = self.checks.run(KEYS, create(tpm, scratch, counter)).await;
        let Some(paired) = paired else { return Some(highest) };
        self.leases(&paired).await;
        self.attestations(&paired).await;
        self.revocation(&paired).await.or(Some(highest))
    }

    /// Checks that a lease works, and that the TPM refuses each lease with one wrong term.
    async fn leases(&mut self, paired: &Paired) {
        let scratch = self.scratch;
        let sign = async {
            let lease = paired.lease()?;
            let signature = scratch.sign_with_device(&paired.keys.device, &lease, keys::digest(MESSAGE));
            let signature = signature.await.map_err(text)?;
            check_signature(&paired.keys.device.public, MESSAGE, &signature)?;
            Ok(((), "the device key signed under a lease for PCRs, counter, resets and clock".to_owned()))
        };
        if self.checks.run(LEASE, sign).await.is_none() {
            return;
        }
        let forged = paired.lease().map(|mut lease| {
            lease.terms.clock_before += 1;
            lease
        });
        self.refused(LEASE_SIGNATURE, paired, forged, LeaseStep::Signature).await;
        let other_pcrs = paired.altered(|terms| terms.pcr_digest = random::bytes());
        self.refused(LEASE_PCRS, paired, other_pcrs, LeaseStep::Pcrs).await;
        let other_epoch = paired.altered(|terms| terms.epoch += 1);
        self.refused(LEASE_EPOCH, paired, other_epoch, LeaseStep::Epoch).await;
        match paired.clock.reset_count.checked_sub(1) {
            Some(before) => {
                let one_too_many = paired.altered(|terms| terms.reset_count_max = before);
                self.refused(LEASE_RESETS, paired, one_too_many, LeaseStep::Reboots).await;
            }
            None => self.checks.skip(LEASE_RESETS, "the TPM has counted no reset yet"),
        }
        let expired = paired.altered(|terms| terms.clock_before = paired.clock.clock_ms);
        self.refused(LEASE_CLOCK, paired, expired, LeaseStep::Deadline).await;
        let unseal = async {
            let lease = paired.lease()?;
            let first = scratch.unseal(&paired.keys.vault, &lease).await.map_err(text)?;
            let second = scratch.unseal(&paired.keys.vault, &lease).await.map_err(text)?;
            if *first != *second || first.iter().all(|byte| *byte == 0) {
                return Err("unsealed twice, the vault key was different or zero".to_owned());
            }
            Ok(((), "unsealed under the lease, in a salted session".to_owned()))
        };
        self.checks.run(VAULT, unseal).await;
    }

    /// Checks that the TPM refuses a lease at this step.
    async fn refused(
        &mut self,
        check: Check,
        paired: &Paired,
        lease: Result<LeaseGrant, String>,
        step: LeaseStep,
    ) {
        let scratch = self.scratch;
        let sign = async {
            let lease = lease?;
            let digest = keys::digest(MESSAGE);
            let outcome = scratch.sign_with_device(&paired.keys.device, &lease, digest).await;
            refusal(outcome, step).map(|detail| ((), detail))
        };
        self.checks.run(check, sign).await;
    }

    async fn attestations(&mut self, paired: &Paired) {
        let (tpm, scratch) = (self.tpm, self.scratch);
        let identity = match tpm.identity().await {
            Ok(identity) => identity,
            Err(error) => return self.checks.skip(QUOTE, &text(error)),
        };
        let ak = &identity.ak_public;
        let quote = async {
            let bank = tpm.pcr_bank().await.map_err(text)?;
            let selection = PcrSelection::new(bank, 0..16).map_err(|error| error.to_string())?;
            let nonce = random::bytes();
            let quote = tpm.quote(&selection, nonce).await.map_err(text)?;
            check_attestation(ak, &quote, &nonce)?;
            Ok(((), format!("PCRs 0 to 15 of the {bank} bank")))
        };
        self.checks.run(QUOTE, quote).await;
        let certify = async {
            let nonce = random::bytes();
            let certificate = tpm.certify(&paired.keys.device, nonce).await.map_err(text)?;
            check_attestation(ak, &certificate, &nonce)?;
            Ok(((), "the attestation key certified the device key".to_owned()))
        };
        self.checks.run(KEY_CERTIFICATE, certify).await;
        let receipt = async {
            let nonce = random::bytes();
            let receipt = scratch.certify(nonce).await.map_err(text)?;
            check_attestation(ak, &receipt, &nonce)?;
            Ok(((), "the attestation key certified the counter".to_owned()))
        };
        self.checks.run(RECEIPT, receipt).await;
    }

    /// Ends the scratch epoch, and checks that none of its keys works any more. Returns the new value of the counter.
    async fn revocation(&mut self, paired: &Paired) -> Option<u64> {
        let scratch = self.scratch;
        let end = async {
            let lease = paired.lease()?;
            scratch.increment().await.map_err(text)?;
            let (keys, digest) = (&paired.keys, keys::digest(MESSAGE));
            let detail =
                refusal(scratch.sign_with_device(&keys.device, &lease, digest).await, LeaseStep::Epoch)?;
            refusal(scratch.unseal(&keys.vault, &lease).await, LeaseStep::Epoch)?;
            if scratch.sign_with_link(&keys.link, paired.counter.epoch, digest).await.is_ok() {
                return Err("the link key works after the epoch has ended".to_owned());
            }
            let counter = scratch.provision().await.map_err(text)?;
            Ok((counter.epoch, format!("device key, vault and link key are refused: {detail}")))
        };
        self.checks.run(REVOCATION, end).await
    }

    /// Defines the counter again, checks that it starts above `highest`, and removes it.
    async fn counter_above(&mut self, highest: Option<u64>, removed: Result<(), Error>) {
        let Some(highest) = highest else {
            return self.checks.skip(COUNTER_ABOVE, "the counter could not be used");
        };
        let scratch = self.scratch;
        let again = async {
            removed.map_err(text)?;
            let counter = scratch.provision().await;
            let removed = scratch.remove().await;
            let counter = counter.map_err(text)?;
            removed.map_err(text)?;
            if counter.epoch <= highest {
                return Err(format!(
                    "removed at {highest} and defined again, it starts at {}",
                    counter.epoch
                ));
            }
            Ok(((), format!("removed at {highest} and defined again, it starts at {}", counter.epoch)))
        };
        self.checks.run(COUNTER_ABOVE, again).await;
    }

    async fn clock(&mut self) {
        let tpm = self.tpm;
        let watch = async {
            let since = Instant::now();
            let first = tpm.clock().await.map_err(text)?;
            sleep(WATCHED).await;
            let second = tpm.clock().await.map_err(text)?;
            let passed = second.clock_ms.saturating_sub(first.clock_ms);
            if passed == 0 {
                return Err(format!("it stood still for {} ms", since.elapsed().as_millis()));
            }
            let safe = if second.safe { "it has never gone back" } else { "it may have gone back" };
            let detail = format!(
                "{passed} ms in {} ms of the host; {safe}; {} resets counted",
                since.elapsed().as_millis(),
                second.reset_count
            );
            Ok(((), detail))
        };
        self.checks.run(CLOCK, watch).await;
    }
}

async fn create(tpm: &Tpm, scratch: &Scratch, counter: Counter) -> Result<(Paired, String), String> {
    let (signer, authority) = (Signer::new()?, Signer::new()?);
    let binding = Binding {
        counter: counter.clone(),
        lease_public: signer.public()?,
        action_public: authority.public()?,
        policy_ref: signer.policy_ref,
    };
    let keys = scratch.create_keys(binding).await.map_err(text)?;
    let bank = tpm.pcr_bank().await.map_err(text)?;
    let selection = PcrSelection::new(bank, [0, 2, 4, 7]).map_err(|error| error.to_string())?;
    let pcrs = tpm.read_pcrs(&selection).await.map_err(text)?;
    let clock = tpm.clock().await.map_err(text)?;
    let terms = LeaseTerms {
        pcr_digest: pcrs.policy_digest(&selection).map_err(|error| error.to_string())?,
        selection,
        counter_name: Name::from_bytes(&counter.name).map_err(|error| error.to_string())?,
        epoch: counter.epoch,
        reset_count_max: clock.reset_count,
        clock_before: clock.clock_ms.saturating_add(LEASE_MS),
    };
    let detail = "three ECDSA P-256 keys and a sealed secret, created in the TPM".to_owned();
    Ok((Paired { keys, counter, signer, terms, clock }, detail))
}

/// Returns how the TPM refused a lease at this step.
fn refusal<T>(outcome: Result<T, Error>, step: LeaseStep) -> Result<String, String> {
    match outcome {
        Err(error) if error.lease_step() == Some(step) => {
            let code = error.response_code().map(|code| format!(": {code}")).unwrap_or_default();
            Ok(format!("refused{code}"))
        }
        Err(error) => Err(format!("refused for another reason: {error}")),
        Ok(_) => Err("the TPM did not refuse it".to_owned()),
    }
}

fn text(error: Error) -> String {
    error.to_string()
}
