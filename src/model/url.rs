//! Where services are that an executable speaks to.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longer ones are a mistake.
const MAX_BYTES: usize = 2_048;

/// The URL of a service: `https`, or plain `http` to this very host. It is
/// shown without its path, which may be a secret.
#[derive(Clone, Eq, PartialEq)]
pub struct Url {
    text: String,
    /// How much of it is scheme, host and port.
    origin: usize,
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidUrl {
    #[error("write https://HOST/PATH")]
    Form,
    #[error("write https://, not http://, which goes over the network in the clear")]
    Plain,
    #[error("leave out the user before the @")]
    User,
    #[error("write http://HOST:PORT")]
    Proxy,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let url = Self::any(text)?;
        match url.is_https() || is_this_host(url.host()) {
            true => Ok(url),
            false => Err(InvalidUrl::Plain),
        }
    }

    /// A proxy is spoken to in the clear, wherever it is; what goes through it
    /// is TLS.
    pub fn parse_proxy(text: &str) -> Result<Self, InvalidUrl> {
        let url = Self::any(text.strip_suffix('/').unwrap_or(text))?;
        match !url.is_https() && url.origin == url.text.len() {
            true => Ok(url),
            false => Err(InvalidUrl::Proxy),
        }
    }

    fn any(text: &str) -> Result<Self, InvalidUrl> {
        let is_good = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
        let scheme = ["https://", "http://"]
            .into_iter()
            .find(|scheme| text.starts_with(scheme))
            .filter(|_| text.len() <= MAX_BYTES && text.bytes().all(is_good))
            .ok_or(InvalidUrl::Form)?;
        let rest = &text[scheme.len()..];
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        if authority.contains('@') {
            return Err(InvalidUrl::User);
        }
        if !is_authority(authority) {
            return Err(InvalidUrl::Form);
        }
        Ok(Self {
            text: text.to_owned(),
            origin: scheme.len() + authority.len(),
        })
    }

    /// All of it, secrets included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// The scheme, the host and the port, if one is given.
    pub fn origin(&self) -> &str {
        &self.text[..self.origin]
    }

    /// What lies behind it at `path`, which begins with a slash. The caller has
    /// made sure that nothing in it needs to be escaped.
    pub fn below(&self, path: &str) -> Self {
        let base = self.text.trim_end_matches('/');
        Self {
            text: format!("{base}{path}"),
            origin: self.origin,
        }
    }

    /// It with this query, which begins with a question mark. The caller has
    /// made sure that nothing in it needs to be escaped.
    pub fn with_query(&self, query: &str) -> Self {
        Self {
            text: format!("{}{query}", self.text),
            origin: self.origin,
        }
    }

    fn host(&self) -> &str {
        let authority = self.origin().split("//").nth(1).unwrap_or_default();
        split_port(authority).0
    }
}

/// Host and port. The colons of an IPv6 address stand in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = split_port(authority);
    let is_port = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_name = |host: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !host.is_empty() && host.bytes().all(is_part)
    };
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => is_name(host),
    };
    is_host && port.is_none_or(is_port)
}

fn is_this_host(host: &str) -> bool {
    host == "localhost"
        || host == "[::1]"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self}/...)")
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidUrl, Url};

    #[test]
    fn a_service_is_spoken_to_over_tls_or_on_this_host() {
        for (text, origin) in [
            (
                "https://hooks.example/services/T0/B0/x?y=z",
                "https://hooks.example",
            ),
            ("https://hooks.example:8443/x", "https://hooks.example:8443"),
            ("https://hooks.example", "https://hooks.example"),
            ("https://[2001:db8::1]:443/x", "https://[2001:db8::1]:443"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080"),
            ("http://127.1.2.3/x", "http://127.1.2.3"),
            ("http://[::1]:8080/x", "http://[::1]:8080"),
            ("http://localhost/x", "http://localhost"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.as_str(), url.origin()), (text, origin));
        }
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        for (text, wanted) in [
            ("", InvalidUrl::Form),
            ("hooks.example/x", InvalidUrl::Form),
            ("ftp://hooks.example/x", InvalidUrl::Form),
            ("https:///x", InvalidUrl::Form),
            ("https://ho oks.example/x", InvalidUrl::Form),
            ("https://hooks.example/x\r\nHost: y", InvalidUrl::Form),
            ("https://hooks.example/#x", InvalidUrl::Form),
            ("https://hooks.example:0/x", InvalidUrl::Form),
            ("https://hooks.example:65536/x", InvalidUrl::Form),
            ("https://hooks.example:+1/x", InvalidUrl::Form),
            ("https://[2001:db8::1/x", InvalidUrl::Form),
            ("https://[evil]/x", InvalidUrl::Form),
            ("http://hooks.example/x", InvalidUrl::Plain),
            ("http://127.0.0.1.example/x", InvalidUrl::Plain),
            ("http://2130706433/x", InvalidUrl::Plain),
            ("http://localhost@evil.example/x", InvalidUrl::User),
            ("https://user:pass@hooks.example/x", InvalidUrl::User),
        ] {
            assert_eq!(Url::parse(text), Err(wanted), "{text}");
        }
        let long = format!("https://hooks.example/{}", "x".repeat(2_048));
        assert_eq!(Url::parse(&long), Err(InvalidUrl::Form));
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for text in ["http://proxy.example:3128", "http://192.0.2.1:3128/"] {
            assert!(Url::parse_proxy(text).is_ok(), "{text}");
        }
        for text in ["https://proxy.example", "http://proxy.example/x"] {
            assert_eq!(Url::parse_proxy(text), Err(InvalidUrl::Proxy), "{text}");
        }
    }

    #[test]
    fn the_path_is_shown_to_nobody() {
        let url = Url::parse("https://hooks.example/secret?secret").unwrap();
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(shown.contains("https://hooks.example"), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
        let below = url.below("/more");
        assert_eq!(below.origin(), url.origin());
    }

    #[test]
    fn a_path_goes_behind_the_base() {
        for base in ["https://api.example/v4", "https://api.example/v4/"] {
            let url = Url::parse(base).unwrap().below("/zones");
            assert_eq!(url.as_str(), "https://api.example/v4/zones");
            let url = url.with_query("?x=1");
            assert_eq!(url.as_str(), "https://api.example/v4/zones?x=1");
        }
    }
}
