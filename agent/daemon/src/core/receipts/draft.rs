//! A receipt that the TPM has not certified yet.

use std::sync::Arc;
use std::time::Duration;

use pawl_evidence::tpm::{Attest, Attested};
use pawl_proto::codec::{EncodeError, Version};
use pawl_proto::message::{Receipt, SignedReceipt};
use pawl_proto::record::DeviceFact;
use pawl_proto::{Digest, Epoch, encode};

use crate::backoff::Backoff;
use crate::core::common::Ticket;
use crate::core::context::Context;
use crate::core::effect::TpmCommand;
use crate::core::input::{TpmAnswer, TpmFailure, TpmFailureKind, moment};
use crate::record::{PairingRecord, Revocation};

const FIRST_RETRY: Duration = Duration::from_secs(1);
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// Returns the pauses between the tries to make a receipt, to store it and to submit it.
pub(super) fn backoff() -> Backoff {
    Backoff::new(FIRST_RETRY, LONGEST_RETRY)
}

/// A receipt that the TPM has yet to certify.
pub(super) struct Draft {
    pub(super) record: Arc<PairingRecord>,
    pub(super) revocation: Revocation,
    step: Step,
    backoff: Backoff,
    /// The TPM's last refusal.
    refusal: Option<TpmFailure>,
    /// Whether the wipe was recorded in the audit records, without a receipt.
    is_recorded: bool,
}

enum Step {
    ReadingCounter(Ticket),
    Certifying { ticket: Ticket, epoch: Epoch, receipt: Vec<u8> },
    Retry(Duration),
}

impl Draft {
    /// Starts a receipt: has the TPM read the counter.
    pub(super) fn begin(cx: &mut Context, record: Arc<PairingRecord>, revocation: Revocation) -> Self {
        let step = Step::ReadingCounter(cx.tpm(TpmCommand::Counter));
        Self { record, revocation, step, backoff: backoff(), refusal: None, is_recorded: false }
    }

    /// Returns whether the TPM may still certify it.
    pub(super) fn may_come(&self) -> bool {
        self.refusal.as_ref().is_none_or(|refusal| refusal.kind == TpmFailureKind::Transient)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.step {
            Step::Retry(at) => Some(at),
            Step::ReadingCounter(_) | Step::Certifying { .. } => None,
        }
    }

    /// Brings the next try forward to this time, if it is later.
    pub(super) fn retry_by(&mut self, latest: Duration) {
        if let Step::Retry(at) = &mut self.step {
            *at = latest.min(*at);
        }
    }

    /// Asks the TPM again, where that is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(self.deadline()) {
            self.step = Step::ReadingCounter(cx.tpm(TpmCommand::Counter));
        }
    }

    pub(super) fn is_waiting_for(&self, expected: Ticket) -> bool {
        match &self.step {
            Step::ReadingCounter(ticket) | Step::Certifying { ticket, .. } => *ticket == expected,
            Step::Retry(_) => false,
        }
    }

    /// Handles the TPM's answer. Returns the counter's value and the signed receipt, if the TPM has certified it.
    pub(super) fn advance(
        &mut self,
        cx: &mut Context,
        answer: &Result<TpmAnswer, TpmFailure>,
    ) -> Result<Option<(Epoch, Vec<u8>)>, TpmFailure> {
        match (&self.step, answer) {
            (_, Err(failure)) => Err(failure.clone()),
            (Step::ReadingCounter(_), Ok(TpmAnswer::Counter(Some(epoch)))) => {
                let receipt = self.receipt(*epoch).map_err(|error| never(error.to_string()))?;
                let ticket = cx.tpm(TpmCommand::Certify(Digest::of(&receipt)));
                self.step = Step::Certifying { ticket, epoch: *epoch, receipt };
                Ok(None)
            }
            (Step::Certifying { epoch, receipt, .. }, Ok(TpmAnswer::Certified { attest, signature })) => {
                // Another process has incremented the counter since it was read: the control plane would refuse the receipt.
                if certifies_another(attest, *epoch) {
                    return Err(transient("the epoch counter moved while the receipt was made".to_owned()));
                }
                let message = sign(receipt, attest, signature).map_err(never)?;
                if !self.is_recorded {
                    let fact = self.fact(Some(Digest::of(receipt)));
                    cx.record(Some(self.record.epoch), moment(attest), fact);
                }
                Ok(Some((*epoch, message)))
            }
            _ => Err(never("the TPM has no epoch counter".to_owned())),
        }
    }

    pub(super) fn failed(&mut self, cx: &mut Context, refusal: TpmFailure) {
        self.refusal = Some(refusal);
        if !std::mem::replace(&mut self.is_recorded, true) {
            let fact = self.fact(None);
            cx.record(Some(self.record.epoch), None, fact);
        }
        self.step = Step::Retry(cx.retry(&mut self.backoff));
    }

    fn fact(&self, receipt: Option<Digest>) -> DeviceFact {
        let Revocation { cause, event, .. } = self.revocation;
        DeviceFact::Wiped { cause, event, receipt }
    }

    fn receipt(&self, epoch: Epoch) -> Result<Vec<u8>, EncodeError> {
        encode(&Receipt {
            version: Version,
            device: self.record.device,
            pairing: self.record.pairing,
            ended: self.record.epoch,
            epoch,
            event: self.revocation.event,
            cause: self.revocation.cause,
            reason: self.revocation.reason.clone(),
            time: self.revocation.time,
        })
    }
}

/// Returns a permanent failure.
fn never(text: String) -> TpmFailure {
    TpmFailure { kind: TpmFailureKind::Key, text, remedy: String::new() }
}

fn transient(text: String) -> TpmFailure {
    TpmFailure { kind: TpmFailureKind::Transient, text, remedy: String::new() }
}

/// Returns whether this attestation is over another counter value. Returns false if it is malformed: the control plane checks it.
fn certifies_another(attest: &[u8], epoch: Epoch) -> bool {
    match Attest::unmarshal(attest).map(|attest| attest.attested) {
        Ok(Attested::NvCertify { contents, .. }) => contents != epoch.0.to_be_bytes(),
        _ => false,
    }
}

fn sign(receipt: &[u8], attest: &[u8], signature: &[u8]) -> Result<Vec<u8>, String> {
    let signed = SignedReceipt {
        version: Version,
        receipt: receipt.to_vec().try_into().map_err(|_| "the receipt is too long".to_owned())?,
        attest: attest.to_vec().try_into().map_err(|_| "the attestation is too long".to_owned())?,
        signature: signature.to_vec().try_into().map_err(|_| "the signature is too long".to_owned())?,
    };
    encode(&signed).map_err(|error| error.to_string())
}
