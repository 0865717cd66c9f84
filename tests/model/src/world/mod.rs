//! Two devices, a control plane, a broker, people and what may befall them: one state, and what
//! may happen next.

mod action;
mod apply;

use stateright::{Model, Property};

use crate::bounds::{Bounds, Cost, Policy};
use crate::control_plane::ControlPlane;
use crate::device::{Device, Disk};
use crate::fleet::{Both, DeviceId};
use crate::mend::Mended;
use crate::people::Signed;
use crate::properties;
use crate::rules::Rules;

pub use action::{Action, Answer};

/// What is checked: the rules that hold, the policy on approvals, and how far to look.
#[derive(Debug)]
pub struct World {
    /// The rules of the protocol.
    pub rules: Rules,
    /// Who must approve.
    pub policy: Policy,
    /// How far to look.
    pub bounds: Bounds,
    /// Also the orders of things that make no difference. The tests compare the two.
    pub every_order: bool,
    pub(crate) mended: Mended,
}

impl World {
    /// The protocol as it is designed, one person at every re-pair.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            rules: Rules::ALL,
            policy: Policy::ONE_PERSON,
            bounds,
            every_order: false,
            mended: Mended::default(),
        }
    }
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) devices: Both<Device>,
    pub(crate) control_plane: ControlPlane,
    pub(crate) signed: Signed,
    /// A copy that somebody took of a device's disk.
    pub(crate) copy: Option<(DeviceId, Disk)>,
    /// What the bounds still allow.
    pub(crate) left: Bounds,
}

impl Model for World {
    type State = State;
    type Action = Action;

    /// Both devices are paired, or one is and the other never was.
    fn init_states(&self) -> Vec<State> {
        let mut control_plane = ControlPlane::default();
        let left = control_plane.paired_before(DeviceId::Left);
        let one = State {
            devices: Both { left: Device::paired(left), right: Device::unpaired() },
            control_plane,
            signed: Signed::default(),
            copy: None,
            left: self.bounds,
        };
        let mut both = one.clone();
        both.devices.right = Device::paired(both.control_plane.paired_before(DeviceId::Right));
        vec![both, one]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::possible(self, state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        apply::apply(self, &mut next, action)?;
        next.left.pay(action.cost(state));
        if !next.left.allows(Cost::Fault) {
            // Nobody can put it back any more.
            next.copy = None;
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
