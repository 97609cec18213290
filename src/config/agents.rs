//! `<agents>`: where the manager listens for agents on other hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::config::block::{Block, Unbuilt, Value};
use crate::config::report::Report;
use crate::config::schema::{Daemon, Parent};
use crate::config::sections::Sections;
use crate::config::value::{self, Origin};
use crate::model::server::PORT;

/// How a manager serves agents on other hosts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentsConfig {
    /// Where it listens; its port is never 0.
    pub listen: SocketAddr,
    /// How long the certificate of an agent is valid from its issue; at least
    /// ten seconds.
    pub certificate_lifetime: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for AgentsConfig {
    /// What an empty section means.
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(ANY, PORT),
            certificate_lifetime: 90 * DAY,
        }
    }
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Agents renew at two thirds of the lifetime, over a connection that may have
/// to be made first.
const SHORTEST: Duration = Duration::from_secs(10);

/// Reads the section; `None` if there is none, or something in it is wrong.
pub(crate) fn read(sections: &Sections<'_>, report: &mut Report<'_>) -> Option<AgentsConfig> {
    let mut nodes = sections.named("agents");
    let node = nodes.next()?;
    for again in nodes {
        let message = "a second <agents> section: a manager listens at one address";
        let hint = format!(
            "keep one of the two; the other is in {}",
            report.place(node.name_at, again.name_at)
        );
        report.error(again.name_at, message, hint);
    }
    let parent = Parent::Agents;
    let block = Block::read(node, parent, Daemon::Manager, Unbuilt::Refuse, report);
    let listen = block.setting("listen", report, listen);
    let lifetime = block.setting("certificate_lifetime", report, lifetime);
    let default = AgentsConfig::default();
    Some(AgentsConfig {
        listen: listen.ok()?.unwrap_or(default.listen),
        certificate_lifetime: lifetime.ok()?.unwrap_or(default.certificate_lifetime),
    })
}

fn listen(value: Value<'_>, report: &mut Report<'_>) -> Option<SocketAddr> {
    let found = address(value.text);
    if found.is_none() {
        let message = match value.text {
            "" => "<listen> is empty".to_owned(),
            text => format!("`{text}` is no address to listen at"),
        };
        let hint = "write an address of this host and a port: 0.0.0.0:1517, 192.0.2.1:1517 or \
                    [::]:1517";
        report.error(value.node.text_at, message, hint);
    }
    found
}

/// `IP`, `IP:PORT`, `[IPv6]`, `[IPv6]:PORT` or a port alone.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let found = if text.bytes().all(|b| b.is_ascii_digit()) {
        SocketAddr::new(ANY, text.parse().ok()?)
    } else if let Some(bare) = bare {
        SocketAddr::new(bare.parse::<Ipv6Addr>().ok()?.into(), PORT)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        SocketAddr::new(address, PORT)
    } else {
        text.parse().ok()?
    };
    (found.port() != 0).then_some(found)
}

fn lifetime(value: Value<'_>, report: &mut Report<'_>) -> Option<Duration> {
    let span = value::duration(value, Origin::Ours, report)?;
    let (at, text) = (value.node.text_at, value.text);
    if span < SHORTEST {
        let message = format!("`{text}` leaves agents no time to renew their certificates");
        let hint = "write days, such as 90d; the least is 10s, and less than 1d is for tests";
        report.error(at, message, hint);
        return None;
    }
    if span < DAY {
        let message = format!("an agent that is away for {text} has to be enrolled anew");
        let hint = "write days, such as 90d; less than 1d is for tests";
        report.warning(at, message, hint);
    }
    Some(span)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_to_listen_at_is_written_in_any_of_the_usual_ways() {
        for (text, shown) in [
            ("1517", "0.0.0.0:1517"),
            ("9", "0.0.0.0:9"),
            ("192.0.2.1", "192.0.2.1:1517"),
            ("192.0.2.1:9", "192.0.2.1:9"),
            ("::", "[::]:1517"),
            ("[2001:db8::1]", "[2001:db8::1]:1517"),
            ("[::]:9", "[::]:9"),
        ] {
            let found = address(text).map(|address| address.to_string());
            assert_eq!(found.as_deref(), Some(shown), "{text}");
        }
        for bad in [
            "",
            "0",
            "70000",
            "192.0.2.1:0",
            "192.0.2.1:",
            ":1517",
            "*:1517",
            "siem:1517",
            "[192.0.2.1]",
            "[::",
            "192.0.2.0/24",
            "+9",
        ] {
            assert_eq!(address(bad), None, "{bad:?}");
        }
    }
}
