//! An address that alerts are posted to: `<token_file>` and `<max_body>`.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use super::location::Location;
use crate::config::Context;
use crate::config::block::{Block, Reported, Value};
use crate::config::report::{Report, Span};
use crate::sys::secret::{Secret, SecretError};

/// An address that alerts are posted to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpDoor {
    /// Its port is never 0.
    pub address: SocketAddr,
    /// Who may connect; empty only where the address is of loopback, and then
    /// everyone.
    pub allowed: Vec<IpNetwork>,
    /// Holds what every sender has to show. Below the home unless it is
    /// absolute.
    pub token_file: PathBuf,
    /// The most bytes of one request.
    pub max_body: usize,
}

impl HttpDoor {
    /// What is not said yet is empty, or as it is by default.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            allowed: Vec::new(),
            token_file: PathBuf::new(),
            max_body: 10 << 20,
        }
    }
}

/// The least and the most bytes that one request may be limited to.
const LEAST_BODY: usize = 1 << 10;
const MOST_BODY: usize = 64 << 20;

/// Shorter tokens can be guessed by whoever may try for long enough.
const GOOD_TOKEN: usize = 16;

/// Makes a token that nobody guesses, for its owner alone.
fn how_to_make(token_file: &Path) -> String {
    format!(
        "make one: (umask 077; head -c 32 /dev/urandom | base64 > {})",
        token_file.display()
    )
}

/// Puts into the locations what the block says of requests.
pub(super) fn read(
    block: &Block<'_>,
    locations: &mut [Location],
    context: &Context,
    report: &mut Report<'_>,
) -> Result<(), Reported> {
    let max_body = block.setting("max_body", report, max_body);
    let token_file = block.setting("token_file", report, |value, report| {
        token_file(value, context, report)
    });
    let mut doors = Vec::new();
    for location in &mut *locations {
        if let Location::Http(door) = location {
            doors.push(door);
        }
    }
    if doors.is_empty() {
        // Without a location that can be read, it is not known what was meant.
        if !locations.is_empty() {
            warn_of_unused(block, report);
        }
        return Ok(());
    }
    let mut judged = Ok(());
    for door in &doors {
        judged = judged.and(judge_network(door, block.node.name_at, report));
    }
    if token_file == Ok(None) {
        let message = "this <alert_source> has no <token_file>: whoever connects could cause \
                       responses, as could every user of this host";
        let hint = format!(
            "{}, and write <token_file>{TOKEN_FILE}</token_file>",
            how_to_make(Path::new(TOKEN_FILE))
        );
        report.error(block.node.name_at, message, hint);
    }
    let (max_body, token_file) = (max_body?, token_file?.ok_or(Reported)?);
    for door in doors {
        door.token_file.clone_from(&token_file);
        door.max_body = max_body.unwrap_or(door.max_body);
    }
    judged
}

/// Where a token is well kept.
const TOKEN_FILE: &str = "etc/tls/webhook.token";

fn warn_of_unused(block: &Block<'_>, report: &mut Report<'_>) {
    for name in ["token_file", "max_body"] {
        if let Some(node) = block.all(name).next() {
            let message = format!("<{name}> has no effect: no <location> of this block is http:");
            report.warning(node.name_at, message, "remove it");
        }
    }
}

/// With a home, the file has to be there.
fn token_file(value: Value<'_>, context: &Context, report: &mut Report<'_>) -> Option<PathBuf> {
    let (at, text) = (value.node.text_at, value.text);
    if text.is_empty() || text.ends_with('/') || text.contains(char::is_control) {
        let message = format!("`{}` is no file", text.escape_debug());
        let hint = format!("write <token_file>{TOKEN_FILE}</token_file>");
        report.error(at, message, hint);
        return None;
    }
    let file = PathBuf::from(text);
    let Some(home) = &context.home else {
        return Some(file);
    };
    let path = home.join(&file);
    match Secret::read(&path) {
        Ok(token) if token.as_str().len() < GOOD_TOKEN => {
            let message = format!(
                "the token in {} is short enough to be guessed",
                path.display()
            );
            report.warning(at, message, how_to_make(&path));
        }
        Ok(_) => {}
        Err(error) => {
            unreadable(&error, &path, at, report);
            return None;
        }
    }
    Some(file)
}

fn unreadable(error: &SecretError, path: &Path, at: Span, report: &mut Report<'_>) {
    let text = error.to_string();
    let (message, hint) = match text.split_once('\n') {
        Some((message, hint)) => (message, hint.trim_matches(['(', ')']).to_owned()),
        None => (text.as_str(), how_to_make(path)),
    };
    // The cause is the system's.
    let cause = error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    report.error(at, format!("cannot {message}{cause}"), hint);
}

/// A number of bytes, or of KiB or MiB with `k` or `m` behind it.
fn max_body(value: Value<'_>, report: &mut Report<'_>) -> Option<usize> {
    let text = value.text;
    let found = bytes(text).filter(|bytes| (LEAST_BODY..=MOST_BODY).contains(bytes));
    if found.is_none() {
        let message = format!("`{text}` is nothing that a request can be limited to");
        let hint = "write bytes, or a number with k or m: from 1k to 64m, such as 10m";
        report.error(value.node.text_at, message, hint);
    }
    found
}

fn bytes(text: &str) -> Option<usize> {
    let (number, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: usize = number.parse().ok().filter(|_| is_number)?;
    number.checked_mul(unit)
}

/// Says what has to be said of an address that others than this host's users
/// can reach.
fn judge_network(door: &HttpDoor, at: Span, report: &mut Report<'_>) -> Result<(), Reported> {
    let ip = door.address.ip();
    if ip.to_canonical().is_loopback() {
        return Ok(());
    }
    let proxy = "listen at 127.0.0.1, and let a proxy on this host speak TLS with the senders";
    if door.allowed.is_empty() {
        let message = format!("whoever reaches {ip} could try tokens there");
        let hint = format!(
            "{proxy}, or say who may send: <allowed-ips>192.0.2.7</allowed-ips>, once for each \
             address or network"
        );
        report.error(at, message, hint);
        return Err(Reported);
    }
    let message = format!(
        "what is sent to {} crosses the network as it is, and with it the token",
        door.address
    );
    report.warning(at, message, proxy);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn a_size_is_a_number_with_or_without_a_unit() {
        for (text, wanted) in [
            ("1024", Some(1_024)),
            ("1k", Some(1_024)),
            ("10M", Some(10 << 20)),
            ("", None),
            ("m", None),
            ("1g", None),
            ("-1", None),
            ("+1", None),
            ("1.5m", None),
            ("10 m", None),
            ("99999999999999999999", None),
            ("99999999999999999k", None),
        ] {
            assert_eq!(bytes(text), wanted, "{text:?}");
        }
    }
}
