use pawl_proto::message::{Event, EventKind, Receipt, SignedReceipt};
use pawl_proto::{Channel, DeviceId, Digest, Epoch, EventId, SessionId, Topic};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, from_blob, from_name, from_text, require_known, to_blob, to_name};

/// An event and its delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Its id.
    pub id: EventId,
    /// Its kind.
    pub kind: EventKind,
    /// The epoch that it is for.
    pub epoch: Epoch,
    /// Its number among the device's events.
    pub sequence: u64,
    /// When it was ordered, Unix seconds.
    pub time: u64,
    /// Why it was ordered.
    pub reason: String,
    /// The approval session that ordered it; none when an operator did.
    pub session: Option<SessionId>,
    /// When it was last sent to the broker, Unix milliseconds.
    pub published_at_ms: Option<u64>,
    /// When the broker last acknowledged it, Unix milliseconds.
    pub acknowledged_at_ms: Option<u64>,
    /// Whether the device has proven that it was carried out.
    pub settled: bool,
}

const EVENT_COLUMNS: &str =
    "id, kind, epoch, sequence, time, reason, published_at_ms, acknowledged_at_ms, settled, session";

impl Tx<'_> {
    /// Allocates the number of a device's next event.
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

    /// Adds an event and its signed message. `session` is the approval session that ordered it.
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

    /// Returns the events of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn events(&self, device: DeviceId) -> Result<Vec<EventRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT {EVENT_COLUMNS} FROM event WHERE device = ?1 ORDER BY sequence"
        ))?;
        let rows = statement.query_map([device.as_str()], |row| Ok(read_event(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Returns the signed message of the newest event that ends this epoch.
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

    /// Returns the events for this epoch that are not settled.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn pending_events(&self, device: DeviceId, epoch: Epoch) -> Result<Vec<EventRow>, StoreError> {
        let mut events = self.events(device)?;
        events.retain(|event| !event.settled && event.epoch == epoch);
        Ok(events)
    }

    /// Returns topic, id and signed message of each device's newest event that the broker has not acknowledged, at most
    /// `limit`. Logs a malformed row and skips it until [`Tx::publish_events_again`], so that it does not block other
    /// devices' events.
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

    /// Stores that the broker has acknowledged an event.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_event_published(
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

    /// Queues every event that is not settled for publication: the broker may have lost them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn publish_events_again(&self) -> Result<(), StoreError> {
        self.sql.execute("UPDATE event SET published = 0 WHERE NOT settled", [])?;
        Ok(())
    }

    /// As [`Tx::publish_events_again`], for one device.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn publish_events_of_again(&self, device: DeviceId) -> Result<(), StoreError> {
        self.sql
            .execute("UPDATE event SET published = 0 WHERE device = ?1 AND NOT settled", [device.as_str()])?;
        Ok(())
    }

    /// Settles every event for an epoch below `epoch`: the TPM has proven that its counter has reached `epoch`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settle_events_below(&self, device: DeviceId, epoch: Epoch) -> Result<(), StoreError> {
        self.sql.execute(
            "UPDATE event SET settled = 1 WHERE device = ?1 AND epoch < ?2",
            params![device.as_str(), epoch.0],
        )?;
        Ok(())
    }

    /// Settles the `refresh` events of a device, which has reported.
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

fn read_event(row: &Row<'_>) -> Result<EventRow, StoreError> {
    let session: Option<String> = row.get(9)?;
    Ok(EventRow {
        id: from_text(&row.get::<_, String>(0)?, "event id")?,
        kind: from_name(row.get(1)?, "event kind")
            .and_then(|kind: EventKind| require_known(kind, kind.is_known(), "event kind"))?,
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

/// A receipt. Only verified receipts are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiptRow {
    /// Its content.
    pub receipt: Receipt,
    /// When it was received, Unix milliseconds.
    pub received_at_ms: u64,
}

impl Tx<'_> {
    /// Adds a verified receipt. Returns false when it is stored already.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn add_receipt(
        &self,
        receipt: &Receipt,
        signed: &SignedReceipt,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let added = self.sql.execute(
            "INSERT INTO receipt (digest, device, body, signed, received_at_ms) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
            params![
                Digest::of(signed.receipt.as_bytes()).0,
                receipt.device.as_str(),
                to_blob(receipt, "receipt")?,
                to_blob(signed, "receipt")?,
                now_ms,
            ],
        )?;
        Ok(added == 1)
    }

    /// Returns the receipts of a device, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn receipts(&self, device: DeviceId) -> Result<Vec<ReceiptRow>, StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT body, received_at_ms FROM receipt WHERE device = ?1 ORDER BY received_at_ms",
        )?;
        let rows =
            statement.query_map([device.as_str()], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (body, received_at_ms) = row?;
            Ok(ReceiptRow { receipt: from_blob(&body, "receipt")?, received_at_ms })
        })
        .collect()
    }
}
