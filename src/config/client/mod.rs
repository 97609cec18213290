//! `<client>`: the managers of an agent, as Wazuh (`<server>`) and OSSEC
//! (`<server-ip>`, `<server-hostname>`, `<port>`) write them.

mod edit;

use std::net::IpAddr;

use crate::config::block::{Block, Reported, Unbuilt, Value};
use crate::config::report::Report;
use crate::config::schema::{Daemon, Parent};
use crate::config::xml::Node;
use crate::model::ServerAddress;
use crate::model::server::PORT;

pub use edit::{SetServerError, set_server};

/// The elements that name a manager.
const SERVERS: [&str; 3] = ["server", "server-ip", "server-hostname"];
/// The port of those that have none of their own, in the old form.
const OLD_PORT: &str = "port";

/// Where Wazuh's and OSSEC's managers listen, with a protocol of their own.
const WAZUH_PORT: u16 = 1514;

/// What the installers of Wazuh replace (etc/ossec-agent.conf and the
/// examples of its documentation).
const PLACEHOLDERS: [&str; 2] = ["MANAGER_IP", "WAZUH_MANAGER_IP"];

/// What stands in the file of agents that Wazuh 4.3 ships. Its agent starts with
/// it and looks for a host of that name.
const BLANK: &str = "IP";

/// Adds the managers of one section to those found so far, each once.
pub(crate) fn read(block: &Block<'_>, into: &mut Vec<ServerAddress>, report: &mut Report<'_>) {
    let old_port = old_port(block, report);
    for node in block.in_order(&SERVERS) {
        let found = match node.name.as_str() {
            "server" => server(node, report),
            _ => old_server(block, node, old_port, report),
        };
        let Some(found) = found else { continue };
        if into.contains(&found) {
            let message = format!("the server {found} is named already: it counts once");
            report.warning(node.name_at, message, "remove one of the two");
        } else {
            into.push(found);
        }
    }
}

/// One for all old forms of the section, wherever it stands; it has no
/// meaning for a `<server>` (Wazuh 4.14 config/client-config.c).
fn old_port(block: &Block<'_>, report: &mut Report<'_>) -> Result<u16, Reported> {
    let found = block.setting(OLD_PORT, report, port)?;
    let of_use = block.in_order(&SERVERS[1..]).next().is_some();
    if let (false, Some(node)) = (of_use, block.all(OLD_PORT).next()) {
        let message = "this <port> has no effect: it belongs to <server-ip> or <server-hostname>";
        let hint = "move it into <server>, or remove it";
        report.warning(node.name_at, message, hint);
    }
    Ok(found.unwrap_or(PORT))
}

fn server(node: &Node, report: &mut Report<'_>) -> Option<ServerAddress> {
    let parent = Parent::Server;
    let block = Block::read(node, parent, Daemon::Agent, Unbuilt::Refuse, report);
    let port = block.setting("port", report, port);
    if block.lacks("address") {
        let hint = "write <address>manager.example.org</address> inside";
        report.error(node.name_at, "this <server> has no <address>", hint);
    }
    let value = block.value("address", report)?;
    address(value, port.ok()?.unwrap_or(PORT), report)
}

fn old_server(
    block: &Block<'_>,
    node: &Node,
    port: Result<u16, Reported>,
    report: &mut Report<'_>,
) -> Option<ServerAddress> {
    let value = block.text(node, report)?;
    // Where the port is wrong the address is looked at all the same.
    let found = address(value, port.unwrap_or(PORT), report)?;
    port.ok().map(|_| found)
}

fn address(value: Value<'_>, port: u16, report: &mut Report<'_>) -> Option<ServerAddress> {
    let (at, text) = (value.node.text_at, value.text);
    let hint = "write the name or the address of the manager's host; `ripost-agentd enroll` \
                does it for you";
    if text.is_empty() {
        report.error(at, format!("<{}> is empty", value.node.name), hint);
        return None;
    }
    if PLACEHOLDERS.contains(&text) || is_nowhere(text) {
        report.error(at, format!("`{text}` is a placeholder for a manager"), hint);
        return None;
    }
    if text == BLANK {
        let message = format!("`{text}` is a placeholder: no manager will be found there");
        report.warning(at, message, hint);
    }
    let found = ServerAddress::at(text, port).ok();
    if found.is_none() {
        let message = format!("`{text}` is neither a name nor an address of a host");
        let hint = match ServerAddress::parse(text) {
            Ok(server) => format!(
                "write <address>{}</address> and <port>{}</port>",
                server.host, server.port
            ),
            Err(_) => "write a name such as manager.example.org, or an IPv4 or IPv6 address".into(),
        };
        report.error(at, message, hint);
    }
    found
}

/// 0.0.0.0 is what OSSEC's and Wazuh's files of agents hold before they are
/// set up; to dial it is to dial oneself.
fn is_nowhere(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

fn port(value: Value<'_>, report: &mut Report<'_>) -> Option<u16> {
    let (at, text) = (value.node.text_at, value.text);
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let found = text.parse::<u16>().ok().filter(|&port| digits && port > 0);
    match found {
        Some(WAZUH_PORT) => {
            let message = format!("{WAZUH_PORT} is the port of Wazuh's manager, not of Ripost's");
            let hint = format!(
                "write {PORT}, or remove it, unless <listen> in manager.conf says {WAZUH_PORT}"
            );
            report.warning(at, message, hint);
        }
        Some(_) => {}
        None => {
            let message = match text {
                "" => "<port> is empty".to_owned(),
                text => format!("`{text}` is no port"),
            };
            report.error(
                at,
                message,
                format!("write 1 to 65535; the default is {PORT}"),
            );
        }
    }
    found
}
