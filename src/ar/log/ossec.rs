//! Lines as the scripts of OSSEC write them (ossec-hids active-response/*.sh).

use std::env;

use crate::clock::Wall;
use crate::contract::input::Order;
use crate::contract::json::Value;
use crate::model::{ExeName, Target};
use crate::sys;

/// What stands for a user or an address that there is none of.
const NONE: &str = "-";

/// What OSSEC's agent_control sends for an alert and a rule where a person has
/// asked.
const BY_HAND: (&str, &str) = ("(from_the_server)", "(no_rule_id)");

/// The executables that are scripts in OSSEC, which its rules know as such.
const SCRIPTS: &[&str] = &[
    "cloudflare-ban",
    "disable-account",
    "firewall-drop",
    "firewalld-drop",
    "host-deny",
    "ip-customblock",
    "ipfw",
    "npf",
    "ossec-slack",
    "pf",
    "restart-ossec",
    "route-null",
];

/// How a line begins.
pub(super) fn stamp(now: Wall, name: &ExeName) -> String {
    // The decoder takes a word of letters for the name of a zone, and some have
    // only a number.
    let zone = sys::zone::name(now.millis().div_euclid(1000));
    let zone = zone.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let date = now.date_line(zone.as_deref());
    let home = env::current_dir().unwrap_or_default();
    let home = word(&home.to_string_lossy());
    let end = if SCRIPTS.contains(&name.as_str()) {
        ".sh"
    } else {
        ""
    };
    let name = word(name.as_str());
    format!("{date} {home}/active-response/bin/{name}{end} ")
}

/// `add USER IP ALERT RULE`, and behind it what is acted on, where it is neither
/// of the two.
pub(super) fn words(order: Order, target: Option<&Target>, alert: Option<&Value<'_>>) -> String {
    let verb = match order {
        Order::Add => "add",
        Order::Delete => "delete",
    };
    let named = target.map(|target| word(&target.to_string()));
    let named = named.unwrap_or_else(|| NONE.to_owned());
    let (user, address, other) = match target {
        Some(Target::Address(_) | Target::Network(_) | Target::Name(_)) => {
            (NONE, named.as_str(), None)
        }
        Some(Target::User(_)) => (named.as_str(), NONE, None),
        Some(Target::Process(_) | Target::File(_) | Target::Service(_)) => {
            (NONE, NONE, Some(named.as_str()))
        }
        Some(Target::Host) | None => (NONE, NONE, None),
    };
    let number = |path: &[&str]| number(alert?.lookup(path)?);
    let id = number(&["id"]);
    let rule = number(&["rule", "id"]);
    let id = id.as_deref().unwrap_or(BY_HAND.0);
    let rule = rule.as_deref().unwrap_or(BY_HAND.1);
    let mut words = format!("{verb} {user} {address} {id} {rule}");
    if let Some(other) = other {
        words.push(' ');
        words.push_str(other);
    }
    words
}

/// What a decoder takes for the id of an alert or a rule.
fn number(value: &Value<'_>) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(_) => value.as_str()?.to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let fits = |c: char| c.is_ascii_digit() || c == '.';
    (!text.is_empty() && text.chars().all(fits)).then_some(text)
}

/// `text` as one word: what an attacker has named must not be taken for the
/// words behind it.
fn word(text: &str) -> String {
    let mut word = String::new();
    for c in text.chars() {
        match c.is_whitespace() || c.is_control() {
            true => word.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => word.push(c),
        }
    }
    match word.as_str() {
        "" => NONE.to_owned(),
        _ => word,
    }
}

/// A message that the decoder does not take for a run: it looks for ` - ` behind
/// any `/bin/`, and a message may quote a path that an attacker has named.
pub(super) fn disarmed(message: &[u8]) -> Vec<u8> {
    let mut safe = Vec::with_capacity(message.len() + 2);
    safe.extend_from_slice(b"failed: ");
    for (at, byte) in message.iter().enumerate() {
        let is_alone = at > 0 && message[at - 1] == b' ' && message.get(at + 1) == Some(&b' ');
        match byte {
            b'-' if is_alone => safe.extend_from_slice(b"\\u002d"),
            byte => safe.push(*byte),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{disarmed, words};
    use crate::contract::input::Order;
    use crate::contract::json;
    use crate::model::Target;

    #[test]
    fn an_order_is_told_in_the_words_of_a_script() {
        let address = Target::parse_address("2001:DB8::7").ok();
        let network = Target::parse_network("198.51.100.0/24").ok();
        let service = Some(Target::Service("a b".to_owned()));
        for (order, target, alert, wanted) in [
            (
                Order::Add,
                &address,
                r#"{"id":"17.41","rule":{"id":"5763"}}"#,
                "add - 2001:db8::7 17.41 5763",
            ),
            (
                Order::Delete,
                &network,
                r#"{"id":"17.41","rule":{"id":5763}}"#,
                "delete - 198.51.100.0/24 17.41 5763",
            ),
            (
                Order::Add,
                &None,
                "{}",
                "add - - (from_the_server) (no_rule_id)",
            ),
            (
                Order::Add,
                &service,
                r#"{"id":"1 - 2 3","rule":{"id":"x"}}"#,
                "add - - (from_the_server) (no_rule_id) a\\u0020b",
            ),
        ] {
            let alert = json::parse(alert.as_bytes()).unwrap();
            assert_eq!(words(order, target.as_ref(), Some(&alert)), wanted);
        }
    }

    #[test]
    fn a_message_is_never_taken_for_a_run() {
        for (message, wanted) in [
            ("Aborted", "failed: Aborted"),
            (
                "open /tmp/bin/x add - 192.0.2.1 1.1 5",
                "failed: open /tmp/bin/x add \\u002d 192.0.2.1 1.1 5",
            ),
            ("- a - - b -", "failed: - a \\u002d \\u002d b -"),
        ] {
            let safe = String::from_utf8(disarmed(message.as_bytes())).unwrap();
            assert_eq!(safe, wanted);
        }
    }
}
