use serde::Deserialize;

/// `[records]`: how many records about a device are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordsConfig {
    /// The last so many of each device. A signed checkpoint stands for older ones.
    pub keep: u64,
}

impl RecordsConfig {
    pub(super) fn check(self) -> Result<(), (&'static str, &'static str)> {
        if (100..=1_000_000_000).contains(&self.keep) {
            return Ok(());
        }
        Err(("records.keep", "keep 100 to 1000000000 records of each device"))
    }
}

impl Default for RecordsConfig {
    /// A device that reports every 15 minutes fills them in 50 days, with some 15 MB.
    fn default() -> Self {
        Self { keep: 10_000 }
    }
}
