/// The rules of the design that keep the promises. All of them hold in the real protocol; the
/// tests break one at a time and expect the promise that it keeps to break.
#[derive(Clone, Debug)]
pub struct Rules {
    // The TPM
    /// PolicyNV: a lease is good in one epoch.
    pub a_lease_names_its_epoch: bool,
    /// A counter that is undefined and defined again starts above every value it had.
    pub a_new_counter_starts_above: bool,

    // A wipe
    /// The gate closes before anything else.
    pub the_gate_closes_first: bool,
    /// `revocation.cbor` is written, if not synced, before the increment.
    pub a_wipe_is_noted_first: bool,
    /// The increment comes before anything is unlinked, or called done.
    pub the_increment_comes_before_the_unlink: bool,
    /// No verdict opens a gate that a wipe has closed.
    pub a_wipe_is_final: bool,
    /// A receipt carries the certified counter, and the control plane looks at it.
    pub a_receipt_certifies_the_counter: bool,

    // What a device believes
    /// An event for another epoch is history.
    pub an_event_names_its_epoch: bool,
    /// An event on another device's topic is not for this one.
    pub an_event_names_its_device: bool,
    /// The note of the old pairing's end goes before the new record comes, whose epoch may have the
    /// same number if the disk was another device's.
    pub the_note_goes_before_the_new_record: bool,
    /// The record of another TPM's pairing is no order to this one.
    pub a_record_names_its_tpm: bool,
    /// An approved session that is found on the disk must be this TPM's.
    pub a_kept_approval_names_its_tpm: bool,
    /// The answer to a session must be the answer to this session.
    pub an_answer_names_its_session: bool,

    // A re-pair on the device
    /// The old pairing is wiped when the new one is approved, and not before.
    pub the_wipe_waits_for_the_approval: bool,
    /// The counter is moved above the epoch that the approval names.
    pub the_device_climbs: bool,
    /// A session that is taken up at start goes on in a new epoch: keys that an earlier process made
    /// on the same approval are dead.
    pub a_resumed_session_moves_on: bool,
    /// A proof that is refused ends the session on the device.
    pub a_refused_session_is_given_up: bool,

    // The control plane
    /// What was signed for one session counts in no other.
    pub an_approval_names_its_session: bool,
    /// Two approvals are two persons.
    pub approvals_are_of_different_persons: bool,
    /// An approval from elsewhere counts when the device has its confirmation.
    pub an_approval_from_elsewhere_is_confirmed: bool,
    /// The old pairing ends in the transaction of the last approval.
    pub an_approval_ends_the_old_pairing: bool,
    /// A session that is proven takes the place of the device's earlier one.
    pub a_newer_session_replaces_the_older: bool,
    /// MakeCredential: only the TPM that asked can use the answer.
    pub a_credential_opens_in_one_tpm: bool,
    /// A session brings one pairing.
    pub a_session_is_spent_once: bool,
    /// A pairing lives in an epoch above every earlier one's.
    pub a_pairing_has_an_epoch_of_its_own: bool,
    /// The boot state of the proof is the one that was approved.
    pub the_boot_state_is_the_approved_one: bool,
    /// Only a `repair` that the operator ordered lets a device pair without a person; one that an
    /// approval caused does not.
    pub only_the_operator_waives_an_approval: bool,
}

impl Rules {
    /// The protocol as it is designed.
    pub const ALL: Self = Self {
        a_lease_names_its_epoch: true,
        a_new_counter_starts_above: true,
        the_gate_closes_first: true,
        a_wipe_is_noted_first: true,
        the_increment_comes_before_the_unlink: true,
        a_wipe_is_final: true,
        a_receipt_certifies_the_counter: true,
        an_event_names_its_epoch: true,
        an_event_names_its_device: true,
        the_note_goes_before_the_new_record: true,
        a_record_names_its_tpm: true,
        a_kept_approval_names_its_tpm: true,
        an_answer_names_its_session: true,
        the_wipe_waits_for_the_approval: true,
        the_device_climbs: true,
        a_resumed_session_moves_on: true,
        a_refused_session_is_given_up: true,
        an_approval_names_its_session: true,
        approvals_are_of_different_persons: true,
        an_approval_from_elsewhere_is_confirmed: true,
        an_approval_ends_the_old_pairing: true,
        a_newer_session_replaces_the_older: true,
        a_credential_opens_in_one_tpm: true,
        a_session_is_spent_once: true,
        a_pairing_has_an_epoch_of_its_own: true,
        the_boot_state_is_the_approved_one: true,
        only_the_operator_waives_an_approval: true,
    };
}
