use rusqlite::Connection;

use super::StoreError;

/// What brings the tables from each version to the next. A text that was shipped never changes.
const MIGRATIONS: [&[&str]; 4] = [
    &[FIRST],
    &[SESSIONS, super::device_record::TABLES],
    &[super::boot_state::ORIGINS, super::high_water::COURSES, super::incident::TABLES, super::sample::TABLES],
    &[
        super::device::WITHOUT_CERTIFICATE,
        super::high_water::BY_DEVICE,
        super::entitlement::GRANTS,
        super::session::STRANGERS,
        super::device::SUSPENSIONS,
        super::verdict::UNREADABLE,
        super::checkpoint::CHECKPOINTS,
        super::link::SERIALS,
        super::pairing::HEALTH,
    ],
];

pub(super) const FIRST: &str = "
CREATE TABLE device (
    id TEXT PRIMARY KEY,
    ek_sha256 BLOB NOT NULL UNIQUE,
    label TEXT,
    enrolled_at INTEGER NOT NULL,
    standing TEXT NOT NULL DEFAULT 'active',
    standing_reason TEXT,
    ek_kind TEXT,
    endorsement TEXT,
    -- Hints: the status messages are not signed.
    online INTEGER,
    state TEXT,
    seen INTEGER,
    -- What it runs, whether that is accepted or not.
    reported_state BLOB,
    -- The last ones that were given out.
    verdict_sequence INTEGER NOT NULL DEFAULT 0,
    event_sequence INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE pairing (
    id TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES device,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL,
    paired_at INTEGER NOT NULL,
    ended_at INTEGER,
    scopes BLOB NOT NULL,
    attestation_key BLOB NOT NULL,
    counter BLOB NOT NULL,
    device_key BLOB NOT NULL,
    policy_ref BLOB NOT NULL,
    -- What the next report must repeat and may build on.
    nonce BLOB NOT NULL,
    base BLOB,
    boot_log BLOB,
    -- The last report, for people.
    reported_at INTEGER,
    report_bytes INTEGER,
    report_whole INTEGER,
    reports INTEGER NOT NULL DEFAULT 0,
    host BLOB,
    -- A pairing lives in one epoch, and an epoch has one pairing.
    UNIQUE (device, epoch)
) STRICT;

CREATE TABLE verdict (
    device TEXT NOT NULL REFERENCES device,
    sequence INTEGER NOT NULL,
    pairing TEXT NOT NULL REFERENCES pairing,
    judged INTEGER NOT NULL,
    lease_until INTEGER,
    body BLOB NOT NULL,
    message BLOB NOT NULL,
    published INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (device, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    id TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES device,
    kind TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time INTEGER NOT NULL,
    reason TEXT NOT NULL,
    message BLOB NOT NULL,
    published INTEGER NOT NULL DEFAULT 0,
    published_at_ms INTEGER,
    acknowledged_at_ms INTEGER,
    settled INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device, sequence)
) STRICT;

CREATE TABLE receipt (
    digest BLOB PRIMARY KEY,
    device TEXT NOT NULL REFERENCES device,
    body BLOB NOT NULL,
    signed BLOB NOT NULL,
    received_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_of_device ON receipt (device, received_at_ms);

CREATE TABLE high_water (
    ak_name BLOB PRIMARY KEY,
    epoch INTEGER NOT NULL,
    reset_count INTEGER NOT NULL,
    clock INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE boot_state (
    device TEXT NOT NULL REFERENCES device,
    pcrs BLOB NOT NULL,
    name TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (device, pcrs)
) STRICT, WITHOUT ROWID;

CREATE TABLE record (
    device TEXT NOT NULL REFERENCES device,
    sequence INTEGER NOT NULL,
    body BLOB NOT NULL,
    previous BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (device, sequence)
) STRICT, WITHOUT ROWID;

-- What may be used once, until it expires.
CREATE TABLE once (
    value BLOB PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX once_expires ON once (expires);
";

const SESSIONS: &str = "
ALTER TABLE device ADD COLUMN replaces TEXT REFERENCES device;
ALTER TABLE device ADD COLUMN replaced_by TEXT REFERENCES device;
-- TPMT_PUBLIC; the pairings of version 1 have none.
ALTER TABLE pairing ADD COLUMN action_key BLOB;
-- The session whose approval ordered it; none when an operator did.
ALTER TABLE event ADD COLUMN session TEXT;

CREATE TABLE session (
    id TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    -- Not always an enrolled one: an approval may enrol it.
    device TEXT NOT NULL,
    state TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    -- SHA-256 of what authenticates the device's next step.
    secret BLOB NOT NULL,
    -- None until it is proven.
    statement BLOB,
    needed INTEGER NOT NULL DEFAULT 0,
    -- None where nobody has to approve; the digest is that of the secret letters.
    code_handle TEXT,
    code_attempt INTEGER,
    code_digest BLOB,
    wrong_codes INTEGER NOT NULL DEFAULT 0,
    wrong_confirmations INTEGER NOT NULL DEFAULT 0,
    refused_approvals INTEGER NOT NULL DEFAULT 0,
    refused_proofs INTEGER NOT NULL DEFAULT 0,
    refusals BLOB NOT NULL,
    -- Why it is over, for people.
    outcome TEXT,
    -- What its purpose keeps with it.
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_device ON session (device, opened_at);
CREATE INDEX session_in_state ON session (state, expires);
CREATE UNIQUE INDEX session_code ON session (code_handle) WHERE state = 'waiting';

CREATE TABLE approval (
    session TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    given_at INTEGER NOT NULL,
    signature BLOB NOT NULL,
    elsewhere INTEGER NOT NULL,
    -- SHA-256 of what the device has yet to say before it counts.
    confirmation BLOB,
    PRIMARY KEY (session, key)
) STRICT, WITHOUT ROWID;
";

/// Sets the connection up and brings the tables to this program's version.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL, not NORMAL: a revocation that an operator was told of is on the disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).map_err(|_| StoreError::Version(version))?;
    let due = MIGRATIONS.get(done..).ok_or(StoreError::Version(version))?;
    let transaction = connection.transaction()?;
    for tables in due.iter().copied().flatten() {
        transaction.execute_batch(tables)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}
