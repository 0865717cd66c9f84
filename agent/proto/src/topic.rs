//! The MQTT topics: `pawl/v1/{device}/{channel}`.

use std::fmt;
use std::str::FromStr;

use crate::id::DeviceId;

/// One topic: a device and a channel.
///
/// Its text is the external AAD of every signed message (RFC 9052, section 4.4), so a message
/// that is moved to another topic does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// The device.
    pub device: DeviceId,
    /// The channel.
    pub channel: Channel,
}

/// A kind of message, and which side sends it. The broker's ACL restricts each side to its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// Device: whether it is on line, state, epoch. Retained; not signed, so only a hint.
    Status,
    /// Device: reports.
    Posture,
    /// Device: the proof that an epoch has ended.
    Receipt,
    /// Control plane: the verdict on a report, with the next nonce and a lease.
    Verdict,
    /// Control plane: an event. Retained: each names its epoch, so a late one is harmless.
    Event,
}

const PREFIX: &str = "pawl/v1";

impl Topic {
    /// Returns the topic of `device` for `channel`.
    #[must_use]
    pub fn new(device: DeviceId, channel: Channel) -> Self {
        Self { device, channel }
    }
}

impl Channel {
    const ALL: [Self; 5] = [Self::Status, Self::Posture, Self::Receipt, Self::Verdict, Self::Event];

    /// Returns the last level of the topic.
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

    /// Returns the filter that subscribes to this channel of all devices, for the control plane.
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

/// The text is not a topic of Pawl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of the form pawl/v1/DEVICE/CHANNEL")]
pub struct TopicError;
