use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::{fmt, fs};

use tss_esapi::tcti_ldr::{DeviceConfig, ServerAddress, TctiNameConf, TpmSimulatorConfig};

/// How to reach a TPM, in the notation of the TSS: `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321` or
/// `swtpm:path=/run/swtpm.sock`. `auto` means each of the kernel's resource managers, `/dev/tpmrm*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcti(Places);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Places {
    One(Transport),
    AnyOf(Vec<Transport>),
    /// Every resource manager in `/dev` when the TPM is opened: a driver may load late, or under another number.
    ResourceManagers,
}

/// The address of a single TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Device(String),
    SwtpmTcp { host: IpAddr, port: u16 },
    SwtpmUnix(String),
}

/// A TCTI is malformed or not supported.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` does not name a TPM ({reason}): use auto, device:/dev/tpmrm0, swtpm:host=127.0.0.1,port=2321 or swtpm:path=/run/swtpm.sock"
)]
pub struct TctiError {
    text: String,
    reason: &'static str,
}

impl FromStr for Tcti {
    type Err = TctiError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self(Places::ResourceManagers));
        }
        parse(text).map(Self::from).map_err(|reason| TctiError { text: text.to_owned(), reason })
    }
}

impl Tcti {
    /// Returns a TCTI that tries these places in this order.
    pub fn any_of(tctis: &[Self]) -> Self {
        Self(Places::AnyOf(tctis.iter().flat_map(Self::places).collect()))
    }

    /// Returns whether the TPM is a kernel device, which a driver that loads later may still create.
    pub fn may_come_late(&self) -> bool {
        match &self.0 {
            Places::ResourceManagers => true,
            Places::One(place) => place.may_come_late(),
            Places::AnyOf(places) => places.iter().any(Transport::may_come_late),
        }
    }

    /// Returns the kernel's number of the TPM: 1 for `/dev/tpmrm1`. The kernel uses the same number for its
    /// logs.
    pub fn number(&self) -> Option<u32> {
        let Places::One(Transport::Device(path)) = &self.0 else { return None };
        let name = path.strip_prefix("/dev/tpm")?;
        name.strip_prefix("rm").unwrap_or(name).parse().ok()
    }

    /// Returns the places that exist now.
    pub(crate) fn places(&self) -> Vec<Transport> {
        match &self.0 {
            Places::One(place) => vec![place.clone()],
            Places::AnyOf(places) => places.clone(),
            Places::ResourceManagers => resource_managers(Path::new("/dev")),
        }
    }
}

impl From<Transport> for Tcti {
    fn from(place: Transport) -> Self {
        Self(Places::One(place))
    }
}

/// Returns the kernel's resource managers in the order of their numbers.
fn resource_managers(directory: &Path) -> Vec<Transport> {
    let number = |name: &str| name.strip_prefix("tpmrm")?.parse::<u32>().ok();
    let mut found: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((number(&name)?, format!("{}/{name}", directory.display())))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| Transport::Device(path)).collect()
}

fn parse(text: &str) -> Result<Transport, &'static str> {
    let (kind, place) = text.split_once(':').ok_or("no colon")?;
    match kind {
        "device" => path(place).map(Transport::Device),
        "swtpm" => match place.strip_prefix("path=") {
            Some(socket) => path(socket).map(Transport::SwtpmUnix),
            None => tcp(place),
        },
        _ => Err("neither device nor swtpm"),
    }
}

/// The TSS splits its options at commas and ends C strings at NUL, so a path must contain neither.
fn path(text: &str) -> Result<String, &'static str> {
    if !text.starts_with('/') {
        return Err("the path is not absolute");
    }
    if text.contains([',', '\0']) {
        return Err("the path has a comma or a NUL in it");
    }
    Ok(text.to_owned())
}

fn tcp(text: &str) -> Result<Transport, &'static str> {
    let (host, port) = text.split_once(',').ok_or("host and port are both needed")?;
    let host = host.strip_prefix("host=").ok_or("host= is missing")?;
    let port = port.strip_prefix("port=").ok_or("port= is missing")?;
    // The TSS uses the port above for control, so 65535 is unusable.
    match (host.parse(), port.parse()) {
        (Err(_), _) => Err("the host is not an IP address"),
        (_, Err(_) | Ok(0 | u16::MAX)) => Err("the port is not between 1 and 65534"),
        (Ok(host), Ok(port)) => Ok(Transport::SwtpmTcp { host, port }),
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Places::One(place) => place.fmt(f),
            Places::AnyOf(places) => {
                let places: Vec<_> = places.iter().map(ToString::to_string).collect();
                f.write_str(&places.join(" or "))
            }
            Places::ResourceManagers => f.write_str("/dev/tpmrm*"),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{path}"),
            Self::SwtpmTcp { host, port } => write!(f, "swtpm:host={host},port={port}"),
            Self::SwtpmUnix(path) => write!(f, "swtpm:path={path}"),
        }
    }
}

impl Transport {
    fn may_come_late(&self) -> bool {
        matches!(self, Self::Device(_))
    }

    /// Returns the address as the TSS's type.
    pub(crate) fn name_conf(&self) -> tss_esapi::Result<TctiNameConf> {
        Ok(match self {
            Self::Device(path) => TctiNameConf::Device(DeviceConfig::from_str(path)?),
            Self::SwtpmTcp { host, port } => {
                TctiNameConf::Swtpm(TpmSimulatorConfig::Tcp { host: ServerAddress::Ip(*host), port: *port })
            }
            Self::SwtpmUnix(path) => TctiNameConf::Swtpm(TpmSimulatorConfig::Unix { path: path.clone() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_print_as_they_were_written() {
        for text in ["device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321", "swtpm:path=/run/swtpm.sock"] {
            assert_eq!(text.parse::<Tcti>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn auto_is_every_resource_manager_in_the_order_of_its_number() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["tpmrm10", "tpmrm2", "tpm0", "tpmrm", "tpmrmx", "tpmrm0"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let found: Vec<_> =
            resource_managers(directory.path()).into_iter().map(|place| place.to_string()).collect();
        let wanted = ["tpmrm0", "tpmrm2", "tpmrm10"]
            .map(|name| format!("device:{}", directory.path().join(name).display()));
        assert_eq!(found, wanted);
        assert!(resource_managers(Path::new("/nonexistent")).is_empty());
        let auto: Tcti = "auto".parse().unwrap();
        assert_eq!((auto.to_string().as_str(), auto.may_come_late()), ("/dev/tpmrm*", true));
    }

    #[test]
    fn a_device_has_the_number_of_its_logs() {
        for (text, number) in [
            ("device:/dev/tpmrm0", Some(0)),
            ("device:/dev/tpmrm12", Some(12)),
            ("device:/dev/tpm1", Some(1)),
            ("device:/dev/tpmrm", None),
            ("device:/srv/tpmrm1", None),
            ("swtpm:path=/dev/tpmrm1", None),
            ("auto", None),
        ] {
            assert_eq!(text.parse::<Tcti>().unwrap().number(), number, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "device",
            "device:",
            "device:tpmrm0",
            "device:/dev/tpmrm0,x",
            "tabrmd:bus_name=x",
            "swtpm:",
            "swtpm:port=2321",
            "swtpm:host=127.0.0.1",
            "swtpm:host=localhost,port=2321",
            "swtpm:host=127.0.0.1,port=65535",
            "swtpm:host=127.0.0.1,port=2321,path=/x",
            "swtpm:path=run/swtpm.sock",
        ] {
            assert!(text.parse::<Tcti>().is_err(), "{text}");
        }
    }
}
