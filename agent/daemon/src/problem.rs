//! The problems that pawld reports to callers: what is wrong, and what to do.

use pawl_local_api::{NO_TPM, Problem};
use pawl_proto::DeviceId;
use pawl_proto::message::{Lacking, ShortText};

use crate::record::Revocation;

/// Returns a problem with this code, reason and remedy.
pub(crate) fn problem(error: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { error: error.to_owned(), reason: reason.into(), remedy: remedy.into() }
}

/// There is no pairing.
pub(crate) fn unpaired() -> Problem {
    problem("unpaired", "this device is not paired", "run: pawlctl pair")
}

/// A pairing was requested, or is being created.
pub(crate) fn pairing() -> Problem {
    problem("pairing", "this device is being paired", "wait; see the progress with: pawlctl status")
}

/// The device has a live pairing, and the request does not replace it.
pub(crate) fn already_paired() -> Problem {
    problem(
        "already-paired",
        "this device is paired",
        "to pair it again, run: pawlctl re-pair; the old pairing works until the new one is approved",
    )
}

/// The operator's policy requires a person's approval, and the daemon paired by itself. `reason` is the
/// control plane's.
pub(crate) fn technician_wanted(reason: &str) -> Problem {
    problem("technician-wanted", reason, "run at the device: pawlctl re-pair")
}

/// The operator ordered a repair; `problem` prevents the new pairing.
pub(crate) fn ordered(problem: Problem, why: &ShortText) -> Problem {
    let reason = format!("the operator ordered a repair: {why}; {}", problem.reason);
    Problem { reason, ..problem }
}

/// The session was cancelled at the device before its approval.
pub(crate) fn given_up() -> Problem {
    problem("given-up", "the pairing request was cancelled at the device", "run: pawlctl re-pair")
}

/// No session is under way.
pub(crate) fn no_session() -> Problem {
    problem("no-session", "no session is open", "run: pawlctl re-pair")
}

/// The session is approved and can no longer be cancelled.
pub(crate) fn approved() -> Problem {
    problem(
        "approved",
        "the pairing was approved, and the old one has ended",
        "wait for the new pairing; see the progress with: pawlctl status",
    )
}

/// Another caller is already ending the epoch.
pub(crate) fn busy() -> Problem {
    problem("busy", "another command is already ending the epoch", "see the state with: pawlctl status")
}

/// There is no pairing to wipe.
pub(crate) fn nothing_to_wipe() -> Problem {
    problem("nothing-to-wipe", "this device has no live pairing", "nothing to do")
}

/// Paired, and no verdict has come yet.
pub(crate) fn waiting() -> Problem {
    problem(
        "waiting",
        "the control plane has not sent a verdict yet",
        "wait; if no verdict comes within a few minutes, run: pawlctl check",
    )
}

/// The lease has expired.
pub(crate) fn lease_expired() -> Problem {
    problem(
        "lease-expired",
        "the lease has expired: no verdict came in time",
        "check the connection to the broker: pawlctl check",
    )
}

/// The operator suspended the device.
pub(crate) fn suspended(reason: &str) -> Problem {
    problem(
        "suspended",
        if reason.is_empty() {
            "the operator suspended this device".to_owned()
        } else {
            format!("the operator suspended this device: {reason}")
        },
        "ask the operator to resume it; the pairing is kept",
    )
}

/// The operator has not granted what a token needs.
pub(crate) fn not_granted(device: DeviceId, lacking: &Lacking) -> Problem {
    let scopes: String = lacking.scopes.iter().map(|scope| format!(" --scope {scope}")).collect();
    let audience = lacking.audience.as_ref().map(|audience| format!(" --audience {audience}"));
    let grant = format!("pawl-control-plane entitle {device}{scopes}{}", audience.unwrap_or_default());
    problem(
        "not-granted",
        format!("the operator does not grant this device {lacking}"),
        format!("ask the operator to run: {grant}"),
    )
}

/// The verdict has no lease.
pub(crate) fn drifted(reasons: &str) -> Problem {
    problem(
        "drifted",
        format!("the control plane does not accept what this device runs: {reasons}"),
        "boot an approved system, or ask the operator to accept this one; the pairing is kept",
    )
}

/// The verdict contains a result that this version does not know.
pub(crate) fn unknown_verdict(word: &str, reasons: &str) -> Problem {
    problem(
        "unknown-verdict",
        format!("the control plane sent the result {word}, unknown to this version of pawld: {reasons}"),
        "update the package pawl on this device; the pairing is kept",
    )
}

/// The TPM did not accept the lease.
pub(crate) fn tpm_refused(failure: &str, remedy: &str) -> Problem {
    let reason = format!("the TPM does not accept the lease: {failure}");
    problem("lease-refused", reason, remedy)
}

/// The pairing was ended.
pub(crate) fn revoked(revocation: &Revocation) -> Problem {
    problem(
        "revoked",
        format!("the pairing of epoch {} was ended: {}", revocation.ended, revocation.reason),
        "pair the device again: pawlctl re-pair",
    )
}

/// The TPM refused to increment its counter. The daemon has removed keys and tokens from this disk, but copies of the disk still
/// work.
pub(crate) fn counter_owed(failure: &str, remedy: &str) -> Problem {
    let reason = format!(
        "keys and tokens were removed from the disk, but the TPM refused to increment its counter: {failure}; pawld keeps retrying"
    );
    problem("revoked-counter-owed", reason, remedy)
}

/// The counter cannot be removed yet: the receipt that the TPM makes from it is not on the disk.
pub(crate) fn receipt_owed() -> Problem {
    problem(
        "receipt-owed",
        "the pairing has ended, but its receipt is not on the disk yet, and only the TPM's counter proves that end; pawld keeps retrying",
        "try again in a few seconds: pawlctl deprovision; if it fails again, see the reason with: journalctl -u pawld",
    )
}

/// This disk belongs to another TPM.
pub(crate) fn moved_disk(device: &str) -> Problem {
    problem(
        "moved-disk",
        format!("the pairing on this disk belongs to device {device}, which has another TPM"),
        format!("to replace that device, run: pawlctl re-pair --replaces {device}; or put its disk back"),
    )
}

/// A file of the state directory is damaged.
pub(crate) fn damaged(error: &crate::store::StoreError) -> Problem {
    problem("state-damaged", error.to_string(), "pair the device again: pawlctl re-pair")
}

/// Pawl was removed from this TPM.
pub(crate) fn deprovisioned() -> Problem {
    problem(
        "deprovisioned",
        "Pawl was removed from this device's TPM",
        "to pair the device again, run: systemctl restart pawld && pawlctl pair",
    )
}

/// No TPM was found, or only one that this device was not paired with.
pub(crate) fn no_tpm(error: &pawl_tpm::Error) -> Problem {
    problem(NO_TPM, error.to_string(), error.remedy())
}

/// The daemon is stopping.
pub(crate) fn stopping() -> Problem {
    problem("stopping", "the daemon is stopping", "start it, then try again: systemctl start pawld")
}

/// The TPM has no epoch counter, or one that is behind the pairing.
pub(crate) fn other_tpm() -> Problem {
    problem(
        "tpm-replaced",
        "the TPM's epoch counter does not match the pairing on this disk: the TPM was replaced, cleared, \
         or reset to an older state",
        "pair the device again: pawlctl re-pair",
    )
}

/// The epoch is live but its keys are missing.
pub(crate) fn keys_missing() -> Problem {
    problem(
        "state-damaged",
        "the keys of this device's pairing are missing from the disk",
        "pair the device again: pawlctl re-pair",
    )
}
