use pawl_proto::DeviceId;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{StoreError, Tx, from_text};

/// A device and the operator's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedDevice {
    /// Its id.
    pub device: DeviceId,
    /// The operator's name for it.
    pub label: Option<String>,
    /// When it was retired, Unix seconds; none while it is enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<u64>,
}

impl Tx<'_> {
    /// Returns at most `limit` devices that have this label or whose id begins with this prefix, by id. Without a prefix
    /// only the label counts. Retired ones are last.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn devices_named(
        &self,
        label: &str,
        prefix: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NamedDevice>, StoreError> {
        // A prefix is base32, so `{`, the character after `z`, is above every id that begins with it.
        self.named_devices(
            "label = ?1 OR (id >= ?2 AND id < ?2 || '{')",
            params![label, prefix.unwrap_or("{"), limit],
        )
    }

    /// Returns at most `limit` devices whose label contains this text, in any case, or whose id begins with it, by id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn devices_like(&self, text: &str, limit: usize) -> Result<Vec<NamedDevice>, StoreError> {
        self.named_devices(
            "instr(lower(label), ?1) > 0 OR instr(id, ?2) = 1",
            params![text.to_lowercase(), text.to_lowercase(), limit],
        )
    }

    fn named_devices(
        &self,
        condition: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<NamedDevice>, StoreError> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT id, label, retired_at FROM device WHERE deleted_at IS NULL AND ({condition}) \
             ORDER BY retired_at IS NOT NULL, id LIMIT ?3"
        ))?;
        let mut rows = statement.query(values)?;
        let mut named = Vec::new();
        while let Some(row) = rows.next()? {
            let device = from_text(&row.get::<_, String>(0)?, "device id")?;
            named.push(NamedDevice { device, label: row.get(1)?, retired_at: row.get(2)? });
        }
        Ok(named)
    }
}
