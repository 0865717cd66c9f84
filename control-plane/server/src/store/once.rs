use rusqlite::params;

use super::{StoreError, Tx};

impl Tx<'_> {
    /// Uses a value that may be used once until `expires`: false when it was used before.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn use_once(&self, value: &[u8], expires: u64, now: u64) -> Result<bool, StoreError> {
        self.sql.execute("DELETE FROM once WHERE expires < ?1", [now])?;
        let added = self.sql.execute(
            "INSERT INTO once (value, expires) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![value, expires],
        )?;
        Ok(added == 1)
    }

    /// Whether such a value was used.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn used(&self, value: &[u8]) -> Result<bool, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT 1 FROM once WHERE value = ?1")?;
        Ok(statement.exists([value])?)
    }
}
