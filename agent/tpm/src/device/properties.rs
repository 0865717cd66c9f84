//! What the TPM says of itself (TPM2_GetCapability, TPM_PT).

use tss_esapi::constants::PropertyTag;

use super::Device;
use crate::bus::NO_SESSION;
use crate::{Error, Properties};

impl Device {
    /// Implements [`crate::Tpm::properties`].
    pub(crate) fn properties(&mut self) -> Result<Properties, Error> {
        let vendor = [
            PropertyTag::VendorString1,
            PropertyTag::VendorString2,
            PropertyTag::VendorString3,
            PropertyTag::VendorString4,
        ];
        let mut model = String::new();
        for tag in vendor {
            model.push_str(&printable(self.property(tag)?.unwrap_or_default()));
        }
        Ok(Properties {
            manufacturer: printable(self.property(PropertyTag::Manufacturer)?.unwrap_or_default()),
            model,
            firmware: (
                self.property(PropertyTag::FirmwareVersion1)?.unwrap_or_default(),
                self.property(PropertyTag::FirmwareVersion2)?.unwrap_or_default(),
            ),
            revision: self.property(PropertyTag::Revision)?.unwrap_or_default(),
            clock_update_ms: self.property(PropertyTag::ClockUpdate)?,
            counters_available: self.property(PropertyTag::NvCountersAvail)?,
            nv_write_recovery_ms: self.property(PropertyTag::WriteRecovery)?,
            transient_slots: self.property(PropertyTag::HrTransientAvail)?,
        })
    }

    fn property(&self, tag: PropertyTag) -> Result<Option<u32>, Error> {
        self.bus.run("TPM2_GetCapability", NO_SESSION, |context| context.get_tpm_property(tag))
    }
}

/// Returns the printable characters of four bytes.
fn printable(value: u32) -> String {
    let is_shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    value.to_be_bytes().iter().filter(|byte| is_shown(byte)).map(|byte| char::from(*byte)).collect()
}
