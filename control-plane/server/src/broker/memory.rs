use std::future::Future;
use std::pin::Pin;

use rumqttc::{PersistedAckMode, PersistedSession, SessionStore, SessionStoreError, SessionStoreKey};

use super::session::{CLIENT_ID, IN_FLIGHT, SESSION_EXPIRY};

/// Lets the MQTT client go on with the session that the broker kept over a restart of this
/// program. What was in flight is not restored: the database knows what the broker has not
/// acknowledged, and it is published anew.
#[derive(Debug)]
pub(super) struct NothingInFlight;

type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingInFlight {
    fn load<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, Option<PersistedSession>> {
        Box::pin(async {
            Ok(Some(PersistedSession {
                format_version: 1,
                client_id: CLIENT_ID.to_owned(),
                clean_start: false,
                session_expiry_interval: Some(SESSION_EXPIRY),
                outgoing_inflight_upper_limit: Some(IN_FLIGHT),
                ack_mode: PersistedAckMode::Manual,
                last_pkid: 0,
                last_puback: 0,
                replay: Vec::new(),
                incoming_qos2: Vec::new(),
            }))
        })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
