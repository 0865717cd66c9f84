//! Facts about the host, and its health, for people who diagnose a device. The control plane does not appraise these values.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use nix::sys::statvfs::statvfs;
use nix::sys::utsname::uname;
use pawl_proto::message::{HostFacts, HostHealth, ShortText};
use pawl_proto::{Nonce, Text};
use sysinfo::{Components, System};

use crate::random;

/// Returns facts about the host.
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

/// Returns Linux's random id of this boot.
pub(crate) fn boot_id() -> Text<64> {
    static BOOT_ID: LazyLock<Text<64>> = LazyLock::new(|| {
        Text::lossy(first_line("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim())
    });
    BOOT_ID.clone()
}

/// Returns the random id of this run of the daemon. A clone of this machine that was started separately has another one.
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

const MIB: u64 = 1024 * 1024;

/// Reads the health of the host. Blocks.
pub(super) fn health(state_dir: &Path) -> HostHealth {
    let mut system = System::new();
    system.refresh_memory();
    HostHealth {
        uptime: System::uptime(),
        load: rounded(System::load_average().one * 100.0).unwrap_or_default(),
        memory: system.available_memory() / MIB,
        swap: system.free_swap() / MIB,
        state: free(state_dir),
        root: free(Path::new("/")),
        cpu: hottest(&Components::new_with_refreshed_list()),
    }
}

/// Returns the free space that programs can use, in MiB. sysinfo would query every mounted file system, and hang on an unreachable
/// network share.
fn free(path: &Path) -> Option<u64> {
    let of = statvfs(path).ok()?;
    #[allow(clippy::useless_conversion, reason = "the counts have 32 bits on a 32-bit system")]
    let free = u64::from(of.blocks_available()).saturating_mul(u64::from(of.fragment_size()));
    Some(free / MIB)
}

/// Returns the highest temperature of the sensors with the name of a processor.
fn hottest(sensors: &Components) -> Option<i16> {
    const NAMES: [&str; 7] = ["cpu", "core", "package", "tctl", "tdie", "soc", "x86_pkg"];
    let of_cpu = sensors.iter().filter(|sensor| {
        let label = sensor.label().to_ascii_lowercase();
        NAMES.iter().any(|name| label.contains(name))
    });
    let celsius = of_cpu.filter_map(sysinfo::Component::temperature).filter(|celsius| celsius.is_finite());
    rounded(f64::from(celsius.reduce(f32::max)?))
}

/// Returns the nearest whole number, if the type can represent it.
fn rounded<T: std::str::FromStr>(number: f64) -> Option<T> {
    format!("{number:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_has_the_kernels_values() {
        let health = health(Path::new("/nonexistent"));
        assert_eq!(health.state, None);
        assert!(health.root.unwrap() > 0);
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!(rounded::<u64>(uptime).unwrap().abs_diff(health.uptime) <= 5, "{health:?}");
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
        let total: u64 = total.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(
            health.memory > total / 1024 / 1000 && health.memory <= total / 1024,
            "{health:?} of {total} KiB"
        );
    }
}
