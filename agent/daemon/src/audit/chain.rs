//! The chain on the disk: segments `records/{first sequence}.seg`. Beyond their limit, a new segment replaces the oldest.
//!
//! The disk is not trusted: root can write another chain. But a report contains the head of the chain under a TPM quote, and the
//! control plane compares later chains with the heads that it has received.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pawl_proto::bounded::TooLong;
use pawl_proto::codec::{self, EncodeError};
use pawl_proto::record::{DeviceRecord, Link};
use pawl_proto::{DeviceId, Digest, limits};

use super::segment::{self, Frames, Header};
use crate::store::{Disk, DiskFile, atomic};
use crate::telemetry::event::SecurityEvent;

/// Limit of the segments: 256 KiB in all.
const SEGMENTS: usize = 4;

/// A chain that can be appended to.
pub(super) struct Chain {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    device: DeviceId,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The newest segment, for writing.
    newest: Option<Box<dyn DiskFile>>,
    /// The digest of the last record.
    pub(super) head: Digest,
    /// The sequence number of the next record.
    pub(super) next: u64,
}

struct Segment {
    first: u64,
    length: usize,
}

impl Chain {
    /// Opens the chain in `folder`. Cuts off an incomplete record at its end, which a power cut can leave. If the chain is damaged
    /// elsewhere, or belongs to another device, this renames the folder to `records.old` and starts a new chain.
    ///
    /// # Errors
    /// [`ChainError`] if the disk fails.
    pub(super) fn open(disk: &Arc<dyn Disk>, folder: &Path, device: DeviceId) -> Result<Self, ChainError> {
        match Self::load(disk, folder, device) {
            Err(ChainError::Damaged(how)) => {
                let aside = folder.with_extension("old");
                SecurityEvent::RECORDS_DAMAGED.log(
                    None,
                    format_args!(
                        "the audit records are damaged: {how}; starting a new chain; the old one is in {}",
                        aside.display()
                    ),
                );
                atomic::remove_folder(&**disk, &aside)?;
                disk.rename(folder, &aside)?;
                Self::load(disk, folder, device)
            }
            other => other,
        }
    }

    fn load(disk: &Arc<dyn Disk>, folder: &Path, device: DeviceId) -> Result<Self, ChainError> {
        disk.make_folder(folder)?;
        atomic::sync_parent(&**disk, folder)?;
        disk.sync_folder(folder)?;
        let mut chain = Self {
            disk: Arc::clone(disk),
            folder: folder.to_owned(),
            device,
            segments: VecDeque::new(),
            newest: None,
            head: Link::START,
            next: 1,
        };
        let segments = chain.segments_on_disk()?;
        for (index, first) in segments.iter().enumerate() {
            chain.load_segment(*first, index + 1 == segments.len())?;
        }
        if let Some(newest) = chain.segments.back() {
            chain.newest = Some(chain.rewrite(newest)?);
        }
        Ok(chain)
    }

    /// Writes a segment's bytes again, and syncs them. After a failed sync, in this process or an earlier one, a read can return
    /// bytes that are not on the disk, and the next sync succeeds without writing them (Linux, fsync(2)). Only bytes that are
    /// written again reach the disk. They do not move and do not change, so that this works on a full disk, and a power cut
    /// damages no record.
    fn rewrite(&self, segment: &Segment) -> Result<Box<dyn DiskFile>, ChainError> {
        let path = self.path(segment.first);
        let bytes = segment::read(&*self.disk, &path)?;
        let bytes =
            bytes.get(..segment.length).ok_or(ChainError::Damaged("they changed while they were read"))?;
        let file = self.disk.open(&path)?;
        file.set_length(u64::try_from(segment.length).unwrap_or(u64::MAX))?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        Ok(file)
    }

    fn segments_on_disk(&self) -> Result<Vec<u64>, ChainError> {
        let mut segments: Vec<u64> = self
            .disk
            .list(&self.folder)?
            .iter()
            .filter_map(|name| name.strip_suffix(".seg")?.parse().ok())
            .take(SEGMENTS + 1)
            .collect();
        if segments.len() > SEGMENTS {
            return Err(ChainError::Damaged("there are more segments than pawld writes"));
        }
        segments.sort_unstable();
        Ok(segments)
    }

    /// Reads and checks one segment. The header of the next segment proves the end of every segment but the newest.
    fn load_segment(&mut self, first: u64, newest: bool) -> Result<(), ChainError> {
        let path = self.path(first);
        let bytes = segment::read(&*self.disk, &path)?;
        let mut frames = Frames::of(&bytes);
        let Some(header) = frames.header() else {
            if newest {
                // The power failed while the segment was created: it has no record.
                self.disk.remove(&path)?;
                return Ok(());
            }
            return Err(ChainError::Damaged("a segment has no header"));
        };
        let follows = match self.segments.back() {
            Some(_) => (header.first, header.previous) == (self.next, self.head),
            None => header.first > 1 || header.previous == Link::START,
        };
        if header.device != self.device {
            return Err(ChainError::Damaged("they belong to another device"));
        }
        if header.first != first || first == 0 || !follows {
            return Err(ChainError::Damaged("a segment does not follow the one before it"));
        }
        (self.next, self.head) = (header.first, header.previous);
        let mut length = frames.position;
        while let Some(body) = frames.next() {
            if newest && !self.is_next(body) {
                break;
            }
            self.follow(body);
            length = frames.position;
        }
        if length < bytes.len() {
            if !newest {
                return Err(ChainError::Damaged("a segment is incomplete"));
            }
            tracing::warn!(
                bytes = bytes.len() - length,
                "cut off an incomplete record at the end of the audit records"
            );
        }
        self.segments.push_back(Segment { first, length });
        Ok(())
    }

    fn is_next(&self, body: &[u8]) -> bool {
        codec::decode::<DeviceRecord>(body, limits::RECORD).is_ok_and(|record| record.sequence == self.next)
    }

    fn follow(&mut self, body: &[u8]) {
        self.head = Link::follow(self.head, body.to_vec()).digest;
        self.next = self.next.saturating_add(1);
    }

    /// Appends a record. After an error the chain must be opened again.
    pub(super) fn append(&mut self, record: &DeviceRecord) -> Result<(), ChainError> {
        let body = codec::encode(record)?;
        let frame = segment::frame(&body)?;
        if self.segments.back().is_none_or(|newest| newest.length + frame.len() > segment::SIZE) {
            self.begin_segment()?;
        }
        let (Some(newest), Some(file)) = (self.segments.back_mut(), &self.newest) else {
            return Err(ChainError::Damaged("there is no segment to write to"));
        };
        file.write_at(&frame, u64::try_from(newest.length).unwrap_or(u64::MAX))?;
        newest.length += frame.len();
        self.follow(&body);
        Ok(())
    }

    /// Starts a segment. Syncs the one before it first: the new header names that segment's last record, which must be on the disk
    /// before the header is.
    fn begin_segment(&mut self) -> Result<(), ChainError> {
        self.sync()?;
        if self.segments.len() >= SEGMENTS
            && let Some(oldest) = self.segments.pop_front()
        {
            self.disk.remove(&self.path(oldest.first))?;
        }
        let header = Header::new(self.device, self.next, self.head).frame()?;
        let path = self.path(self.next);
        // A file with this name is not part of the chain: the power failed before its header was complete.
        atomic::remove(&*self.disk, &path)?;
        let file = self.disk.create(&path)?;
        file.write_at(&header, 0)?;
        file.sync()?;
        self.disk.sync_folder(&self.folder)?;
        self.segments.push_back(Segment { first: self.next, length: header.len() });
        self.newest = Some(file);
        Ok(())
    }

    /// Syncs the appended records.
    pub(super) fn sync(&self) -> Result<(), ChainError> {
        self.newest.as_ref().map_or(Ok(()), |file| file.sync_contents()).map_err(ChainError::Disk)
    }

    /// Calls `visit` with each record after `sequence`, oldest first, until it returns false.
    pub(super) fn after(
        &self,
        sequence: u64,
        mut visit: impl FnMut(u64, Link) -> bool,
    ) -> Result<(), ChainError> {
        let changed = || ChainError::Damaged("they changed while they were read");
        let ends = self.segments.iter().skip(1).map(|next| next.first).chain([self.next]);
        for (segment, end) in self.segments.iter().zip(ends) {
            if end.saturating_sub(1) <= sequence {
                continue;
            }
            let bytes = segment::read(&*self.disk, &self.path(segment.first))?;
            let mut frames = Frames::of(bytes.get(..segment.length).ok_or_else(changed)?);
            let header = frames.header().ok_or_else(changed)?;
            let (mut next, mut previous) = (header.first, header.previous);
            for body in frames {
                let link = Link::follow(previous, body.to_vec());
                previous = link.digest;
                if next > sequence && !visit(next, link) {
                    return Ok(());
                }
                next = next.saturating_add(1);
            }
            if next != end || (end == self.next && previous != self.head) {
                return Err(changed());
            }
        }
        Ok(())
    }

    pub(super) fn is_of(&self, device: DeviceId) -> bool {
        self.device == device
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next == 1
    }

    fn path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("{first:020}.seg"))
    }
}

/// Why the records cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainError {
    #[error("{0}; check the disk, its free space and the owner of the state directory")]
    Disk(#[from] io::Error),
    #[error("the audit records are damaged: {0}")]
    Damaged(&'static str),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("a record is too long: {0}")]
    TooLong(#[from] TooLong),
    #[error("the daemon is stopping")]
    Stopping,
}
