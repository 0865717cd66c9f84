//! A segment: one file of the chain. It has frames, each a length and that many bytes. The first frame is the header. Every other
//! frame is a record.

use std::io;
use std::path::Path;

use pawl_proto::codec::{self, EncodeError, Version};
use pawl_proto::{DeviceId, Digest, limits};
use serde::{Deserialize, Serialize};

use crate::store::Disk;

/// The size of one segment, bytes.
pub(super) const SIZE: usize = 64 * 1024;

/// The header of a segment. It names the device, and the last record of the segment before, which may have been removed.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    version: Version,
    pub(super) device: DeviceId,
    /// The sequence number of the segment's first record.
    pub(super) first: u64,
    /// The digest of the record before it.
    pub(super) previous: Digest,
}

impl Header {
    pub(super) fn new(device: DeviceId, first: u64, previous: Digest) -> Self {
        Self { version: Version, device, first, previous }
    }

    /// Returns the frame with this header.
    pub(super) fn frame(&self) -> Result<Vec<u8>, EncodeError> {
        frame(&codec::encode(self)?)
    }
}

/// Returns the frame with this record.
pub(super) fn frame(body: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let too_long = || pawl_proto::bounded::TooLong { length: body.len(), limit: limits::RECORD };
    if body.len() > limits::RECORD {
        return Err(too_long().into());
    }
    let length = u16::try_from(body.len()).map_err(|_| too_long())?;
    Ok([length.to_be_bytes().as_slice(), body].concat())
}

/// Reads a segment.
///
/// # Errors
/// As [`Disk::read`], and if the file is larger than [`SIZE`].
pub(super) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let bound = u64::try_from(SIZE).unwrap_or(u64::MAX);
    let bytes = disk.read(path, bound.saturating_add(1))?;
    if bytes.len() > SIZE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a segment is larger than its limit"));
    }
    Ok(bytes)
}

/// The frames of a segment, up to the first incomplete one.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    /// The offset of the next frame.
    pub(super) position: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, position: 0 }
    }

    /// Reads the first frame as the header; none if it is not a header.
    pub(super) fn header(&mut self) -> Option<Header> {
        codec::decode(self.next()?, limits::RECORD).ok()
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        // After a power cut the bytes of a frame can be zeros.
        if length == 0 {
            return None;
        }
        let (body, rest) = rest.split_at_checked(length)?;
        self.position += size_of::<u16>() + length;
        self.rest = rest;
        Some(body)
    }
}
