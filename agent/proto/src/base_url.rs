//! The base URL of a control plane.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use url::{Host, ParseError, Url};

/// `https://host[:port]`, without a path.
///
/// A device signs URLs that are made of it (`aud` and `htu`), and the control plane compares them as texts.
/// Therefore a base URL prints in one form: host in lower case, no port 443, no slash at the end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(Url);

const DEFAULT_PORT: u16 = 443;

impl BaseUrl {
    /// Returns the host name in lower case, or the IP address; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(DEFAULT_PORT)
    }

    /// Returns the URL of `path`, which must begin with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Returns the URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    /// Reads a URL more strictly than the `url` crate, which implements the WHATWG's standard: that crate drops
    /// tabs and line ends, decodes `%61`, reads `0x7f.1` as an address, and allows `_`, empty labels and an empty
    /// port.
    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let rest = text.strip_prefix("https://").ok_or(BaseUrlError::Scheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '\\', '?', '#', '@']) {
            return Err(BaseUrlError::Extra);
        }
        if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BaseUrlError::Host);
        }
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::InvalidPort => BaseUrlError::Port,
            _ => BaseUrlError::Host,
        })?;
        if authority.ends_with(':') || url.port() == Some(0) {
            return Err(BaseUrlError::Port);
        }
        let is_as_written = |host: &str| authority.to_ascii_lowercase().starts_with(host);
        let is_host = match url.host() {
            Some(Host::Domain(name)) => is_host_name(name) && is_as_written(name),
            Some(Host::Ipv4(address)) => is_as_written(&address.to_string()),
            Some(Host::Ipv6(_)) => true,
            None => false,
        };
        if is_host { Ok(Self(url)) } else { Err(BaseUrlError::Host) }
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

impl TryFrom<String> for BaseUrl {
    type Error = BaseUrlError;

    fn try_from(text: String) -> Result<Self, BaseUrlError> {
        text.parse()
    }
}

/// Why a text is not the base URL of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Without TLS, anybody could answer as the control plane.
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
    fn two_texts_of_one_place_print_the_same() {
        for (text, host, port, shown) in [
            ("https://control.example", "control.example", 443, "https://control.example"),
            ("https://Control.Example:443/", "control.example", 443, "https://control.example"),
            ("https://control.example:8443", "control.example", 8443, "https://control.example:8443"),
            ("https://127.0.0.1:9", "127.0.0.1", 9, "https://127.0.0.1:9"),
            ("https://[::1]:8443", "::1", 8443, "https://[::1]:8443"),
            ("https://[2001:DB8:0::1]", "2001:db8::1", 443, "https://[2001:db8::1]"),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.to_string().as_str()), (host, port, shown));
            assert_eq!(url.join("/v1/token"), format!("{shown}/v1/token"));
        }
    }

    #[test]
    fn a_refusal_says_which_part_is_wrong() {
        for (text, error) in [
            ("", BaseUrlError::Scheme),
            ("http://control.example", BaseUrlError::Scheme),
            ("control.example:8443", BaseUrlError::Scheme),
            ("https:control.example", BaseUrlError::Scheme),
            (" https://control.example", BaseUrlError::Scheme),
            ("https://", BaseUrlError::Host),
            ("https://a..b", BaseUrlError::Host),
            ("https://-a", BaseUrlError::Host),
            ("https://a_b", BaseUrlError::Host),
            ("https://::1", BaseUrlError::Host),
            ("https://[::1", BaseUrlError::Host),
            ("https://[control.example]", BaseUrlError::Host),
            ("https://b\u{fc}cher.example", BaseUrlError::Host),
            ("https://a\tb.example", BaseUrlError::Host),
            ("https://control.example\n", BaseUrlError::Host),
            ("https://%61.example", BaseUrlError::Host),
            ("https://0x7f.1", BaseUrlError::Host),
            ("https://127.1", BaseUrlError::Host),
            ("https://[::1]x", BaseUrlError::Host),
            ("https://control.example:", BaseUrlError::Port),
            ("https://control.example:0", BaseUrlError::Port),
            ("https://control.example:65536", BaseUrlError::Port),
            ("https://control.example/v1", BaseUrlError::Extra),
            ("https://control.example\\v1", BaseUrlError::Extra),
            ("https://control.example?x", BaseUrlError::Extra),
            ("https://user@control.example", BaseUrlError::Extra),
            ("https://@control.example", BaseUrlError::Extra),
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(error), "{text:?}");
        }
    }
}
