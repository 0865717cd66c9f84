/// How far the world is looked at. Every order of everything within the bounds is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Sessions that the devices may open, both together.
    pub sessions: u8,
    /// Orders that the operator may give.
    pub orders: u8,
    /// Things that may go wrong: a killed process, a power cut, a lost answer, a disk that is put
    /// back or new, another image booted, a session that expires, a code read at the wrong device,
    /// root that moves the counter or spares itself the wipe.
    pub faults: u8,
}

impl Bounds {
    /// For every run of the tests: seconds.
    pub const SMALL: [Self; 2] = [Self::of(2, 1, 0), Self::of(1, 1, 1)];
    /// For `./dev model`: minutes.
    pub const LARGE: [Self; 3] = [Self::of(2, 1, 1), Self::of(3, 1, 0), Self::of(1, 1, 3)];

    /// So many sessions, orders and faults.
    #[must_use]
    pub const fn of(sessions: u8, orders: u8, faults: u8) -> Self {
        Self { sessions, orders, faults }
    }

    pub(crate) fn allows(&self, cost: Cost) -> bool {
        match cost {
            Cost::Free => true,
            Cost::Session => self.sessions > 0,
            Cost::Order => self.orders > 0,
            Cost::Fault => self.faults > 0,
        }
    }

    /// Takes the cost, as far as there is something to take: a mended device needs no allowance.
    pub(crate) fn pay(&mut self, cost: Cost) {
        match cost {
            Cost::Free => {}
            Cost::Session => self.sessions = self.sessions.saturating_sub(1),
            Cost::Order => self.orders = self.orders.saturating_sub(1),
            Cost::Fault => self.faults = self.faults.saturating_sub(1),
        }
    }
}

/// What an action takes from the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    Free,
    Session,
    Order,
    Fault,
}

/// How many persons must approve, as the control plane's `[approvals]` has it.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The first pairing of a device.
    pub pair: u8,
    /// Every later one.
    pub re_pair: u8,
    /// One after a `repair` that the operator ordered.
    pub after_repair: u8,
}

impl Policy {
    /// One person at every re-pair, nobody where the operator ordered it.
    pub const ONE_PERSON: Self = Self { pair: 0, re_pair: 1, after_repair: 0 };
    /// The two-person rule.
    pub const TWO_PERSONS: Self = Self { pair: 1, re_pair: 2, after_repair: 2 };

    /// The persons there are: as many as are ever needed.
    pub(crate) fn people(&self) -> u8 {
        self.pair.max(self.re_pair).max(self.after_repair)
    }
}
