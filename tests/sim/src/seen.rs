//! What must be seen to happen over many lifetimes: a world in which nothing happens would keep every promise.

use std::collections::BTreeMap;

macro_rules! sights {
    ($($name:ident: $text:literal,)*) => {
        /// A kind of fault, or an event that matters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "`text` says what each is")]
        pub enum Sight { $($name,)* }

        impl Sight {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What happened, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

sights! {
    Paired: "a device was paired",
    PairedAgain: "a device was paired again",
    GateOpened: "a gate opened",
    LeaseRenewed: "a lease was renewed in an open gate",
    TokenServed: "a token was in the vault",
    Wiped: "an epoch was ended by the daemon",
    WipedAtStart: "a process found its epoch over",
    RevocationOrdered: "an operator ordered a revocation",
    RepairOrdered: "an operator ordered a repair",
    OrderCarriedOut: "a device carried an order out",
    ReceiptTaken: "the control plane took a receipt",
    Suspended: "a device was suspended",
    Resumed: "a suspended device was resumed",
    EntitlementChanged: "the operator changed what a device is granted",
    ApprovedHere: "a person approved at the device",
    ApprovedElsewhere: "a person approved on another machine",
    Confirmed: "a confirmation counted",
    ApprovalReplayed: "an approval of another session was handed in",
    WrongCode: "an approver typed a wrong code",
    WorksWhileItWaits: "the old pairing worked while a session waited",
    ApprovalResumed: "a process resumed an approved pairing",
    LapsedByDrift: "a device lapsed because it booted something else",
    ProcessKilled: "a process was killed",
    KilledBetweenEffects: "a process was killed between two effects",
    PowerCut: "the power failed",
    CutBetweenEffects: "the power failed between two effects",
    CutInWrite: "the power failed inside a write",
    Stopped: "a process was stopped in order",
    Slept: "a device was suspended to RAM",
    ClockJumped: "a device's wall clock jumped",
    At1970: "a device's wall clock stood at 1970",
    BootedOther: "a device booted another image",
    TpmRefused: "the TPM refused a command",
    IncrementRefused: "the TPM refused an increment",
    TpmSlow: "the TPM was slow",
    RootIncremented: "root moved the counter on",
    CounterRemoved: "the counter was removed",
    DiskFull: "a disk was full",
    DiskFailed: "a disk failed",
    DiskSlow: "a disk was slow",
    DiskDamaged: "a file was damaged",
    DiskPutBack: "an older copy of a disk was put back",
    DisksSwapped: "two devices had their disks exchanged",
    DiskNew: "a device got an empty disk",
    WriteFailed: "a write failed",
    BrokerDown: "the broker was away",
    MessageDropped: "the broker dropped a message",
    MessageDuplicated: "the broker sent a message twice",
    MessageReordered: "the broker reordered messages",
    MessageWithheld: "the broker withheld messages",
    SessionForgotten: "the broker forgot a session",
    SessionTaken: "another client took a device's session",
    NoSubscriber: "a message had no subscriber",
    PubackMissing: "a PUBACK did not come",
    SubackRefused: "the broker refused a subscription",
    OrdersReplayed: "orders were sent again",
    Flooded: "a device was flooded with bad messages",
    Babbled: "a device sent garbage to the control plane",
    HttpsUnreachable: "a call did not reach the control plane",
    HttpsAnswerLost: "an answer was lost after the control plane acted",
    HttpsSlow: "a call was slow",
    HttpsStatus: "the control plane answered with an error status",
    PlaneRestarted: "the control plane was restarted",
    PlaneFailed: "the control plane's database failed",
    PlaneClockJumped: "the control plane's clock jumped",
    BroughtBack: "a device was brought back after its faults",
}

/// How often each was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<Sight, u64>);

impl Seen {
    /// Counts a sight.
    pub fn saw(&mut self, sight: Sight) {
        *self.0.entry(sight).or_default() += 1;
    }

    /// Returns how often it was seen.
    #[must_use]
    pub fn count(&self, sight: Sight) -> u64 {
        self.0.get(&sight).copied().unwrap_or(0)
    }

    /// Adds what another world saw.
    pub fn add(&mut self, other: &Self) {
        for (sight, count) in &other.0 {
            *self.0.entry(*sight).or_default() += count;
        }
    }

    /// Returns what was never seen.
    #[must_use]
    pub fn missing(&self) -> Vec<Sight> {
        Sight::ALL.iter().copied().filter(|sight| self.count(*sight) == 0).collect()
    }
}
