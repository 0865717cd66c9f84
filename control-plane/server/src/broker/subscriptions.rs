//! What devices send: the subscriptions, and whether the broker grants them.

use std::sync::Arc;
use std::time::Duration;

use pawl_proto::Channel;
use rumqttc::{AsyncClient, QoS, SubscribeNotice, SubscribeNoticeError};

use crate::control_plane::ControlPlane;

const CHANNELS: [Channel; 3] = [Channel::Status, Channel::Posture, Channel::Receipt];

/// A subscription that the broker refused is asked for again after this: an operator may have changed its access
/// list.
const AGAIN: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(60) };

const REFUSED: &str = "the broker refuses a subscription: what devices send on this topic does not arrive. Let the user \
    pawl-control-plane read pawl/v1/# in the broker's access list, as the packaged pawl.acl does, and have the broker \
    read it again; the control plane asks again every minute";

/// Whether the broker lets the control plane read what devices send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscriptions {
    /// Reports, receipts and states arrive.
    Granted,
    /// At least one of them does not.
    Refused,
}

/// A subscription that was asked for on this connection; none where the client had no room for the request.
type Asked = (Channel, Option<SubscribeNotice>);

/// Asks for all subscriptions, ahead of anything that is published later. A broker that kept the session has them
/// already; asking again is harmless.
pub(super) fn ask_for_all(client: &AsyncClient) -> Vec<Asked> {
    ask(client, &CHANNELS)
}

fn ask(client: &AsyncClient, channels: &[Channel]) -> Vec<Asked> {
    let one = |channel: Channel| {
        client
            .try_subscribe_tracked(channel.of_every_device(), QoS::AtLeastOnce)
            .inspect_err(|error| tracing::error!(%error, channel = channel.as_str(), "cannot subscribe"))
            .ok()
    };
    channels.iter().map(|channel| (*channel, one(*channel))).collect()
}

/// Waits for the broker's answers, and asks again for what it refused until it grants it. Ends early when the
/// connection is lost: the next one asks for all.
pub(super) async fn confirm(plane: Arc<ControlPlane>, client: AsyncClient, mut asked: Vec<Asked>) {
    plane.outbox.set_subscriptions(None);
    loop {
        let mut missing = Vec::new();
        for (channel, notice) in asked {
            let Some(notice) = notice else {
                missing.push(channel);
                continue;
            };
            match notice.wait_completion_async().await {
                Ok(()) => {}
                Err(SubscribeNoticeError::V5SubAckFailure(reasons)) => {
                    tracing::error!(topic = channel.of_every_device(), ?reasons, "{REFUSED}");
                    missing.push(channel);
                }
                Err(_) => return,
            }
        }
        if missing.is_empty() {
            tracing::info!("the broker grants all subscriptions");
            return plane.outbox.set_subscriptions(Some(Subscriptions::Granted));
        }
        plane.outbox.set_subscriptions(Some(Subscriptions::Refused));
        tokio::time::sleep(AGAIN).await;
        asked = ask(&client, &missing);
    }
}
