//! What is promised of every state that can be reached.

/// The gate is closed from the moment a wipe begins: for the process that began it, for the one
/// after a kill, and past the increment for every process and every disk.
pub const NO_TOKEN_AFTER_A_WIPE: &str = "no token is served after its wipe began";

/// The gate is open in the epoch of this TPM's counter, and with keys of this TPM.
pub const WORKS_IN_ITS_EPOCH: &str = "a device works in its counter's epoch alone";

/// The counter never falls.
pub const NO_EPOCH_FALLS: &str = "no epoch falls";

/// As many persons as the policy wants, each for this session, each at this device.
pub const OWN_APPROVAL: &str = "no pairing without the approvals of its own session";

/// One, or none.
pub const ONE_LIVE_PAIRING: &str = "never two live pairings of one device";

/// Beside a pairing that is approved and not yet granted, no other lives or is approved.
pub const STANDS_ALONE: &str = "an approved pairing stands alone";

/// In the TPM, whoever holds copies of key blobs and leases.
pub const EARLIER_KEYS_ARE_DEAD: &str = "earlier keys are dead once the next pairing is granted";

/// While the control plane says that a pairing lives, nothing on the device ends it: if the device
/// has ever kept it, and has not been given an older disk of its own. But for root, who may move the
/// counter on.
pub const A_REQUEST_CHANGES_NOTHING: &str = "what nobody approved or ordered changes nothing";

/// The keys that were granted; none that an earlier process made on the same approval.
pub const ONE_SET_OF_KEYS: &str = "a live pairing has one set of keys";

/// One session, one pairing.
pub const SPENT_ONCE: &str = "an approval is spent once";

/// The image that was approved.
pub const RUNS_WHAT_WAS_APPROVED: &str = "a pairing runs what was approved";

/// The TPM that was approved.
pub const KEYS_IN_THE_APPROVED_TPM: &str = "the keys of a pairing are in the TPM that was approved";

/// Nobody's approval is waived because an approval ended the last pairing.
pub const WAIVED_BY_THE_OPERATOR: &str = "only the operator waives an approval";

/// The counter has left the epoch whose end a receipt certifies.
pub const A_RECEIPT_IS_TRUE: &str = "a receipt is true";

/// With a technician, an approver and no more faults, from every state.
pub const CAN_BE_MENDED: &str = "every device can be mended";
