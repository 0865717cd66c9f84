/// One of the two devices: its TPM, and so its name to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceId {
    /// One.
    Left,
    /// The other.
    Right,
}

impl DeviceId {
    pub(crate) const ALL: [Self; 2] = [Self::Left, Self::Right];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Something that each device has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Both<T> {
    pub(crate) left: T,
    pub(crate) right: T,
}

impl<T> Both<T> {
    pub(crate) fn of(&self, device: DeviceId) -> &T {
        match device {
            DeviceId::Left => &self.left,
            DeviceId::Right => &self.right,
        }
    }

    pub(crate) fn of_mut(&mut self, device: DeviceId) -> &mut T {
        match device {
            DeviceId::Left => &mut self.left,
            DeviceId::Right => &mut self.right,
        }
    }

    /// Whether `holds` is true of both.
    pub(crate) fn all(&self, holds: impl Fn(DeviceId, &T) -> bool) -> bool {
        holds(DeviceId::Left, &self.left) && holds(DeviceId::Right, &self.right)
    }

    /// Whether `holds` is true of one.
    pub(crate) fn any(&self, holds: impl Fn(DeviceId, &T) -> bool) -> bool {
        holds(DeviceId::Left, &self.left) || holds(DeviceId::Right, &self.right)
    }
}
