//! Who may send alerts: `<socket_mode>`, `<socket_group>` and `<allowed-ips>`.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::config::block::{Block, Reported, Value};
use crate::config::report::Report;
use crate::config::source::location::Location;

/// Puts into the locations what the block says of who may send.
pub(super) fn read(
    block: &Block<'_>,
    locations: &mut [Location],
    report: &mut Report<'_>,
) -> Result<(), Reported> {
    let mode = block.setting("socket_mode", report, mode);
    let group = block.setting("socket_group", report, group);
    let allowed = allowed(block, report);
    warn_of_unused(block, locations, report);
    let (mode, group, allowed) = (mode?, group?, allowed?);
    if let (Some(mode), Some(_)) = (mode, &group)
        && mode & 0o020 == 0
    {
        let message = "the group may not write to the socket, so naming it has no effect";
        report.warning(
            block.node.name_at,
            message,
            "write <socket_mode>0660</socket_mode>",
        );
    }
    let mut wrong = Ok(());
    for location in locations {
        match location {
            Location::UnixStream(socket) | Location::UnixDatagram(socket) => {
                let least = if group.is_some() { 0o660 } else { 0o600 };
                socket.mode = mode.unwrap_or(least);
                socket.group.clone_from(&group);
            }
            Location::Tcp(door) => {
                door.allowed.clone_from(&allowed);
                if is_open(block, door.address.ip(), &allowed, report) {
                    wrong = Err(Reported);
                }
            }
            Location::Http(door) => door.allowed.clone_from(&allowed),
            Location::File(_) | Location::Glob(_) | Location::StandardInput => {}
        }
    }
    wrong
}

/// Whoever connects can cause responses: a warning where that is every user of
/// this host, and an error where nothing says who it may be.
fn is_open(block: &Block<'_>, ip: IpAddr, allowed: &[IpNetwork], report: &mut Report<'_>) -> bool {
    let at = block.node.name_at;
    if ip.to_canonical().is_loopback() {
        let message = "every user of this host can connect there, and so cause responses";
        let hint = "write unix:queue/alerts.sock: its mode says who may";
        report.warning(at, message, hint);
        return false;
    }
    if allowed.is_empty() {
        let message = format!("whoever reaches {ip} could cause responses");
        let hint = "say who may send: <allowed-ips>192.0.2.7</allowed-ips>, once for each address or network";
        report.error(at, message, hint);
        return true;
    }
    false
}

fn warn_of_unused(block: &Block<'_>, locations: &[Location], report: &mut Report<'_>) {
    // Without a location that can be read, it is not known what was meant.
    if locations.is_empty() {
        return;
    }
    let is_socket = |location: &Location| match location {
        Location::UnixStream(_) | Location::UnixDatagram(_) => true,
        Location::File(_)
        | Location::Glob(_)
        | Location::Tcp(_)
        | Location::Http(_)
        | Location::StandardInput => false,
    };
    let is_port = |location: &Location| match location {
        Location::Tcp(_) | Location::Http(_) => true,
        Location::File(_)
        | Location::Glob(_)
        | Location::UnixStream(_)
        | Location::UnixDatagram(_)
        | Location::StandardInput => false,
    };
    let sockets = locations.iter().any(is_socket);
    let ports = locations.iter().any(is_port);
    for (name, used, what) in [
        (
            "socket_mode",
            sockets,
            "no <location> of this block is a socket",
        ),
        (
            "socket_group",
            sockets,
            "no <location> of this block is a socket",
        ),
        (
            "allowed-ips",
            ports,
            "no <location> of this block is an address",
        ),
    ] {
        if let Some(node) = block.all(name).next().filter(|_| !used) {
            let message = format!("<{name}> has no effect: {what}");
            report.warning(node.name_at, message, "remove it");
        }
    }
}

fn mode(value: Value<'_>, report: &mut Report<'_>) -> Option<u32> {
    let (at, text) = (value.node.text_at, value.text);
    let is_octal =
        (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| is_octal && *mode <= 0o777);
    match mode {
        None => {
            let message = format!("`{text}` is no mode of a socket");
            let hint = "write 0600 (this daemon alone), 0660 (a group, too) or 0666 (everyone)";
            report.error(at, message, hint);
        }
        Some(mode) if mode & 0o002 != 0 => {
            let message = "every user of this host can write there, and so cause responses";
            let hint = "write 0660, and who may in <socket_group>";
            report.warning(at, message, hint);
        }
        Some(_) => {}
    }
    mode
}

fn group(value: Value<'_>, report: &mut Report<'_>) -> Option<String> {
    let text = value.text;
    if text.is_empty() || text.contains(|c: char| c.is_control() || c.is_whitespace() || c == ':') {
        let message = format!("`{text}` is no group");
        let hint = "write one that `getent group` shows, such as syslog or adm";
        report.error(value.node.text_at, message, hint);
        return None;
    }
    Some(text.to_owned())
}

fn allowed(block: &Block<'_>, report: &mut Report<'_>) -> Result<Vec<IpNetwork>, Reported> {
    let mut found = Ok(Vec::new());
    for node in block.all("allowed-ips") {
        let network = block
            .text(node, report)
            .and_then(|value| network(value, report));
        match (&mut found, network) {
            (Ok(found), Some(network)) => found.push(network),
            (Ok(_) | Err(_), _) => found = Err(Reported),
        }
    }
    found
}

fn network(value: Value<'_>, report: &mut Report<'_>) -> Option<IpNetwork> {
    let (at, text) = (value.node.text_at, value.text);
    let found = text.parse::<IpNetwork>().ok().map(unmapped);
    match &found {
        None => {
            let message = format!("`{text}` is no address");
            let hint = "write one address or network: 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32";
            report.error(at, message, hint);
        }
        Some(network) if network.prefix() == 0 => {
            let message =
                format!("`{text}` is every address: whoever gets there can cause responses");
            report.warning(at, message, "write the addresses of those who send");
        }
        Some(_) => {}
    }
    found
}

/// A host written as `::ffff:192.0.2.1` is the IPv4 host (RFC 4291, 2.5.5.2).
fn unmapped(network: IpNetwork) -> IpNetwork {
    match (network.ip().to_canonical(), network.prefix()) {
        (ip @ IpAddr::V4(_), 128) => ip.into(),
        _ => network,
    }
}
