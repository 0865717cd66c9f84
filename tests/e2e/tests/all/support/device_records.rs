//! The files in which a device keeps its records, in the hands of somebody who has its disk.

use std::fs;
use std::path::{Path, PathBuf};

use pawl_e2e::rig::Device;
use pawl_proto::codec::{self, Version};
use pawl_proto::message::ShortText;
use pawl_proto::record::{DeviceFact, DeviceRecord, Link};
use pawl_proto::{DeviceId, Digest, Epoch, limits};
use serde::{Deserialize, Serialize};

/// The records of a device whose daemon is stopped.
pub(crate) struct Records {
    folder: PathBuf,
}

/// What stands first in each file, in a frame like those of the records.
#[derive(Serialize, Deserialize)]
struct Header {
    version: Version,
    device: DeviceId,
    first: u64,
    previous: Digest,
}

/// The size of a file.
const SEGMENT: usize = 64 * 1024;
/// The files that are kept.
const SEGMENTS: usize = 4;

impl Records {
    pub(crate) fn of(device: &Device) -> Self {
        Self { folder: device.state_dir().join("records") }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with the newest records.
    pub(crate) fn newest(&self) -> PathBuf {
        self.files().pop().unwrap()
    }

    /// All files together, bytes.
    pub(crate) fn size(&self) -> u64 {
        self.files().iter().map(|file| fs::metadata(file).unwrap().len()).sum()
    }

    /// Extends the chain until no file has room for more.
    pub(crate) fn fill(&self) {
        let newest = self.newest();
        let mut segment = fs::read(&newest).unwrap();
        let mut bodies = frames(&segment).into_iter();
        let header: Header = codec::decode(&bodies.next().unwrap(), limits::RECORD).unwrap();
        let (mut sequence, mut head) = (header.first, header.previous);
        for body in bodies {
            head = Link::follow(head, body).digest;
            sequence += 1;
        }
        let mut file = newest;
        loop {
            let body = codec::encode(&token(sequence)).unwrap();
            if segment.len() + 2 + body.len() > SEGMENT {
                fs::write(&file, &segment).unwrap();
                if self.files().len() == SEGMENTS {
                    return;
                }
                let header =
                    Header { version: Version, device: header.device, first: sequence, previous: head };
                segment = frame(&codec::encode(&header).unwrap());
                file = self.folder.join(format!("{sequence:020}.seg"));
            }
            segment.extend(frame(&body));
            head = Link::follow(head, body).digest;
            sequence += 1;
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn token(sequence: u64) -> DeviceRecord {
    let fact = DeviceFact::Token { name: ShortText::lossy("telemetry"), expires: sequence };
    let (clock, resets, epoch) = (None, None, Some(Epoch(1)));
    DeviceRecord { version: Version, sequence, time: 1_767_225_600, clock, resets, epoch, fact }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    [length.to_be_bytes().as_slice(), body].concat()
}

fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        frames.push(body.to_vec());
        bytes = rest;
    }
    frames
}
