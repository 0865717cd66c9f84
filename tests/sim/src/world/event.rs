//! What is going to happen, and the order in which it does.

use pawld::core::{CallAnswer, CallFailure, Ticket};

use super::Ms;
use crate::broker::{Client, Fate};
use crate::https::Request;
use crate::plan::HttpsFault;
use crate::publisher::Parcel;

/// Something that is going to happen.
#[expect(missing_docs, reason = "the fields say to whom and what")]
pub enum WorldEvent {
    Decision(usize),
    Start(usize, u64),
    Timer(usize, u64),
    TpmDone(usize, u64),
    DiskDone(usize, u64),
    Connect {
        device: usize,
        run: u64,
        link: u64,
    },
    Suback {
        device: usize,
        run: u64,
        connection: u64,
        granted: bool,
    },
    Puback {
        device: usize,
        run: u64,
        connection: u64,
        fate: Fate,
    },
    Message {
        client: Client,
        connection: u64,
        id: u64,
        topic: String,
        payload: Vec<u8>,
    },
    Cut(Client),
    Request {
        device: usize,
        run: u64,
        ticket: Ticket,
        request: Box<Request>,
        fault: Option<HttpsFault>,
        begun: Ms,
    },
    Answer {
        device: usize,
        run: u64,
        ticket: Ticket,
        answer: Result<CallAnswer, CallFailure>,
    },
    PlaneTick,
    PlanePuback {
        connection: u64,
        parcel: Parcel,
        is_taken: bool,
    },
    PlaneStalled {
        connection: u64,
    },
    TimeIsSet(usize),
    DiskRepaired(usize),
}

impl WorldEvent {
    /// Returns a number for the kind of event, and the device that it concerns.
    pub(super) fn kind(&self) -> (u64, Option<usize>) {
        match self {
            Self::Decision(_) => (1, None),
            Self::Start(device, _) => (2, Some(*device)),
            Self::Timer(device, _) => (3, Some(*device)),
            Self::TpmDone(device, _) => (4, Some(*device)),
            Self::DiskDone(device, _) => (5, Some(*device)),
            Self::Connect { device, .. } => (6, Some(*device)),
            Self::Suback { device, .. } => (7, Some(*device)),
            Self::Puback { device, .. } => (8, Some(*device)),
            Self::Message { client, .. } => (9, Some(*client)),
            Self::Cut(client) => (10, Some(*client)),
            Self::Request { device, .. } => (11, Some(*device)),
            Self::Answer { device, .. } => (12, Some(*device)),
            Self::PlaneTick => (13, None),
            Self::PlanePuback { .. } => (14, None),
            Self::PlaneStalled { .. } => (15, None),
            Self::TimeIsSet(device) => (16, Some(*device)),
            Self::DiskRepaired(device) => (17, Some(*device)),
        }
    }

    pub(super) fn is_at_a_device(&self) -> bool {
        !matches!(self, Self::Request { .. } | Self::TimeIsSet(_) | Self::DiskRepaired(_))
    }
}

/// An event with its time. Of those at the same time the first that was scheduled comes first.
pub(super) struct Scheduled {
    pub(super) at: Ms,
    pub(super) number: u64,
    pub(super) event: WorldEvent,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
