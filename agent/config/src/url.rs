//! The address of a control plane.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// `https://host[:port]`, and nothing behind it: what comes after is the protocol's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HttpsUrl {
    host: String,
    port: u16,
}

const DEFAULT_PORT: u16 = 443;

impl HttpsUrl {
    /// The host name in lower case, or the address; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `path`, which begins with a slash, on this control plane.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl fmt::Display for HttpsUrl {
    /// Without a slash at the end, and without the port where it is 443.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "https://[{}]", self.host)?;
        } else {
            write!(f, "https://{}", self.host)?;
        }
        if self.port == DEFAULT_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for HttpsUrl {
    type Err = HttpsUrlError;

    fn from_str(text: &str) -> Result<Self, HttpsUrlError> {
        let rest = text.strip_prefix("https://").ok_or(HttpsUrlError::Scheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(HttpsUrlError::Extra);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(HttpsUrlError::Host)?;
                host.parse::<Ipv6Addr>().map_err(|_| HttpsUrlError::Host)?;
                (host, port.strip_prefix(':').or(if port.is_empty() { None } else { Some("") }))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port.map(str::parse) {
            None => DEFAULT_PORT,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return Err(HttpsUrlError::Port),
        };
        if !(host.parse::<IpAddr>().is_ok() || is_host_name(host)) {
            return Err(HttpsUrlError::Host);
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

/// RFC 1123, section 2.1.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

impl TryFrom<String> for HttpsUrl {
    type Error = HttpsUrlError;

    fn try_from(text: String) -> Result<Self, HttpsUrlError> {
        text.parse()
    }
}

/// Why a text is no address of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpsUrlError {
    /// Without TLS, a control plane is whoever answers.
    #[error("the address of a control plane begins with https://")]
    Scheme,
    /// A path, a query, a fragment or a user.
    #[error("the address of a control plane ends after host and port: https://control.example:8443")]
    Extra,
    /// Neither a host name nor an address.
    #[error("the host is neither a host name nor an IP address (an IPv6 address stands in brackets)")]
    Host,
    /// Not a port.
    #[error("the port is a number from 1 to 65535")]
    Port,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_without_what_goes_without_saying() {
        for (text, host, port, shown) in [
            ("https://control.example", "control.example", 443, "https://control.example"),
            ("https://Control.Example:443/", "control.example", 443, "https://control.example"),
            ("https://control.example:8443", "control.example", 8443, "https://control.example:8443"),
            ("https://127.0.0.1:9", "127.0.0.1", 9, "https://127.0.0.1:9"),
            ("https://[::1]:8443", "::1", 8443, "https://[::1]:8443"),
            ("https://[2001:db8::1]", "2001:db8::1", 443, "https://[2001:db8::1]"),
        ] {
            let url: HttpsUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.to_string().as_str()), (host, port, shown));
            assert_eq!(url.join("/v1/token"), format!("{shown}/v1/token"));
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, error) in [
            ("", HttpsUrlError::Scheme),
            ("http://control.example", HttpsUrlError::Scheme),
            ("control.example:8443", HttpsUrlError::Scheme),
            ("https://", HttpsUrlError::Host),
            ("https://a..b", HttpsUrlError::Host),
            ("https://-a", HttpsUrlError::Host),
            ("https://a_b", HttpsUrlError::Host),
            ("https://::1", HttpsUrlError::Port),
            ("https://[::1", HttpsUrlError::Host),
            ("https://[control.example]", HttpsUrlError::Host),
            ("https://[::1]x", HttpsUrlError::Port),
            ("https://control.example:", HttpsUrlError::Port),
            ("https://control.example:0", HttpsUrlError::Port),
            ("https://control.example:65536", HttpsUrlError::Port),
            ("https://control.example/v1", HttpsUrlError::Extra),
            ("https://control.example?x", HttpsUrlError::Extra),
            ("https://user@control.example", HttpsUrlError::Extra),
        ] {
            assert_eq!(text.parse::<HttpsUrl>(), Err(error), "{text}");
        }
    }
}
