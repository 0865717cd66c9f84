//! What a refused caller is told: what is wrong, and what to do.

use pawl_proto::DeviceId;
use pawl_proto::local::{NO_TPM, Problem};
use pawl_proto::message::{Lacking, ShortText};

use crate::core::TpmFailure;
use crate::store::Revocation;

/// A problem, from its parts.
pub(crate) fn problem(error: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem { error: error.to_owned(), reason: reason.into(), remedy: remedy.into() }
}

/// There is no pairing.
pub(crate) fn unpaired() -> Problem {
    problem("unpaired", "this device is not paired", "run: pawlctl pair")
}

/// A pairing is asked for, or being made.
pub(crate) fn pairing() -> Problem {
    problem("pairing", "this device is being paired", "wait, and follow it with: pawlctl status")
}

/// A pairing lives, and nobody said that it may end.
pub(crate) fn already_paired() -> Problem {
    problem(
        "already-paired",
        "this device is paired",
        "to pair it anew, run: pawlctl re-pair; the old pairing works until the new one is approved",
    )
}

/// The operator's policy wants a person to approve, and nobody stood at the device. `reason` is the
/// control plane's.
pub(crate) fn technician_wanted(reason: &str) -> Problem {
    problem("technician-wanted", reason, "run at the device: pawlctl re-pair")
}

/// The operator has ended the pairing and wants a new one; `problem` is what is in its way.
pub(crate) fn ordered(problem: Problem, why: &ShortText) -> Problem {
    let reason = format!("the operator ordered a repair: {why}; {}", problem.reason);
    Problem { reason, ..problem }
}

/// A session was ended from this device before it was approved.
pub(crate) fn given_up() -> Problem {
    problem("given-up", "the request for a pairing was given up", "run: pawlctl re-pair")
}

/// No session is under way.
pub(crate) fn no_session() -> Problem {
    problem("no-session", "no pairing is asked for", "run: pawlctl re-pair")
}

/// A session can no longer be given up.
pub(crate) fn approved() -> Problem {
    problem(
        "approved",
        "the pairing was approved, and the old one has ended",
        "wait for the new one, and follow it with: pawlctl status",
    )
}

/// Another caller asked for the same, and is answered in this one's place.
pub(crate) fn busy() -> Problem {
    problem("busy", "another caller ends the epoch already", "see how the device stands: pawlctl status")
}

/// There is nothing that a wipe would end.
pub(crate) fn nothing_to_wipe() -> Problem {
    problem("nothing-to-wipe", "this device has no live pairing", "nothing needs to be done")
}

/// Paired, and no verdict has come yet.
pub(crate) fn waiting() -> Problem {
    problem(
        "waiting",
        "the control plane has not judged this device's posture yet",
        "wait for the next verdict; if none comes, run: pawlctl check",
    )
}

/// The lease has run out.
pub(crate) fn lease_expired() -> Problem {
    problem(
        "lease-expired",
        "the lease has run out: no verdict came in time",
        "check that the device reaches the broker: pawlctl check",
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
        "ask the operator to resume it; nothing was destroyed",
    )
}

/// The operator has not granted what a token needs.
pub(crate) fn not_granted(device: DeviceId, lacking: &Lacking) -> Problem {
    let scopes: String = lacking.scopes.iter().map(|scope| format!(" --scope {scope}")).collect();
    let audience = lacking.audience.as_ref().map(|audience| format!(" --audience {audience}"));
    let grant = format!("pawl-control-plane entitle {device}{scopes}{}", audience.unwrap_or_default());
    problem(
        "not-granted",
        format!("the operator has not granted this device {lacking}"),
        format!("ask the operator to run on the control plane: {grant}"),
    )
}

/// The control plane judged the posture and gave no lease.
pub(crate) fn drifted(reasons: &str) -> Problem {
    problem(
        "drifted",
        format!("the control plane does not accept what this device runs: {reasons}"),
        "boot an approved state, or ask the operator to accept this one; nothing was destroyed",
    )
}

/// The control plane is newer, and says of the device what this version cannot weigh.
pub(crate) fn unknown_verdict(word: &str, reasons: &str) -> Problem {
    problem(
        "unknown-verdict",
        format!(
            "the control plane calls this device {word}, which this version of pawld does not know: {reasons}"
        ),
        "update the package pawl on this device; nothing was destroyed",
    )
}

/// The TPM did not accept the lease.
pub(crate) fn tpm_refused(failure: &TpmFailure) -> Problem {
    let reason = format!("the TPM does not accept the lease: {}", failure.text);
    problem("lease-refused", reason, failure.remedy.clone())
}

/// The epoch is over.
pub(crate) fn revoked(revocation: &Revocation) -> Problem {
    problem(
        "revoked",
        format!("the pairing of epoch {} was ended: {}", revocation.ended, revocation.reason),
        "pair the device again: pawlctl re-pair",
    )
}

/// The TPM refused to move the counter on: keys and tokens are gone from this disk, and copies
/// of them are not yet dead.
pub(crate) fn counter_owed(failure: &TpmFailure) -> Problem {
    let reason = format!(
        "keys and tokens were removed, but the TPM refused to end their epoch: {}; pawld goes on trying",
        failure.text
    );
    problem("revoked-counter-owed", reason, failure.remedy.clone())
}

/// This disk belongs to another TPM.
pub(crate) fn moved_disk(device: &str) -> Problem {
    problem(
        "moved-disk",
        format!("the pairing on this disk belongs to device {device}, which has another TPM"),
        format!("pair this device in its place: pawlctl re-pair --replaces {device}"),
    )
}

/// A file of the state directory is damaged.
pub(crate) fn damaged(error: &crate::store::StoreError) -> Problem {
    problem("state-damaged", error.to_string(), "pair the device again: pawlctl re-pair")
}

/// Pawl was taken out of this TPM.
pub(crate) fn deprovisioned() -> Problem {
    problem(
        "deprovisioned",
        "nothing of Pawl is in this device's TPM any more",
        "to pair the device after all, run: systemctl restart pawld && pawlctl pair",
    )
}

/// There is no TPM yet, or only others than the one that this device was paired with.
pub(crate) fn no_tpm(error: &pawl_tpm::Error) -> Problem {
    problem(NO_TPM, error.to_string(), error.remedy())
}

/// The daemon is stopping.
pub(crate) fn stopping() -> Problem {
    problem("stopping", "the daemon is stopping", "ask again when it has started: systemctl start pawld")
}

/// The TPM has no epoch counter, or one that is behind the pairing.
pub(crate) fn other_tpm() -> Problem {
    problem(
        "tpm-replaced",
        "the epoch counter of this TPM does not fit the pairing on this disk: the TPM was replaced, cleared, \
         or put back to an older state",
        "pair the device again: pawlctl re-pair",
    )
}

/// The epoch is live and its keys are gone.
pub(crate) fn keys_missing() -> Problem {
    problem(
        "state-damaged",
        "the keys of this device's pairing are missing from the disk",
        "pair the device again: pawlctl re-pair",
    )
}
