//! The TPM commands that the rig sends itself: what firmware does while it boots, and what the
//! kernel's resource manager does when a process goes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::wait;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// An empty authorization value.
const PASSWORD_SESSION: [u8; 9] = [0x40, 0, 0, 9, 0, 0, 0, 0, 0];

/// A connection to swtpm's command port; nobody else may have one meanwhile.
pub(super) struct Bus(TcpStream);

impl Bus {
    pub(super) fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connect to swtpm")?;
        stream.set_read_timeout(Some(wait::SOON))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// `TPM2_PCR_Extend` in the sha256 and sha384 banks (TPM 2.0 Library, Part 3, 22.2). A bank that is not active is
    /// passed over.
    pub(super) fn extend(&mut self, pcr: u8, sha256: &[u8; 32], sha384: &[u8; 48]) -> Result<()> {
        let mut body = Vec::new();
        body.extend([0, 0, 0, pcr]);
        body.extend(9_u32.to_be_bytes());
        body.extend(PASSWORD_SESSION);
        body.extend(2_u32.to_be_bytes());
        body.extend(0x000b_u16.to_be_bytes());
        body.extend(sha256);
        body.extend(0x000c_u16.to_be_bytes());
        body.extend(sha384);
        self.execute(SESSIONS, 0x182, &body).with_context(|| format!("extend PCR {pcr}"))?;
        Ok(())
    }

    /// Moves the clock on by so many milliseconds (`TPM2_ReadClock` and `TPM2_ClockSet`, Part 3, 29.1 and 29.2), as the
    /// time does for which a device runs.
    pub(super) fn advance_clock(&mut self, milliseconds: u64) -> Result<()> {
        const OWNER: [u8; 4] = [0x40, 0, 0, 1];
        let answer = self.execute(NO_SESSIONS, 0x181, &[]).context("read the clock")?;
        // TPMS_TIME_INFO begins with the time since the start.
        let clock = answer.get(8..16).context("a short answer to TPM2_ReadClock")?;
        let clock = u64::from_be_bytes(clock.try_into()?) + milliseconds;
        let mut body = OWNER.to_vec();
        body.extend(9_u32.to_be_bytes());
        body.extend(PASSWORD_SESSION);
        body.extend(clock.to_be_bytes());
        self.execute(SESSIONS, 0x128, &body).context("set the clock")?;
        Ok(())
    }

    /// Flushes every transient object and session (`TPM2_GetCapability` and `TPM2_FlushContext`,
    /// Part 3, 30.2 and 28.4).
    pub(super) fn flush_all(&mut self) -> Result<()> {
        const TRANSIENT: u32 = 0x8000_0000;
        const LOADED_SESSIONS: u32 = 0x0200_0000;
        for first in [TRANSIENT, LOADED_SESSIONS] {
            for handle in self.handles(first)? {
                self.execute(NO_SESSIONS, 0x165, &handle).context("flush")?;
            }
        }
        Ok(())
    }

    fn handles(&mut self, first: u32) -> Result<Vec<[u8; 4]>> {
        let mut body = Vec::new();
        for word in [1, first, 64] {
            body.extend(u32::to_be_bytes(word));
        }
        let answer = self.execute(NO_SESSIONS, 0x17a, &body).context("list handles")?;
        // moreData, capability and count come first.
        let (handles, _) = answer.get(9..).context("a short list of handles")?.as_chunks();
        Ok(handles.to_vec())
    }

    /// Sends a command, and gives the body of its answer.
    fn execute(&mut self, tag: u16, code: u32, body: &[u8]) -> Result<Vec<u8>> {
        let length = u32::try_from(10 + body.len())?;
        let mut command = Vec::new();
        command.extend(tag.to_be_bytes());
        command.extend(length.to_be_bytes());
        command.extend(code.to_be_bytes());
        command.extend(body);
        self.0.write_all(&command)?;

        let mut header = [0; 10];
        self.0.read_exact(&mut header)?;
        let [_, _, l0, l1, l2, l3, c0, c1, c2, c3] = header;
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3]))?;
        ensure!((10..=4096).contains(&length), "an answer of {length} bytes");
        let mut answer = vec![0; length - 10];
        self.0.read_exact(&mut answer)?;
        match u32::from_be_bytes([c0, c1, c2, c3]) {
            0 => Ok(answer),
            code => Err(anyhow!("the TPM answers {code:#x}")),
        }
    }
}
