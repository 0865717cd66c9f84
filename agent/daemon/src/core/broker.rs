//! The connection of a live pairing to the broker, and its subscriptions. Without them no message of the control plane arrives,
//! so the daemon asks for them until the broker grants them.

use std::time::Duration;

use pawl_local_api::BrokerStatus;

use super::context::Context;
use super::effect::Effect;
use crate::backoff::Backoff;
use crate::record::PairingRecord;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

pub(super) struct Broker {
    status: BrokerStatus,
    /// When to ask for the subscriptions again.
    subscribe: Option<Duration>,
    backoff: Backoff,
}

impl Broker {
    /// Returns the broker of a pairing, not connected yet.
    pub(super) fn of(record: &PairingRecord) -> Self {
        let address = Some(format!("{}:{}", record.broker.host, record.broker.port));
        Self {
            status: BrokerStatus { address, ..BrokerStatus::default() },
            subscribe: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
        }
    }

    pub(super) fn connected(&mut self) {
        tracing::info!(broker = self.status.address, "connected to the broker");
        (self.status.connected, self.status.error, self.subscribe) = (true, None, None);
    }

    pub(super) fn lost(&mut self, error: String) {
        tracing::warn!(error, broker = self.status.address, "no connection to the broker; retrying");
        (self.status.connected, self.status.error, self.subscribe) = (false, Some(error), None);
    }

    pub(super) fn subscribed(&mut self) {
        self.backoff.reset();
        (self.status.error, self.subscribe) = (None, None);
    }

    /// Schedules another subscription, because the broker refused one.
    pub(super) fn subscription_refused(&mut self, cx: &mut Context, error: String) {
        tracing::error!(error, "messages of the control plane cannot arrive; subscribing again");
        self.status.error = Some(error);
        self.subscribe = Some(cx.retry(&mut self.backoff));
    }

    pub(super) fn is_connected(&self) -> bool {
        self.status.connected
    }

    pub(super) fn status(&self) -> &BrokerStatus {
        &self.status
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.subscribe
    }

    /// Asks for the subscriptions again, if that is due.
    pub(super) fn run_due(&mut self, cx: &mut Context) {
        if cx.is_due(self.subscribe) {
            self.subscribe = None;
            cx.push(Effect::Subscribe);
        }
    }
}
