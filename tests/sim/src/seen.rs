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
    Narrowed: "an operator took a scope from a device",
    Widened: "an operator granted a device a scope",
    ReportOrdered: "an operator ordered a report",
    StateAccepted: "an operator accepted a boot state",
    IncidentsSettled: "an operator settled incidents",
    Declined: "an operator declined a session",
    ApprovedHere: "a person approved at the device",
    ApprovedElsewhere: "a person approved on another machine",
    Confirmed: "a confirmation counted",
    ApprovalReplayed: "an approval of another session was submitted",
    WrongCode: "an approver typed a wrong code",
    WrongConfirmation: "a technician typed another device's confirmation",
    GivenUp: "a technician gave a session up",
    WipeAsked: "a technician asked for a wipe",
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
    TimeSet: "a time server set a device's wall clock",
    BootedOther: "a device booted another image",
    BootedApproved: "a device booted the approved image again",
    TpmRefused: "the TPM refused a command",
    IncrementRefused: "the TPM refused an increment",
    LeaseCheckRefused: "the TPM was too busy to check a lease",
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
    GarbageSent: "a device sent garbage to the control plane",
    HttpsUnreachable: "a call did not reach the control plane",
    HttpsAnswerLost: "an answer was lost after the control plane acted",
    HttpsSlow: "a call was slow",
    HttpsStatus: "the control plane answered with an error status",
    HttpsActed: "the control plane acted, and answered with an error status",
    PlaneRestarted: "the control plane was restarted",
    PlaneFailed: "the control plane's database failed",
    PlaneFailedLate: "the control plane's database failed after it had committed",
    PlaneClockJumped: "the control plane's clock jumped",
    BroughtBack: "a device was brought back after its faults",
}

/// A run of so many lifetimes fails where one of [`Sight::ALL`] was never seen.
pub const ENOUGH: u64 = 1000;

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

    /// Returns what was never seen, although so many lifetimes had to show it.
    #[must_use]
    pub fn missing(&self, lifetimes: u64) -> Vec<Sight> {
        let is_missing = |sight: &Sight| lifetimes >= ENOUGH && self.count(*sight) == 0;
        Sight::ALL.iter().copied().filter(is_missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::{Action, HttpsFault, plan};
    use crate::tpm::Hits;
    use crate::world::DEVICES;

    /// What devices and control planes do about it. No action of a plan brings one about by itself.
    const OUTCOMES: [Sight; 13] = [
        Sight::PairedAgain,
        Sight::GateOpened,
        Sight::LeaseRenewed,
        Sight::TokenServed,
        Sight::Wiped,
        Sight::WipedAtStart,
        Sight::OrderCarriedOut,
        Sight::ReceiptTaken,
        Sight::WorksWhileItWaits,
        Sight::ApprovalResumed,
        Sight::LapsedByDrift,
        Sight::WriteFailed,
        Sight::BroughtBack,
    ];

    /// Returns what is counted where an action strikes. An action that is counted nowhere does not compile.
    fn sights(action: Action) -> Vec<Sight> {
        let sight = match action {
            Action::Pair { .. } => Sight::Paired,
            Action::GiveUp => Sight::GivenUp,
            Action::Wipe => Sight::WipeAsked,
            Action::Deprovision => Sight::CounterRemoved,
            Action::ApproveHere { .. } => Sight::ApprovedHere,
            Action::ReplayApproval => Sight::ApprovalReplayed,
            Action::Confirm => Sight::Confirmed,
            Action::WrongConfirmation => Sight::WrongConfirmation,
            Action::ApproveElsewhere { .. } => Sight::ApprovedElsewhere,
            Action::ApproveElsewhereWrongCode { .. } => Sight::WrongCode,
            Action::Decline => Sight::Declined,
            Action::Revoke => Sight::RevocationOrdered,
            Action::Repair => Sight::RepairOrdered,
            Action::Refresh => Sight::ReportOrdered,
            Action::Suspend => Sight::Suspended,
            Action::Resume => Sight::Resumed,
            Action::Narrow => Sight::Narrowed,
            Action::Widen => Sight::Widened,
            Action::Accept => Sight::StateAccepted,
            Action::Settle => Sight::IncidentsSettled,
            Action::Stop => Sight::Stopped,
            Action::Kill => Sight::ProcessKilled,
            Action::PowerCut => Sight::PowerCut,
            Action::KillAfter { .. } => Sight::KilledBetweenEffects,
            Action::CutAfter { .. } => Sight::CutBetweenEffects,
            Action::CutInWrite { .. } => Sight::CutInWrite,
            Action::Sleep { .. } => Sight::Slept,
            Action::ClockJump { .. } => Sight::ClockJumped,
            Action::ClockTo1970 => return vec![Sight::At1970, Sight::TimeSet],
            Action::BootOther => Sight::BootedOther,
            Action::BootApproved => Sight::BootedApproved,
            Action::TpmTrouble { hits: Hits::All | Hits::EveryOther, .. } => Sight::TpmRefused,
            Action::TpmTrouble { hits: Hits::Increments, .. } => Sight::IncrementRefused,
            Action::TpmTrouble { hits: Hits::Leases, .. } => Sight::LeaseCheckRefused,
            Action::TpmSlow { .. } => Sight::TpmSlow,
            Action::RootIncrements => Sight::RootIncremented,
            Action::DiskFull { .. } => Sight::DiskFull,
            Action::DiskFails { .. } => Sight::DiskFailed,
            Action::DiskSlow { .. } => Sight::DiskSlow,
            Action::CopyDisk | Action::PutBackDisk => Sight::DiskPutBack,
            Action::SwapDisks => Sight::DisksSwapped,
            Action::NewDisk => Sight::DiskNew,
            Action::DamageFile => Sight::DiskDamaged,
            Action::BrokerDown { .. } => Sight::BrokerDown,
            Action::Withhold { .. } => Sight::MessageWithheld,
            Action::Drop { .. } => Sight::MessageDropped,
            Action::Duplicate { .. } => Sight::MessageDuplicated,
            Action::Reorder { .. } => Sight::MessageReordered,
            Action::ForgetSession => Sight::SessionForgotten,
            Action::TakeOver => Sight::SessionTaken,
            Action::NoPuback { .. } => Sight::PubackMissing,
            Action::NoSubscriber { .. } => Sight::NoSubscriber,
            Action::RefuseSuback { .. } => Sight::SubackRefused,
            Action::ReplayOrders => Sight::OrdersReplayed,
            Action::Flood => Sight::Flooded,
            Action::SendGarbage => Sight::GarbageSent,
            Action::Https { fault: HttpsFault::Unreachable, .. } => Sight::HttpsUnreachable,
            Action::Https { fault: HttpsFault::AnswerLost, .. } => Sight::HttpsAnswerLost,
            Action::Https { fault: HttpsFault::Slow { .. }, .. } => Sight::HttpsSlow,
            Action::Https { fault: HttpsFault::Status { .. }, .. } => Sight::HttpsStatus,
            Action::Https { fault: HttpsFault::ActedThenStatus { .. }, .. } => Sight::HttpsActed,
            Action::PlaneRestarts => Sight::PlaneRestarted,
            Action::PlaneFails { after_commit: false, .. } => Sight::PlaneFailed,
            Action::PlaneFails { after_commit: true, .. } => Sight::PlaneFailedLate,
            Action::PlaneClockJump { .. } => Sight::PlaneClockJumped,
        };
        vec![sight]
    }

    #[test]
    fn plans_of_a_long_run_have_every_action_and_each_is_counted() {
        let planned: BTreeSet<Sight> = (1..=ENOUGH)
            .flat_map(|seed| plan(seed, DEVICES))
            .flat_map(|decision| sights(decision.action))
            .collect();
        let all: BTreeSet<Sight> = Sight::ALL.iter().copied().collect();
        let outcomes = BTreeSet::from(OUTCOMES);
        assert_eq!(all.difference(&outcomes).copied().collect::<BTreeSet<_>>(), planned);
    }

    #[test]
    fn a_long_run_fails_if_anything_was_never_seen() {
        for absent in Sight::ALL {
            let mut seen = Seen::default();
            Sight::ALL.iter().filter(|sight| *sight != absent).for_each(|sight| seen.saw(*sight));
            assert_eq!(seen.missing(ENOUGH), [*absent]);
            assert_eq!(seen.missing(ENOUGH - 1), []);
            seen.saw(*absent);
            assert_eq!(seen.missing(ENOUGH), []);
        }
    }
}
