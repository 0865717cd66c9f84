//! What is promised, and where each promise is checked: `gates` after every step, `endings` and `grants` when the
//! promise can be broken.

mod endings;
mod gates;
mod grants;

pub use gates::check;

use crate::world::{Ms, World};

macro_rules! promises {
    ($($name:ident: $text:literal,)*) => {
        /// A promise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "`text` says what each promises")]
        pub enum Promise { $($name,)* }

        impl Promise {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The promise, in a sentence.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

promises! {
    NothingAfterAWipe: "from the moment a wipe begins, the process that began it serves no token, and neither does a process that finds its note",
    WorksInItsEpoch: "a gate is open only with keys of this TPM and in the epoch of its counter",
    WorksUnderALease: "a gate is open only while the TPM accepts its lease",
    EntitledWithAnOpenGate: "a device says that it is entitled only while its gate is open: units that are bound to it stop with the lease",
    TransientErrorsCloseNothing: "a TPM that is busy closes no gate whose lease still runs",
    BarredDevicesDoNotWork: "a gate is open only while the last verdict does not bar the device",
    WipesAreNoted: "the note of a wipe goes to the disk as soon as the increment goes to the TPM",
    HoldersAreTold: "holders wake within 400 ms after a wipe began, whatever TPM and disk do",
    LapsesEndByThemselves: "once the faults are over, a device whose pairing lives works again without a technician",
    NoEpochFalls: "no counter falls",
    OwnApproval: "no session is approved without as many persons as it needs, each of whom signed for this very session",
    AsManyAsThePolicyWants: "a session needs as many persons as the policy wants, and only an operator's repair lowers that",
    OneLivePairing: "a device never has two live pairings",
    StandsAlone: "beside an approved session whose pairing is not granted, no pairing of the device lives",
    EarlierKeysAreDead: "once a pairing is granted, the TPM refuses every key that it made for an earlier epoch",
    OneSetOfKeys: "once a pairing is granted, the TPM refuses every other set of keys that was made on its approval",
    EpochsRise: "each pairing of a device is granted in a higher epoch than all before it",
    RequestsChangeNothing: "a daemon ends the epoch of a pairing that lives only when an operator, an approver or somebody at the device wants it",
    RunsWhatWasApproved: "a pairing is granted to the boot state that was approved",
    KeysInTheApprovedTpm: "the keys of a pairing are in the TPM that was approved",
    NoOrderIsLost: "an order to end a pairing is acknowledged only after the counter has moved, and is carried out in the end",
    VerdictsAreKept: "a verdict is acknowledged only when the disk has it, or a newer one, or when the disk has no lease of a barred device",
    TokensAreGranted: "a token is served only within what the last verdict grants",
    TokensComeBack: "once the faults are over, an entitled device has its token within five minutes",
    TokensAreIssuedAsGranted: "a token is issued only within what the operator grants at that moment",
    ReceiptsAreTrue: "a receipt is taken only when the epoch that it names is over",
    ReceiptsArrive: "the receipt of every epoch that a daemon ended arrives",
    RecordsArrive: "the assurance records of a device arrive, without a gap",
    EveryDeviceComesBack: "once the faults are over, a technician and approvers bring every device back",
    OrdersAreSettled: "once the faults are over, the control plane knows of every epoch that ended",
    DeadlinesPass: "a daemon does what is due, and then waits: a deadline that stays in the past would keep a processor busy",
    NothingPanics: "neither side panics",
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// What was seen.
    pub detail: String,
    /// When.
    pub at: Ms,
}

impl World {
    /// A promise is broken. The first one ends the lifetime.
    pub fn broken(&mut self, promise: Promise, detail: String) {
        self.trace(|| format!("BROKEN: {}: {detail}", promise.text()));
        if self.violation.is_none() {
            self.violation = Some(Violation { promise, detail, at: self.now });
        }
    }
}
