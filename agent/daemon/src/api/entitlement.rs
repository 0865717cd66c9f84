//! `GET /v1/entitlement?wait=true|false`: answers when the device is entitled, or no longer is.
//!
//! Whoever holds something that may be used only while the device is entitled waits here, and
//! is told at a wipe before the receipt is made.

use pawl_proto::local::EntitlementStatus;

use super::Api;
use super::answer::{Answer, parameter};

impl Api {
    pub(super) async fn entitlement(&self, query: &str) -> Answer {
        match parameter(query, "wait").as_deref() {
            Some("true") => self.shared.gate.wait(true).await,
            Some("false") => self.shared.gate.wait(false).await,
            Some(_) => return Answer::bad_request("wait is true or false"),
            None => {}
        }
        Answer::ok(&EntitlementStatus { entitled: self.shared.gate.is_open() })
    }
}
