//! One file of the chain: frames, each a length and that many bytes. The first frame is a header;
//! each of the others is a record.

use std::io;
use std::path::Path;

use pawl_proto::codec::{self, EncodeError, Version};
use pawl_proto::{DeviceId, Digest, limits};
use serde::{Deserialize, Serialize};

use crate::store::Disk;

/// The size of one segment, bytes.
pub(super) const SIZE: usize = 64 * 1024;

/// What a segment begins with: it ties the segment to the device, and to the one before it, which
/// may be gone.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    version: Version,
    pub(super) device: DeviceId,
    /// The sequence of the segment's first record.
    pub(super) first: u64,
    /// The digest of the record before it.
    pub(super) previous: Digest,
}

impl Header {
    pub(super) fn new(device: DeviceId, first: u64, previous: Digest) -> Self {
        Self { version: Version, device, first, previous }
    }

    /// The frame that holds it.
    pub(super) fn frame(&self) -> Result<Vec<u8>, EncodeError> {
        frame(&codec::encode(self)?)
    }
}

/// The frame that holds a record.
pub(super) fn frame(body: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let too_long = || pawl_proto::bounded::TooLong { length: body.len(), limit: limits::RECORD };
    if body.len() > limits::RECORD {
        return Err(too_long().into());
    }
    let length = u16::try_from(body.len()).map_err(|_| too_long())?;
    Ok([length.to_be_bytes().as_slice(), body].concat())
}

/// The bytes of a segment; an error when it is larger than any that was written.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let bound = u64::try_from(SIZE).unwrap_or(u64::MAX);
    let bytes = disk.read(path, bound.saturating_add(1))?;
    if bytes.len() > SIZE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a segment is larger than it can be"));
    }
    Ok(bytes)
}

/// The frames of a segment, up to the first that is not whole.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    /// Where the next frame begins.
    pub(super) position: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, position: 0 }
    }

    /// The first frame, as the header that it is.
    pub(super) fn header(&mut self) -> Option<Header> {
        codec::decode(self.next()?, limits::RECORD).ok()
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        // A power cut can leave zeros where a frame was to stand.
        if length == 0 {
            return None;
        }
        let (body, rest) = rest.split_at_checked(length)?;
        self.position += size_of::<u16>() + length;
        self.rest = rest;
        Some(body)
    }
}
