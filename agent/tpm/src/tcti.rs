use std::{fmt, net::IpAddr, str::FromStr};

use tss_esapi::tcti_ldr::{DeviceConfig, ServerAddress, TctiNameConf, TpmSimulatorConfig};

/// How to reach a TPM, in the notation of the TSS: `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321` or
/// `swtpm:path=/run/swtpm.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcti(Transport);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Transport {
    Device(String),
    SwtpmTcp { host: IpAddr, port: u16 },
    SwtpmUnix(String),
}

/// A TCTI that Pawl does not understand.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` does not name a TPM ({reason}): use device:/dev/tpmrm0, swtpm:host=127.0.0.1,port=2321 or swtpm:path=/run/swtpm.sock"
)]
pub struct TctiError {
    text: String,
    reason: &'static str,
}

impl FromStr for Tcti {
    type Err = TctiError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self).map_err(|reason| TctiError { text: text.to_owned(), reason })
    }
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

/// The TSS cuts its options at commas and C strings at NUL, so neither may stand in a path.
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
    // The TSS takes the port above for control, so the highest is not free to use.
    match (host.parse(), port.parse()) {
        (Err(_), _) => Err("the host is not an IP address"),
        (_, Err(_) | Ok(0 | u16::MAX)) => Err("the port is not between 1 and 65534"),
        (Ok(host), Ok(port)) => Ok(Transport::SwtpmTcp { host, port }),
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Transport::Device(path) => write!(f, "device:{path}"),
            Transport::SwtpmTcp { host, port } => write!(f, "swtpm:host={host},port={port}"),
            Transport::SwtpmUnix(path) => write!(f, "swtpm:path={path}"),
        }
    }
}

impl Tcti {
    /// The same for the TSS.
    pub(crate) fn name_conf(&self) -> tss_esapi::Result<TctiNameConf> {
        Ok(match &self.0 {
            Transport::Device(path) => TctiNameConf::Device(DeviceConfig::from_str(path)?),
            Transport::SwtpmTcp { host, port } => {
                TctiNameConf::Swtpm(TpmSimulatorConfig::Tcp { host: ServerAddress::Ip(*host), port: *port })
            }
            Transport::SwtpmUnix(path) => {
                TctiNameConf::Swtpm(TpmSimulatorConfig::Unix { path: path.clone() })
            }
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
