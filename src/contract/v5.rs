//! The message of Wazuh 5, made of an alert of 4.x.
//!
//! Version 5 has no envelope: the event itself, in the fields of its common
//! schema, with `wazuh.active_response` and, at the end, `command` (`enable`,
//! `disable`, and in replies `continue` or `abort`). What a script prints is as
//! in 4.x (os_execd/execd.c; "Custom active response scripts" in the
//! documentation of 5.0).

use std::borrow::Cow;

use serde::Serialize;

use super::field;
use super::json::{InvalidJson, Value, parse};
use super::target;
use crate::clock::Wall;
use crate::model::action::Location;
use crate::model::{Action, AgentId, CommandName, ExeName, Field, FieldMap, Places};

/// Whether the event as it was logged stands in the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Original {
    Kept,
    LeftOut,
}

/// In the order of version 5. What the alert does not have is left out.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp", skip_serializing_if = "Option::is_none")]
    timestamp: Option<Wall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Event<'a>>,
    wazuh: Wazuh<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Peer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Peer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
}

#[derive(Serialize)]
struct Event<'a> {
    original: Cow<'a, str>,
}

#[derive(Serialize)]
struct Wazuh<'a> {
    agent: Agent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule<'a>>,
    active_response: Response<'a>,
}

#[derive(Serialize)]
struct Agent<'a> {
    id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Rule<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'a, str>>,
    level: &'static str,
}

#[derive(Serialize)]
struct Response<'a> {
    name: &'a CommandName,
    #[serde(rename = "type")]
    kind: &'static str,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    stateful_timeout: Option<u64>,
    executable: &'a ExeName,
    extra_arguments: Option<String>,
    location: Location,
    agent_id: Option<&'a AgentId>,
}

#[derive(Serialize)]
struct Peer {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Serialize)]
struct User<'a> {
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct File<'a> {
    path: Cow<'a, str>,
}

/// The message up to where its `command` follows.
pub(super) fn opening(
    action: &Action,
    alert: &[u8],
    original: Original,
) -> Result<Vec<u8>, InvalidJson> {
    let value = parse(alert)?;
    let fields = Fields(&value);
    let map = action.fields.as_deref();
    let document = Document {
        timestamp: fields
            .text("timestamp")
            .and_then(|text| Wall::of_alert(&text)),
        event: fields
            .text("full_log")
            .filter(|_| original == Original::Kept)
            .map(|original| Event { original }),
        wazuh: Wazuh {
            agent: agent(action, &fields),
            rule: action.rule.as_ref().map(|rule| Rule {
                id: rule.id.as_str(),
                title: fields.text("rule.description"),
                level: level(rule.level.number()),
            }),
            active_response: response(action),
        },
        // What a guard has judged, and nothing in its place.
        source: peer(
            target::address_in(alert, map)
                .ok()
                .map(|address| address.to_string()),
            fields.port("data.srcport"),
        ),
        destination: peer(fields.address("data.dstip"), fields.port("data.dstport")),
        user: fields
            .named(Field::User, map, &["data.dstuser", "data.srcuser"])
            .map(|name| User { name }),
        file: fields
            .named(Field::File, map, &["syscheck.path"])
            .map(|path| File { path }),
    };
    let mut opening = serde_json::to_vec(&document).expect("texts and numbers always serialise");
    // The brace at the end.
    opening.pop();
    Ok(opening)
}

/// The agent of the event, which need not be the one that this runs on.
fn agent<'a>(action: &'a Action, fields: &Fields<'a>) -> Agent<'a> {
    match fields.text("agent.id") {
        Some(id) => Agent {
            id,
            name: fields.text("agent.name"),
        },
        None => Agent {
            id: action.agent.id.to_string().into(),
            name: Some(Cow::Borrowed(&*action.agent.name)),
        },
    }
}

fn response(action: &Action) -> Response<'_> {
    let extra = action.extra_args.join(" ");
    Response {
        name: &action.command,
        kind: match action.timeout {
            Some(_) => "stateful",
            None => "stateless",
        },
        stateful_timeout: action.timeout.map(|timeout| timeout.as_secs()),
        executable: &action.executable,
        extra_arguments: (!extra.is_empty()).then_some(extra),
        location: action.location,
        agent_id: match action.location {
            Location::DefinedAgent => Some(&action.agent.id),
            Location::Local | Location::Server | Location::All => None,
        },
    }
}

/// The words of version 5 for what the documentation of 4.x calls the severity
/// of a level.
fn level(number: u8) -> &'static str {
    match number {
        0..=6 => "low",
        7..=11 => "medium",
        12..=14 => "high",
        _ => "critical",
    }
}

fn peer(ip: Option<String>, port: Option<u16>) -> Option<Peer> {
    (ip.is_some() || port.is_some()).then_some(Peer { ip, port })
}

/// The fields of an alert, by paths with dots.
struct Fields<'a>(&'a Value<'a>);

impl<'a> Fields<'a> {
    fn value(&self, field: &str) -> Option<&'a Value<'a>> {
        let path: Vec<_> = field.split('.').collect();
        self.0.lookup(&path)
    }

    fn text(&self, field: &str) -> Option<Cow<'a, str>> {
        self.value(field)?.as_bytes().map(String::from_utf8_lossy)
    }

    /// What stands where a map says; where it says nothing of it, in the first of
    /// the usual fields.
    fn named(&self, field: Field, map: Option<&FieldMap>, usual: &[&str]) -> Option<Cow<'a, str>> {
        let Some(paths) = map.and_then(|map| map.paths(field)) else {
            return usual.iter().find_map(|field| self.text(field));
        };
        let places = Places::Said(paths.into());
        let found = field::find(self.0, field, &places)?;
        let text = String::from_utf8_lossy(&found.text).into_owned();
        (!found.says_nothing()).then_some(text.into())
    }

    fn address(&self, field: &str) -> Option<String> {
        let text = self.text(field)?;
        let address = crate::model::Target::parse_address(&text).ok();
        address.map(|address| address.to_string())
    }

    /// 4.x writes numbers as texts.
    fn port(&self, field: &str) -> Option<u16> {
        self.text(field)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use crate::contract::request::{Command, InvalidMessage, MAX_LINE, Message};
    use crate::model::action::{Contract, Location, sample};
    use crate::model::{Action, Field, FieldMap, FieldPath};

    const ALERT: &str = r#"{"timestamp":"2026-03-04T05:06:07.089+0000","rule":{"level":10,"description":"a \"b\"","id":"5763"},"agent":{"id":"007","name":"web-7"},"id":"1.2","full_log":"Failed \u00e4","data":{"srcip":"203.0.113.9","srcport":"40124","dstuser":"root","command":"x"},"syscheck":{"path":"/tmp/x"}}"#;

    fn action() -> Action {
        let mut action = sample::action(1, "own", Some(120));
        action.contract = Contract::V5;
        action
    }

    fn line(action: &Action, alert: &str, command: Command) -> String {
        let message = Message::v5(action, alert.as_bytes()).unwrap();
        String::from_utf8(message.line(command)).unwrap()
    }

    #[test]
    fn a_message_is_the_event_in_the_fields_of_version_5_with_the_command_at_its_end() {
        let wanted = concat!(
            r#"{"@timestamp":"2026-03-04T05:06:07.089Z","event":{"original":"Failed ä"},"#,
            r#""wazuh":{"agent":{"id":"007","name":"web-7"},"#,
            r#""rule":{"id":"5763","title":"a \"b\"","level":"medium"},"#,
            r#""active_response":{"name":"block","type":"stateful","stateful_timeout":120,"#,
            r#""executable":"own","extra_arguments":null,"location":"local","agent_id":null}},"#,
            r#""source":{"ip":"203.0.113.9","port":40124},"user":{"name":"root"},"#,
            r#""file":{"path":"/tmp/x"},"command":"enable"}"#,
            "\n",
        );
        assert_eq!(line(&action(), ALERT, Command::Add), wanted);
        for (command, word) in [
            (Command::Delete, "disable"),
            (Command::Continue, "continue"),
            (Command::Abort, "abort"),
        ] {
            let other = wanted.replace("\"enable\"", &format!("\"{word}\""));
            assert_eq!(line(&action(), ALERT, command), other);
        }
    }

    #[test]
    fn what_an_alert_does_not_have_is_left_out() {
        let mut action = action();
        action.timeout = None;
        action.rule = None;
        action.extra_args = vec!["-x".to_owned(), "y".to_owned()];
        action.location = Location::DefinedAgent;
        let alert = r#"{"data":{"srcip":"not an address","srcport":"many"}}"#;
        let wanted = concat!(
            r#"{"wazuh":{"agent":{"id":"000","name":"host"},"active_response":{"name":"block","#,
            r#""type":"stateless","executable":"own","extra_arguments":"-x y","#,
            r#""location":"defined-agent","agent_id":"000"}},"command":"enable"}"#,
            "\n",
        );
        assert_eq!(line(&action, alert, Command::Add), wanted);
    }

    #[test]
    fn an_action_says_where_its_alert_names_things() {
        let mut map = FieldMap::default();
        for (field, path) in [
            (Field::Srcip, "x.ip"),
            (Field::Srcip, "data.srcip"),
            (Field::User, "x.user"),
            (Field::File, "x.file"),
        ] {
            map.push(field, FieldPath::parse(path).unwrap());
        }
        let mut action = action();
        action.fields = Some(map.into());
        let of = |x: &str| {
            let alert = ALERT.replacen('{', &format!(r#"{{"x":{x},"#), 1);
            let line = line(&action, &alert, Command::Add);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            [
                text(&value["source"]["ip"]),
                text(&value["user"]["name"]),
                text(&value["file"]["path"]),
            ]
        };
        let some = |text: &str| Some(text.to_owned());
        let all = of(r#"{"ip":"192.0.2.1","user":"eve","file":"/y"}"#);
        assert_eq!(all, [some("192.0.2.1"), some("eve"), some("/y")]);
        // The usual fields are not asked where others are said.
        let none = of(r#"{"ip":"-","user":"-"}"#);
        assert_eq!(none, [some("203.0.113.9"), None, None]);
        assert_eq!(of(r#"{"ip":"127.1"}"#)[0], None);
    }

    #[test]
    fn nothing_in_an_alert_is_taken_for_the_command() {
        let alert = r#"{"command":"disable","wazuh":{"active_response":{}},"data":{"dstuser":"x\",\"command\":\"disable"}}"#;
        let line = line(&action(), alert, Command::Add);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["command"], "enable");
        assert_eq!(line.matches(r#""command":"#).count(), 1, "{line}");
        assert_eq!(value["user"]["name"], "x\",\"command\":\"disable");
    }

    #[test]
    fn a_message_that_is_too_long_loses_the_event_as_it_was_logged() {
        let long = "x".repeat(66_000);
        let alert = format!(r#"{{"full_log":"{long}","data":{{"srcip":"192.0.2.1"}}}}"#);
        let message = Message::v5(&action(), alert.as_bytes()).unwrap();
        assert!(message.line(Command::Continue).len() <= MAX_LINE);
        assert!(message.trimmed().is_some());
        let alert = format!(r#"{{"syscheck":{{"path":"{long}"}}}}"#);
        let message = Message::v5(&action(), alert.as_bytes());
        assert!(matches!(message, Err(InvalidMessage::TooLong(66_000..))));
    }
}
