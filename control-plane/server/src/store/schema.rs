//! The tables and their migrations.

use rusqlite::Connection;

use super::StoreError;

/// Configures the connection and migrates the tables to this program's version.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL, not NORMAL: a revocation that was confirmed to the operator must survive a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let version = version(connection)?;
    let done = usize::try_from(version).map_err(|_| StoreError::Version(version))?;
    let due = MIGRATIONS.get(done..).ok_or(StoreError::Version(version))?;
    let transaction = connection.transaction()?;
    for tables in due.iter().copied().flatten() {
        transaction.execute_batch(tables)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}

/// Returns the version of the tables, 0 where there are none.
pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// The statements that migrate the tables from each version to the next. A text that was released never changes.
const MIGRATIONS: [&[&str]; 7] = [
    &[FIRST],
    &[SESSIONS, DEVICE_RECORDS],
    &[BOOT_STATE_ORIGINS, TPM_RUNS, INCIDENTS, KEPT_EVIDENCE],
    &[
        WITHOUT_CERTIFICATE,
        TPM_HISTORY_BY_DEVICE,
        GRANTS,
        SESSIONS_OF_STRANGERS,
        SUSPENSIONS,
        DROP_UNREADABLE_VERDICTS,
        CHECKPOINTS,
        LINK_SERIALS,
        HOST_HEALTH,
    ],
    &[PENDING_DEVICES],
    &[RETIREMENT],
    &[OWNER],
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
    -- None if nobody has to approve; the digest is that of the secret letters.
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

const DEVICE_RECORDS: &str = "
-- How far a device's own records are known.
CREATE TABLE device_chain (
    device TEXT PRIMARY KEY REFERENCES device,
    -- Which of its chains; another one begins with a pairing.
    chain INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL,
    -- The records in device_record, of all its chains.
    kept INTEGER NOT NULL DEFAULT 0,
    -- What was found wrong last, until a good report: it is recorded once.
    noted TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE device_record (
    device TEXT NOT NULL REFERENCES device,
    chain INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- In whose report it came, and when.
    pairing TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    previous BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (device, chain, sequence)
) STRICT, WITHOUT ROWID;
";

const BOOT_STATE_ORIGINS: &str = "
ALTER TABLE boot_state ADD COLUMN origin TEXT NOT NULL DEFAULT 'operator';
UPDATE boot_state SET origin = 'first-pairing' WHERE name = 'the first pairing';
-- Approved ahead, and not seen since.
ALTER TABLE boot_state ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;
";

const TPM_RUNS: &str = "
-- The runs in which a TPM was last seen, newest last.
ALTER TABLE high_water ADD COLUMN runs BLOB;
";

const INCIDENTS: &str = "
CREATE TABLE incident (
    device TEXT NOT NULL REFERENCES device,
    kind TEXT NOT NULL,
    -- The other device that it is about; empty where there is none.
    other TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    settled_at INTEGER,
    settled_by TEXT
) STRICT;
-- Of each kind, one at a time is open.
CREATE UNIQUE INDEX incident_open ON incident (device, kind, other) WHERE settled_at IS NULL;
";

const KEPT_EVIDENCE: &str = "
-- What a device last showed, refused or not.
CREATE TABLE sample (
    device TEXT PRIMARY KEY REFERENCES device,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The boot event log of it, apart because it is large and stays the same until the next boot.
CREATE TABLE sample_log (
    device TEXT PRIMARY KEY REFERENCES device,
    boot_log BLOB NOT NULL
) STRICT;
";

const WITHOUT_CERTIFICATE: &str = "
ALTER TABLE device ADD COLUMN without_certificate INTEGER NOT NULL DEFAULT 0;
";

/// Earlier versions keyed the history of a TPM by the name of its attestation key, of which a TPM can have many. The record
/// of a pairing names the device.
pub(super) const TPM_HISTORY_BY_DEVICE: &str = "
CREATE TABLE tpm_seen (
    -- The device id follows from the endorsement key.
    device TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    reset_count INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    -- The highest clock in that epoch.
    clock_max INTEGER NOT NULL,
    -- The runs in which it was last seen, newest last.
    runs BLOB
) STRICT, WITHOUT ROWID;
WITH paired AS MATERIALIZED (
    SELECT device, body FROM record WHERE instr(body, CAST('attestation_key' AS BLOB)) > 0
)
INSERT OR REPLACE INTO tpm_seen (device, epoch, reset_count, clock, clock_max, runs)
    SELECT paired.device, high_water.epoch, reset_count, clock, clock, runs
    FROM high_water JOIN paired ON instr(paired.body, CAST(lower(hex(ak_name)) AS BLOB)) > 0
    ORDER BY high_water.epoch, reset_count, clock;
DROP TABLE high_water;
";

const GRANTS: &str = "
-- The scopes and audiences that the operator grants; none before the first grant.
ALTER TABLE device ADD COLUMN granted BLOB;
-- As the column scopes: what the pairing asked for, and what was granted to it since.
ALTER TABLE pairing ADD COLUMN audiences BLOB;
";

/// Drops stored offers. A waiting session of a device that is not enrolled keeps the address it came from.
const SESSIONS_OF_STRANGERS: &str = "
DELETE FROM session WHERE state = 'offered';
ALTER TABLE session ADD COLUMN stranger TEXT;
CREATE INDEX session_of_stranger ON session (state) WHERE stranger IS NOT NULL;
";

const SUSPENSIONS: &str = "
ALTER TABLE device ADD COLUMN suspensions INTEGER NOT NULL DEFAULT 0;
UPDATE device SET suspensions = 1 WHERE standing = 'suspended';
";

/// Drops the verdicts of earlier versions, which have no entitlement and cannot be decoded. Each device gets a new
/// verdict with its next report; `device.verdict_sequence` continues the numbers.
const DROP_UNREADABLE_VERDICTS: &str = "DELETE FROM verdict;";

const CHECKPOINTS: &str = "
CREATE TABLE record_checkpoint (
    device TEXT PRIMARY KEY REFERENCES device,
    -- The last record that it stands for.
    sequence INTEGER NOT NULL,
    -- All of it, JSON.
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Pairings of earlier versions have no serial number.
const LINK_SERIALS: &str = "
ALTER TABLE pairing ADD COLUMN link_serial BLOB;
";

const HOST_HEALTH: &str = "ALTER TABLE pairing ADD COLUMN health BLOB;";

const PENDING_DEVICES: &str = "
-- Devices that asked to be paired and are not enrolled.
CREATE TABLE pending_device (
    device TEXT PRIMARY KEY,
    ek_sha256 BLOB NOT NULL,
    -- The host facts of the last request.
    host BLOB NOT NULL,
    endorsement TEXT NOT NULL,
    -- The network of the last request.
    address TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const RETIREMENT: &str = "
ALTER TABLE device ADD COLUMN retired_at INTEGER;
-- Of a deleted device only its pairings, orders and records stay.
ALTER TABLE device ADD COLUMN deleted_at INTEGER;
";

const OWNER: &str = "
-- One row: the control plane that this database belongs to.
CREATE TABLE control_plane (
    only INTEGER PRIMARY KEY DEFAULT 1 CHECK (only = 1),
    -- SHA-256 of the public key of its certificate authority.
    authority BLOB NOT NULL
) STRICT;
";
