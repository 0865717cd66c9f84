//! Facts about the host, for people who look for a device. Each is only what the host says.

use std::fs::File;
use std::io::Read as _;
use std::sync::LazyLock;

use nix::sys::utsname::uname;
use pawl_proto::message::{HostFacts, ShortText};
use pawl_proto::{Nonce, Text};

use crate::random;

/// What the host says of itself.
pub(crate) fn facts() -> HostFacts {
    let uname = uname().ok();
    let of = |field: Option<&std::ffi::OsStr>| {
        Text::lossy(&field.map(std::ffi::OsStr::to_string_lossy).unwrap_or_default())
    };
    HostFacts {
        hostname: of(uname.as_ref().map(|name| name.nodename())),
        architecture: of(uname.as_ref().map(|name| name.machine())),
        kernel: of(uname.as_ref().map(|name| name.release())),
        system: system(),
        product: product(),
        agent: Text::lossy(env!("CARGO_PKG_VERSION")),
    }
}

/// Linux's random id of this boot.
pub(crate) fn boot_id() -> Text<64> {
    static BOOT_ID: LazyLock<Text<64>> = LazyLock::new(|| {
        Text::lossy(first_line("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim())
    });
    BOOT_ID.clone()
}

/// The random id of this run of the daemon: what a copy of this machine that was started by itself
/// does not have.
pub(crate) fn run() -> Nonce {
    static RUN: LazyLock<Nonce> = LazyLock::new(|| Nonce(random::bytes()));
    *RUN
}

fn system() -> ShortText {
    let release = text("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    Text::lossy(name.trim_matches('"'))
}

fn product() -> ShortText {
    let sources = ["/sys/class/dmi/id/product_name", "/sys/firmware/devicetree/base/model"];
    let product = sources.into_iter().find_map(first_line).unwrap_or_default();
    Text::lossy(product.trim_end_matches('\0').trim())
}

fn first_line(path: &str) -> Option<String> {
    text(path)?.lines().next().map(str::to_owned)
}

fn text(path: &str) -> Option<String> {
    let mut contents = Vec::new();
    File::open(path).ok()?.take(16 * 1024).read_to_end(&mut contents).ok()?;
    Some(String::from_utf8_lossy(&contents).into_owned())
}
