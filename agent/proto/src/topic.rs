//! The MQTT topics: `pawl/v1/{device}/{channel}`.

use std::fmt;
use std::str::FromStr;

use crate::id::DeviceId;

/// One topic: a device and what is said there.
///
/// Its text is the external AAD of every signed message (RFC 9052, section 4.4), so a message
/// that is moved to another topic does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Whose topic it is.
    pub device: DeviceId,
    /// What is said there.
    pub channel: Channel,
}

/// What is said on a topic, and by whom. The broker's ACL holds each side to its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// Device: on line or not, state, epoch. Retained; not signed, so a hint.
    Status,
    /// Device: evidence.
    Posture,
    /// Device: the proof that an order was carried out.
    Receipt,
    /// Control plane: the judgement on evidence, with the next nonce and a lease.
    Verdict,
    /// Control plane: an order. Retained, since each names the epoch that it ends.
    Event,
}

const PREFIX: &str = "pawl/v1";

impl Topic {
    /// The topic of `device` for `channel`.
    #[must_use]
    pub fn new(device: DeviceId, channel: Channel) -> Self {
        Self { device, channel }
    }
}

impl Channel {
    const ALL: [Self; 5] = [Self::Status, Self::Posture, Self::Receipt, Self::Verdict, Self::Event];

    /// The last level of the topic.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Posture => "posture",
            Self::Receipt => "receipt",
            Self::Verdict => "verdict",
            Self::Event => "event",
        }
    }

    /// The filter that subscribes to this channel of every device: for the control plane.
    #[must_use]
    pub fn of_every_device(self) -> String {
        format!("{PREFIX}/+/{}", self.as_str())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}/{}/{}", self.device, self.channel.as_str())
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let (device, channel) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.split_once('/'))
            .ok_or(TopicError)?;
        let channel = Channel::ALL.into_iter().find(|known| known.as_str() == channel).ok_or(TopicError)?;
        Ok(Self { device: device.parse().map_err(|_| TopicError)?, channel })
    }
}

/// A text that is no topic of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of the form pawl/v1/DEVICE/CHANNEL")]
pub struct TopicError;
