use std::fmt;
use std::net::IpAddr;

use crate::model::Keys;

/// A text that is no target an executable could act on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not a numeric IPv4 or IPv6 address")]
pub struct InvalidTarget;

/// What an executable acts on, in its one canonical spelling.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// A host. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is the IPv4
    /// host: on the wire its packets are IPv4 (RFC 4291, 2.5.5.2).
    Address(IpAddr),
}

impl Target {
    /// Parses one address in the forms of `inet_pton(3)`. The short, octal and
    /// hexadecimal forms that `getaddrinfo` takes and scoped addresses
    /// (`fe80::1%eth0`) are refused: tools disagree on what they mean.
    pub fn parse_address(text: &str) -> Result<Self, InvalidTarget> {
        text.parse::<IpAddr>()
            .map(|address| Self::Address(address.to_canonical()))
            .map_err(|_| InvalidTarget)
    }

    pub fn keys(&self) -> Keys {
        Keys::new(vec![self.to_string()]).expect("an address is shorter than the limit")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn an_address_has_one_spelling() {
        for (text, canonical) in [
            ("192.0.2.10", "192.0.2.10"),
            ("::ffff:192.0.2.11", "192.0.2.11"),
            ("2001:0DB8:0:0:0:0:0:0011", "2001:db8::11"),
        ] {
            let target = Target::parse_address(text).map(|t| t.to_string());
            assert_eq!(target.as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn text_that_tools_read_differently_is_no_address() {
        for text in [
            "",
            "-",
            "127.1",
            "3221226012",
            "0xc0000214",
            "0300.0.2.21",
            "fe80::1%lo",
            "192.0.2.0/24",
            " 192.0.2.1",
            "192.0.2.1\n",
            "192.0.2.1;id",
            "evil.example",
            "-h",
        ] {
            assert!(Target::parse_address(text).is_err(), "{text:?}");
        }
    }
}
