//! Where a manager listens for its agents.

use std::fmt;

/// The port agents dial unless another is given.
pub const PORT: u16 = 1517;

/// A host, by name or address, and a port.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ServerAddress {
    /// An address, or a name that is looked up at each dial.
    pub host: String,
    pub port: u16,
}

/// A text that is no such address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is no HOST:PORT (such as manager.example.org:1517, 192.0.2.1 or [2001:db8::1]:1517)"
)]
pub struct InvalidServer(String);

impl ServerAddress {
    /// Reads `HOST`, `HOST:PORT`, `[ADDRESS]:PORT` or a bare IPv6 address.
    pub fn parse(text: &str) -> Result<Self, InvalidServer> {
        let invalid = || InvalidServer(text.to_owned());
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Ok(Self::new(text, PORT));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some(_) if text.ends_with(']') => (text, PORT),
            Some((host, port)) => (host, port.parse().map_err(|_| invalid())?),
            None => (text, PORT),
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let address = rest.strip_suffix(']').ok_or_else(invalid)?;
                address
                    .parse::<std::net::Ipv6Addr>()
                    .map_err(|_| invalid())?;
                address
            }
            None => host,
        };
        if port == 0 || !is_host(host) {
            return Err(invalid());
        }
        Ok(Self::new(host, port))
    }

    /// From a host alone and a port that stands apart from it, as in
    /// `<server>`; a bracketed IPv6 address is one, too.
    pub fn at(host: &str, port: u16) -> Result<Self, InvalidServer> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let valid = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_host(host),
        };
        if port == 0 || !valid {
            return Err(InvalidServer(host.to_owned()));
        }
        Ok(Self::new(bare.unwrap_or(host), port))
    }

    fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
        }
    }
}

/// An address, or a name of the characters that names have (RFC 1123 2.1,
/// and `_`, which is seen in practice).
fn is_host(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
        || (!text.is_empty()
            && text.len() <= 253
            && !text.starts_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)))
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServerAddress;

    #[test]
    fn a_server_is_written_in_any_of_the_usual_ways() {
        for (text, shown) in [
            ("manager", "manager:1517"),
            ("manager.example.org:443", "manager.example.org:443"),
            ("192.0.2.1", "192.0.2.1:1517"),
            ("192.0.2.1:9", "192.0.2.1:9"),
            ("2001:db8::1", "[2001:db8::1]:1517"),
            ("[2001:db8::1]:9", "[2001:db8::1]:9"),
            ("[2001:db8::1]", "[2001:db8::1]:1517"),
        ] {
            let server = ServerAddress::parse(text).map(|server| server.to_string());
            assert_eq!(server.as_deref(), Ok(shown), "{text}");
        }
        for bad in [
            "", ":1", "a:0", "a:x", "a b", "-a", "[::1", "[a]:1", "a:70000", "http://a",
        ] {
            assert!(ServerAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_host_and_its_port_may_stand_apart() {
        for (host, shown) in [
            ("manager.example.org", "manager.example.org:9"),
            ("192.0.2.1", "192.0.2.1:9"),
            ("2001:db8::1", "[2001:db8::1]:9"),
            ("[2001:db8::1]", "[2001:db8::1]:9"),
        ] {
            let server = ServerAddress::at(host, 9).map(|server| server.to_string());
            assert_eq!(server.as_deref(), Ok(shown), "{host}");
        }
        for bad in ["", "a:1", "a b", "[a]", "[::1", "192.0.2.1:9", "-a"] {
            assert!(ServerAddress::at(bad, 9).is_err(), "{bad:?}");
        }
        assert!(ServerAddress::at("a", 0).is_err());
    }
}
