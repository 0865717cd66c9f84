use pawl_proto::message::{Event, EventKind};
use pawl_proto::{Channel, DeviceId, Epoch, EventId, SessionId, Topic};
use rusqlite::{OptionalExtension as _, Row, params};

use super::value::{from_name, from_text, known, to_name};
use super::{StoreError, Tx};

/// An event and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Its id.
    pub id: EventId,
    /// What was ordered.
    pub kind: EventKind,
    /// For which epoch.
    pub epoch: Epoch,
    /// Its number.
    pub sequence: u64,
    /// When it was ordered.
    pub time: u64,
    /// Why.
    pub reason: String,
    /// The session whose approval ordered it; none when an operator did.
    pub session: Option<SessionId>,
    /// When it was last handed to the broker, Unix milliseconds.
    pub published_at_ms: Option<u64>,
    /// When the broker last acknowledged it, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// Whether it is known to be carried out.
    pub settled: bool,
}

const COLUMNS: &str =
    "id, kind, epoch, sequence, time, reason, published_at_ms, acknowledged_at_ms, settled, session";

impl Tx<'_> {
    /// The number of the next event of a device. It is given out once.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn next_event_sequence(&self, device: DeviceId) -> Result<u64, StoreError> {
        Ok(self.sql.query_row(
            "UPDATE device SET event_sequence = event_sequence + 1 WHERE id = ?1 RETURNING event_sequence",
            [device.as_str()],
            |row| row.get(0),
        )?)
    }

    /// Adds an event and its signed message. `session` is the one whose approval ordered it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn add_event(
        &self,
        event: &Event,
        session: Option<SessionId>,
        message: &[u8],
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "INSERT INTO event (id, device, kind, epoch, sequence, time, reason, message, session) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                event.id.to_string(),
                event.device.as_str(),
                to_name(event.kind, "event kind")?,
                event.epoch.0,
                event.sequence,
                event.time,
                event.reason.as_str(),
                message,
                session.map(|session| session.to_string()),
            ],
        )?;
        Ok(())
    }

    /// The events of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn events(&self, device: DeviceId) -> Result<Vec<EventRow>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE device = ?1 ORDER BY sequence"))?;
        let rows = statement.query_map([device.as_str()], |row| Ok(read(row)))?;
        rows.map(|row| row?).collect()
    }

    /// The signed message of the newest order that ends this epoch.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn ending_event(&self, device: DeviceId, epoch: Epoch) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT message FROM event WHERE device = ?1 AND epoch = ?2 AND kind IN ('revoke', 'repair') \
             ORDER BY sequence DESC LIMIT 1",
        )?;
        Ok(statement.query_row(params![device.as_str(), epoch.0], |row| row.get(0)).optional()?)
    }

    /// The orders for this epoch whose end is not known yet.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn pending_events(&self, device: DeviceId, epoch: Epoch) -> Result<Vec<EventRow>, StoreError> {
        let mut events = self.events(device)?;
        events.retain(|event| !event.settled && event.epoch == epoch);
        Ok(events)
    }

    /// The newest order of each device that the broker has not taken yet, at most `limit`. A malformed row is logged and
    /// set aside until [`Tx::publish_events_again`]: the orders for other devices do not wait for it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn unpublished_events(&self, limit: usize) -> Result<Vec<(Topic, EventId, Vec<u8>)>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT event.device, event.id, message FROM event JOIN device ON device.id = event.device \
             AND device.event_sequence = event.sequence WHERE NOT published AND NOT settled LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        let mut events = Vec::new();
        for row in rows.collect::<Result<Vec<_>, _>>()? {
            let (device, id, message) = row;
            let topic = from_text(&device, "device id").map(|device| Topic::new(device, Channel::Event));
            match topic.and_then(|topic| Ok((topic, from_text(&id, "event id")?))) {
                Ok((topic, id)) => events.push((topic, id, message)),
                Err(error) => {
                    tracing::error!(device, event = id, %error, "an order is not published; order it again");
                    self.sql.execute("UPDATE event SET published = 1 WHERE id = ?1", [id])?;
                }
            }
        }
        Ok(events)
    }

    /// The broker has taken this event.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn event_published(
        &self,
        id: EventId,
        published_at_ms: u64,
        acknowledged_at_ms: u64,
    ) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE event SET published = 1, published_at_ms = ?2, acknowledged_at_ms = ?3 WHERE id = ?1",
            params![id.to_string(), published_at_ms, acknowledged_at_ms],
        )?;
        Ok(())
    }

    /// What is not known to be carried out is published anew: the broker may have lost it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn publish_events_again(&self) -> Result<(), StoreError> {
        self.sql.execute("UPDATE event SET published = 0 WHERE NOT settled", [])?;
        Ok(())
    }

    /// Every order for an epoch below `epoch` is carried out: the counter is known to stand there.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settle_below(&self, device: DeviceId, epoch: Epoch) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE event SET settled = 1 WHERE device = ?1 AND epoch < ?2",
            params![device.as_str(), epoch.0],
        )?;
        Ok(())
    }

    /// The device has reported: what asked it to is carried out.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settle_refreshes(&self, device: DeviceId) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE event SET settled = 1 WHERE device = ?1 AND kind = 'refresh'",
            [device.as_str()],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<EventRow, StoreError> {
    let session: Option<String> = row.get(9)?;
    Ok(EventRow {
        id: from_text(&row.get::<_, String>(0)?, "event id")?,
        kind: from_name(row.get(1)?, "event kind")
            .and_then(|kind: EventKind| known(kind, kind.is_known(), "event kind"))?,
        epoch: Epoch(row.get(2)?),
        sequence: row.get(3)?,
        time: row.get(4)?,
        reason: row.get(5)?,
        published_at_ms: row.get(6)?,
        acknowledged_at_ms: row.get(7)?,
        settled: row.get(8)?,
        session: session.map(|id| from_text(&id, "session id")).transpose()?,
    })
}
