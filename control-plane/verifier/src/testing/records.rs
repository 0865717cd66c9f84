use pawl_proto::codec::Version;
use pawl_proto::message::Audit;
use pawl_proto::record::{DeviceFact, DeviceRecord, Link, RecordBytes};

/// The chain of records that a device keeps.
#[derive(Clone, Default)]
pub struct Records {
    links: Vec<Link>,
}

impl Records {
    /// A chain of so many records; `seed` tells it from another one.
    #[must_use]
    pub fn of(length: usize, seed: u64) -> Self {
        let mut records = Self::default();
        records.grow(length, seed);
        records
    }

    /// Appends so many records.
    pub fn grow(&mut self, by: usize, seed: u64) {
        for _ in 0..by {
            self.add(DeviceFact::Missed { count: seed });
        }
    }

    /// Adds a record of this fact.
    pub(crate) fn add(&mut self, fact: DeviceFact) {
        let record = DeviceRecord {
            version: Version,
            sequence: u64::try_from(self.links.len()).unwrap() + 1,
            time: 5,
            clock: Some(1_000),
            resets: Some(2),
            epoch: None,
            fact,
        };
        self.links.push(Link::forge(self.head(), &record).unwrap());
    }

    /// The end of the chain is cut off.
    pub fn cut(&mut self, to: usize) {
        self.links.truncate(to);
    }

    /// What a report says when the control plane has so many.
    #[must_use]
    pub fn after(&self, known: usize) -> Audit {
        let before = self.links[..known].last().map_or(Link::START, |link| link.digest);
        let new = self.links[known..].iter();
        Audit {
            first: u64::try_from(known).unwrap() + 1,
            previous: before,
            records: new.map(|link| RecordBytes::new(link.body.clone()).unwrap()).collect(),
            head: self.head(),
            pending: 0,
        }
    }

    fn head(&self) -> pawl_proto::Digest {
        self.links.last().map_or(Link::START, |link| link.digest)
    }
}
