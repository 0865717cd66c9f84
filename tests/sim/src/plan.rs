//! What happens to a world from outside: persons, operators and faults, at their times. A plan follows from a seed alone, so a
//! lifetime can be run again with any part of it left out.

use crate::rng::Rng;
use crate::tpm::{Hits, TRANSIENT};
use crate::world::Ms;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When, ms since the world began.
    pub at: Ms,
    /// To which device.
    pub device: usize,
    /// What.
    pub action: Action,
    /// Decides what the action leaves open.
    pub salt: u64,
}

/// The actions of persons and operators, and the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what happens")]
pub enum Action {
    // A technician at the device.
    Pair { again: bool },
    GiveUp,
    Wipe,
    Deprovision,
    ApproveHere { person: usize },
    ReplayApproval,
    Confirm,
    WrongConfirmation,
    // Approvers elsewhere.
    ApproveElsewhere { person: usize },
    ApproveElsewhereWrongCode { person: usize },
    Decline,
    // Operators.
    Revoke,
    Repair,
    Refresh,
    Suspend,
    Resume,
    Narrow,
    Widen,
    Accept,
    Settle,
    // The process and the machine.
    Stop,
    Kill,
    PowerCut,
    KillAfter { effects: u32 },
    CutAfter { effects: u32 },
    CutInWrite { operations: u32 },
    Sleep { ms: Ms },
    ClockJump { ms: i64 },
    ClockTo1970,
    BootOther,
    BootApproved,
    // The TPM.
    TpmTrouble { code: u32, commands: u32, hits: Hits },
    TpmSlow { ms: Ms, for_ms: Ms },
    RootIncrements,
    // The disk.
    DiskFull { for_ms: Ms },
    DiskFails { for_ms: Ms },
    DiskSlow { ms: Ms, for_ms: Ms },
    CopyDisk,
    PutBackDisk,
    SwapDisks,
    NewDisk,
    DamageFile,
    // The broker.
    BrokerDown { for_ms: Ms },
    Withhold { for_ms: Ms },
    Drop { for_ms: Ms },
    Duplicate { for_ms: Ms },
    Reorder { for_ms: Ms },
    ForgetSession,
    TakeOver,
    NoPuback { for_ms: Ms },
    NoSubscriber { for_ms: Ms },
    RefuseSuback { for_ms: Ms },
    ReplayOrders,
    Flood,
    SendGarbage,
    // HTTPS.
    Https { fault: HttpsFault, calls: u32 },
    // The control plane.
    PlaneRestarts,
    PlaneFails { after_commit: bool, transactions: u32 },
    PlaneClockJump { ms: i64 },
}

/// How calls over HTTPS fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says how")]
pub enum HttpsFault {
    Unreachable,
    AnswerLost,
    Slow { ms: Ms },
    Status { status: u16 },
    ActedThenStatus { status: u16 },
}

/// Returns the plan of a seed, for a world of so many devices.
#[must_use]
pub fn plan(seed: u64, devices: usize) -> Vec<Decision> {
    let mut rng = Rng::of(seed, 2);
    let mut decisions =
        if seed.is_multiple_of(3) { swarm(&mut rng, devices) } else { mixed(&mut rng, devices) };
    decisions.sort_by_key(|decision| decision.at);
    decisions
}

/// Draws from all actions, but from few kinds of faults.
fn mixed(rng: &mut Rng, devices: usize) -> Vec<Decision> {
    // Most lifetimes have few kinds of faults, so that the consequences of each have time to show.
    let themes: Vec<u64> = (0..rng.between(1, 4)).map(|_| rng.below(THEMES)).collect();
    let count = rng.between(12, 40);
    let mut at = rng.between(1_000, 40_000);
    let mut decisions = Vec::new();
    for _ in 0..count {
        at += match rng.below(10) {
            0..3 => rng.between(1, 400),
            3..7 => rng.between(400, 20_000),
            7..9 => rng.between(20_000, 120_000),
            _ => rng.between(120_000, 900_000),
        };
        let theme = match rng.below(10) {
            0..3 => 0,
            3..5 => 1,
            _ => *themes.get(rng.index(themes.len())).unwrap_or(&0),
        };
        let action = action(rng, theme);
        let device = rng.index(devices);
        decisions.push(Decision { at, device, action, salt: rng.next() });
        // What was asked for is often followed by its approval.
        if matches!(action, Action::Pair { .. }) && rng.chance(3, 4) {
            let mut then = at;
            for _ in 0..rng.between(1, 3) {
                then += rng.between(300, 30_000);
                let action = approval(rng);
                decisions.push(Decision { at: then, device, action, salt: rng.next() });
            }
        }
    }
    decisions
}

/// One to three faults that strike again and again, most of them around the moment of a person's or an operator's
/// action. A fault that is one of many in [`mixed`] meets a rare moment here: the receipt of a wipe on its way through
/// the broker, the renewal of a lease.
fn swarm(rng: &mut Rng, devices: usize) -> Vec<Decision> {
    let faults: Vec<Action> = (0..rng.between(1, 3)).map(|_| fault(rng)).collect();
    let mut at = rng.between(1_000, 60_000);
    let mut decisions = Vec::new();
    for _ in 0..rng.between(8, 24) {
        at += if rng.chance(3, 4) { rng.between(500, 30_000) } else { rng.between(30_000, 600_000) };
        let device = rng.index(devices);
        let fault = *faults.get(rng.index(faults.len())).unwrap_or(&Action::Kill);
        if rng.chance(3, 4) {
            let most = if rng.chance(1, 2) { 50 } else { 2_000 };
            let apart = rng.below(most);
            let at = if rng.chance(1, 2) { at.saturating_sub(apart) } else { at + apart };
            decisions.push(Decision { at, device, action: fault, salt: rng.next() });
        }
        if rng.chance(1, 5) {
            continue;
        }
        let theme = rng.below(2);
        let action = action(rng, theme);
        decisions.push(Decision { at, device, action, salt: rng.next() });
        if matches!(action, Action::Pair { .. }) {
            for _ in 0..rng.between(1, 3) {
                let at = at + rng.between(300, 10_000);
                let action = approval(rng);
                decisions.push(Decision { at, device, action, salt: rng.next() });
            }
        }
    }
    decisions
}

/// A fault of any theme that has one.
fn fault(rng: &mut Rng) -> Action {
    let theme = rng.between(2, THEMES - 1);
    match action(rng, theme) {
        Action::TpmTrouble { code, commands, .. } => {
            let hits = *[Hits::All, Hits::Increments, Hits::Leases, Hits::EveryOther]
                .get(rng.index(4))
                .unwrap_or(&Hits::All);
            Action::TpmTrouble { code, commands, hits }
        }
        other => other,
    }
}

const THEMES: u64 = 9;

fn approval(rng: &mut Rng) -> Action {
    let person = rng.index(PERSONS);
    match rng.below(12) {
        0..5 => Action::ApproveHere { person },
        5..7 => Action::ApproveElsewhere { person },
        7..9 => Action::Confirm,
        9 => Action::ReplayApproval,
        10 => Action::WrongConfirmation,
        _ => Action::ApproveElsewhereWrongCode { person },
    }
}

/// How many persons may approve.
pub const PERSONS: usize = 3;

fn span(rng: &mut Rng) -> Ms {
    rng.between(2_000, 180_000)
}

fn action(rng: &mut Rng, theme: u64) -> Action {
    let for_ms = span(rng);
    match theme {
        0 => match rng.below(12) {
            0..2 => Action::Pair { again: rng.chance(2, 3) },
            2..7 => approval(rng),
            7 => Action::Wipe,
            8 => Action::GiveUp,
            9 => Action::Decline,
            10 => Action::Stop,
            _ => {
                if rng.chance(1, 3) {
                    Action::Deprovision
                } else {
                    Action::Pair { again: true }
                }
            }
        },
        1 => match rng.below(11) {
            0..2 => Action::Revoke,
            2..4 => Action::Repair,
            4 => Action::Refresh,
            5 => Action::Suspend,
            6 => Action::Resume,
            7 => Action::Narrow,
            8 => Action::Widen,
            9 => Action::Accept,
            _ => Action::Settle,
        },
        2 => {
            let effects = u32::try_from(rng.below(25)).unwrap_or(0);
            match rng.below(8) {
                0 => Action::Kill,
                1 => Action::PowerCut,
                2..4 => Action::KillAfter { effects },
                4..6 => Action::CutAfter { effects },
                _ => Action::CutInWrite { operations: effects },
            }
        }
        3 => match rng.below(6) {
            0 => Action::TpmSlow { ms: rng.between(300, 20_000), for_ms },
            1 => Action::RootIncrements,
            _ => Action::TpmTrouble {
                code: *TRANSIENT.get(rng.index(TRANSIENT.len())).unwrap_or(&0x922),
                commands: u32::try_from(rng.between(1, 12)).unwrap_or(1),
                hits: if rng.chance(1, 2) { Hits::Increments } else { Hits::All },
            },
        },
        4 => match rng.below(8) {
            0..2 => Action::DiskFull { for_ms },
            2..4 => Action::DiskFails { for_ms },
            4..6 => Action::DiskSlow { ms: rng.between(500, 40_000), for_ms },
            6 => Action::DamageFile,
            _ => Action::CutInWrite { operations: u32::try_from(rng.below(12)).unwrap_or(0) },
        },
        5 => match rng.below(13) {
            0 => Action::BrokerDown { for_ms },
            1 => Action::Withhold { for_ms },
            2 => Action::Drop { for_ms },
            3 => Action::Duplicate { for_ms },
            4 => Action::Reorder { for_ms },
            5 => Action::ForgetSession,
            6 => Action::TakeOver,
            7 => Action::NoPuback { for_ms },
            8 => Action::NoSubscriber { for_ms },
            9 => Action::RefuseSuback { for_ms },
            10 => Action::ReplayOrders,
            11 => Action::Flood,
            _ => Action::SendGarbage,
        },
        6 => {
            let fault = match rng.below(5) {
                0 => HttpsFault::Unreachable,
                1 => HttpsFault::AnswerLost,
                2 => HttpsFault::Slow { ms: rng.between(2_000, 100_000) },
                3 => HttpsFault::Status { status: *[408, 429, 500, 503].get(rng.index(4)).unwrap_or(&500) },
                _ => {
                    HttpsFault::ActedThenStatus { status: *[408, 500, 503].get(rng.index(3)).unwrap_or(&500) }
                }
            };
            match rng.below(6) {
                0 => Action::PlaneRestarts,
                1 => Action::PlaneFails {
                    after_commit: rng.chance(1, 2),
                    transactions: u32::try_from(rng.between(1, 6)).unwrap_or(1),
                },
                2 => Action::PlaneClockJump { ms: jump(rng) },
                _ => Action::Https { fault, calls: u32::try_from(rng.between(1, 6)).unwrap_or(1) },
            }
        }
        7 => match rng.below(5) {
            0 => Action::Sleep { ms: rng.between(1_000, 2_400_000) },
            1 => Action::ClockTo1970,
            2..4 => Action::ClockJump { ms: jump(rng) },
            _ => {
                if rng.chance(1, 2) {
                    Action::BootOther
                } else {
                    Action::BootApproved
                }
            }
        },
        _ => match rng.below(8) {
            0..3 => Action::CopyDisk,
            3..5 => Action::PutBackDisk,
            5..7 => Action::SwapDisks,
            _ => Action::NewDisk,
        },
    }
}

fn jump(rng: &mut Rng) -> i64 {
    let ms = i64::try_from(rng.between(2_000, 40_000_000)).unwrap_or(0);
    if rng.chance(1, 2) { ms } else { -ms }
}
