use pawl_evidence::eventlog::EventKind;
use pawl_evidence::tpm::HashAlgorithm;

/// Writes a crypto-agile log with one bank, in the form of firmware.
pub(crate) struct LogWriter(Vec<u8>, HashAlgorithm);

impl LogWriter {
    pub(crate) fn new() -> Self {
        Self::of_bank(HashAlgorithm::Sha256)
    }

    pub(crate) fn of_bank(bank: HashAlgorithm) -> Self {
        let size = u16::try_from(bank.digest(&[]).as_bytes().len()).unwrap();
        Self(spec_id_header(&[(bank.id(), size)]), bank)
    }

    /// Continues a log.
    pub(crate) fn appending(log: Vec<u8>) -> Self {
        Self(log, HashAlgorithm::Sha256)
    }

    /// Appends an event whose digest is that of its data.
    pub(crate) fn event(self, pcr: u32, kind: EventKind, data: &[u8]) -> Self {
        self.measured(pcr, kind, data, data)
    }

    /// Appends an event whose digest is that of `content`.
    pub(crate) fn measured(self, pcr: u32, kind: EventKind, content: &[u8], data: &[u8]) -> Self {
        let digest = self.1.digest(&[content]);
        self.extended(pcr, kind, digest.as_bytes(), data)
    }

    pub(crate) fn extended(mut self, pcr: u32, kind: EventKind, digest: &[u8], data: &[u8]) -> Self {
        for number in [pcr, kind.0, 1] {
            self.0.extend(number.to_le_bytes());
        }
        self.0.extend(self.1.id().to_le_bytes());
        self.0.extend(digest);
        self.0.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        self.0.extend(data);
        self
    }

    pub(crate) fn separator(self, pcr: u32) -> Self {
        self.event(pcr, EventKind::SEPARATOR, &[0; 4])
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Returns one event of the old format.
pub(crate) fn sha1_event(pcr: u32, kind: u32, digest: &[u8], data: &[u8]) -> Vec<u8> {
    let size = u32::try_from(data.len()).unwrap();
    [&pcr.to_le_bytes()[..], &kind.to_le_bytes(), digest, &size.to_le_bytes(), data].concat()
}

/// Returns the first event of a crypto-agile log.
pub(crate) fn spec_id_header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = b"Spec ID Event03\0\0\0\0\0\x00\x02\x00\x02".to_vec();
    data.extend(u32::try_from(algorithms.len()).unwrap().to_le_bytes());
    for (id, size) in algorithms {
        data.extend(id.to_le_bytes());
        data.extend(size.to_le_bytes());
    }
    data.push(0);
    sha1_event(0, 3, &[0; 20], &data)
}

/// Returns a UEFI_VARIABLE_DATA.
pub(crate) fn variable(vendor: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let units = u64::try_from(name.len()).unwrap();
    let len = u64::try_from(value.len()).unwrap();
    [&guid(vendor)[..], &units.to_le_bytes(), &len.to_le_bytes(), &utf16(name), value].concat()
}

/// Returns the bytes of a GUID from its text form.
pub(crate) fn guid(text: &str) -> Vec<u8> {
    let mut bytes = super::boot::from_hex(&text.replace('-', ""));
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// Encodes little-endian UTF-16 without a NUL.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
