//! The lines a daemon writes to an executable.
//!
//! Compact JSON in the order of Wazuh 4.14 (os_execd/execd.c ExecdRun):
//! `version`, `origin`, `command`, `parameters` {`extra_args`, `alert`,
//! `program`}. The alert is the source's own object, byte for byte, so a
//! message is bytes and need not be valid UTF-8. The same message with another
//! `command` word is what 4.x sends as reply and, much later, as revert; so does
//! Wazuh 5 with its own.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::json::InvalidJson;
use super::v5;
use super::words::Words;
use crate::model::{Action, EXPENDABLE, ExeName};

/// The longest line, newline included, that the executables of 4.x read
/// (active_responses.c: `fgets` on 65,536 bytes).
pub const MAX_LINE: usize = 65_535;

/// The `command` word of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    Add,
    Delete,
    Continue,
    Abort,
}

impl Command {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Delete => "delete",
            Self::Continue => "continue",
            Self::Abort => "abort",
        }
    }

    /// As Wazuh 5 calls it (os_execd/execd.c).
    fn in_v5(self) -> &'static str {
        match self {
            Self::Add => "enable",
            Self::Delete => "disable",
            Self::Continue | Self::Abort => self.as_str(),
        }
    }
}

/// What the owner of an action answers once it knows the keys.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Act. `expires`: the life that a bundled executable may give the effect
    /// in the kernel; `None`: no end.
    Continue { expires: Option<Duration> },
    /// End without acting.
    Abort,
}

impl Decision {
    pub fn command(self) -> Command {
        match self {
            Self::Continue { .. } => Command::Continue,
            Self::Abort => Command::Abort,
        }
    }
}

/// Why no message can be made of an alert.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    #[error("pass the alert on: it is not one JSON object")]
    Syntax(#[source] serde_json::Error),
    #[error("pass the alert on: it is not a JSON object on one line")]
    NotOneObject,
    #[error("pass the alert on: it {0}")]
    Unreadable(#[from] InvalidJson),
    #[error(
        "pass the alert on: the message is {0} bytes long, {MAX_LINE} is the limit\n\
         (shorten the alert or extra_args; previous_output and full_log were left out already)"
    )]
    TooLong(usize),
}

/// What was left out of the alert so that the message fits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trimmed(Vec<&'static str>);

impl fmt::Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "alert passed on without {} (message over {MAX_LINE} bytes)",
            self.0.join(" and ")
        )
    }
}

/// What an executable is told, in the way of its contract.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    /// Lines on its stdin. A bundled executable gets no other.
    Lines(Message),
    /// Words behind its name.
    Words(Words),
}

impl Told {
    /// What was left out of the alert, if anything.
    pub fn trimmed(&self) -> Option<&Trimmed> {
        match self {
            Self::Lines(message) => message.trimmed(),
            Self::Words(_) => None,
        }
    }
}

/// What one executable is told about one alert. Every line made of it is at
/// most [`MAX_LINE`] bytes long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The `origin` object.
    origin: String,
    form: Form,
    trimmed: Option<Trimmed>,
}

/// What of a message is the same in all its lines.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Form {
    /// Of Wazuh 4.x: the `parameters` object.
    V4(Vec<u8>),
    /// Of Wazuh 5: everything up to the closing brace.
    V5(Vec<u8>),
}

impl Message {
    /// `origin` is the name of the manager's node, `alert` the JSON object as
    /// it stands in the source.
    pub fn new(
        origin: &str,
        name: &ExeName,
        extra_args: &[String],
        alert: &[u8],
    ) -> Result<Self, InvalidMessage> {
        let alert = object(alert)?;
        let origin = origin_object(origin);
        let mut message = Self {
            form: Form::V4(parameters(name, extra_args, alert)),
            origin,
            trimmed: None,
        };
        if message.longest() > MAX_LINE {
            message.trim(name, extra_args, alert)?;
        }
        Ok(message)
    }

    /// The message of Wazuh 5 on an action, made of `alert`, the JSON object as
    /// it stands in the source.
    pub fn v5(action: &Action, alert: &[u8]) -> Result<Self, InvalidMessage> {
        let alert = object(alert)?;
        let mut message = Self {
            form: Form::V5(v5::opening(action, alert, v5::Original::Kept)?),
            origin: origin_object(&action.agent.name),
            trimmed: None,
        };
        if message.longest() > MAX_LINE {
            message.form = Form::V5(v5::opening(action, alert, v5::Original::LeftOut)?);
            message.trimmed = Some(Trimmed(vec!["full_log"]));
        }
        match message.longest() {
            0..=MAX_LINE => Ok(message),
            length => Err(InvalidMessage::TooLong(length)),
        }
    }

    /// Leaves out what it can do without until it is short enough.
    fn trim(
        &mut self,
        name: &ExeName,
        extra_args: &[String],
        alert: &[u8],
    ) -> Result<(), InvalidMessage> {
        let mut alert = alert.to_vec();
        let mut lost = Vec::new();
        for field in EXPENDABLE {
            if remove(&mut alert, field) {
                lost.push(field);
                self.form = Form::V4(parameters(name, extra_args, &alert));
            }
            if self.longest() <= MAX_LINE {
                self.trimmed = Some(Trimmed(lost));
                return Ok(());
            }
        }
        Err(InvalidMessage::TooLong(self.longest()))
    }

    /// What the alert lost, if anything.
    pub fn trimmed(&self) -> Option<&Trimmed> {
        self.trimmed.as_ref()
    }

    /// The whole message with this command, newline included.
    pub fn line(&self, command: Command) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.length(command));
        self.write_line(command, &mut line);
        line
    }

    /// Puts [`Message::line`] behind `out`.
    pub fn write_line(&self, command: Command, out: &mut Vec<u8>) {
        self.parts(command)
            .into_iter()
            .for_each(|part| out.extend_from_slice(part));
    }

    fn parts(&self, command: Command) -> [&[u8]; 7] {
        let origin = self.origin.as_bytes();
        match &self.form {
            Form::V4(parameters) => [
                br#"{"version":1,"origin":"#,
                origin,
                br#","command":""#,
                command.as_str().as_bytes(),
                br#"","parameters":"#,
                parameters,
                b"}\n",
            ],
            Form::V5(opening) => [
                opening,
                br#","command":""#,
                command.in_v5().as_bytes(),
                b"\"}\n",
                b"",
                b"",
                b"",
            ],
        }
    }

    /// The reply to a bundled executable, newline included: the envelope
    /// without the alert, and the life that the kernel may be told as whole
    /// milliseconds in `expires_ms`.
    pub fn bundled_reply(&self, decision: Decision) -> Vec<u8> {
        let parameters = match decision {
            Decision::Continue {
                expires: Some(life),
            } => format!(r#"{{"expires_ms":{}}}"#, life.as_millis()),
            Decision::Continue { expires: None } | Decision::Abort => "{}".to_owned(),
        };
        format!(
            "{{\"version\":1,\"origin\":{},\"command\":\"{}\",\"parameters\":{parameters}}}\n",
            self.origin,
            decision.command().as_str()
        )
        .into_bytes()
    }

    /// The length of the line with the longest command word: a script gets the
    /// message again with it as reply.
    fn longest(&self) -> usize {
        self.length(Command::Continue)
    }

    /// The length of a line.
    fn length(&self, command: Command) -> usize {
        self.parts(command).iter().map(|part| part.len()).sum()
    }
}

fn origin_object(name: &str) -> String {
    format!(r#"{{"name":{},"module":"wazuh-execd"}}"#, quoted(name))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serialises")
}

fn parameters(name: &ExeName, extra_args: &[String], alert: &[u8]) -> Vec<u8> {
    let extra_args = serde_json::to_string(extra_args).expect("strings always serialise");
    let program = quoted(&format!("active-response/bin/{name}"));
    let before = format!(r#"{{"extra_args":{extra_args},"alert":"#);
    let after = format!(r#","program":{program}}}"#);
    [before.as_bytes(), alert, after.as_bytes()].concat()
}

/// The one object that `alert` is, without the blanks around it. An alert may
/// come over the network, so nothing that could end the object early, and no
/// second line, gets into a message.
fn object(alert: &[u8]) -> Result<&[u8], InvalidMessage> {
    let alert = alert.trim_ascii();
    // `IgnoredAny` checks the whole syntax but not the encoding of strings.
    serde_json::from_slice::<serde::de::IgnoredAny>(alert).map_err(InvalidMessage::Syntax)?;
    if !alert.starts_with(b"{") || alert.contains(&b'\n') {
        return Err(InvalidMessage::NotOneObject);
    }
    Ok(alert)
}

/// Takes every member called `field` out of a valid JSON object and leaves all
/// other bytes as they are. Tells whether there was one.
fn remove(object: &mut Vec<u8>, field: &str) -> bool {
    let wanted = quoted(field);
    let members = members(object);
    let keeps = |member: &Range<usize>| !object[member.clone()].starts_with(wanted.as_bytes());
    if members.iter().all(keeps) {
        return false;
    }
    let mut out = vec![b'{'];
    for member in members.iter().filter(|member| keeps(member)) {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&object[member.clone()]);
    }
    out.push(b'}');
    *object = out;
    true
}

/// Where the members of a valid JSON object stand, from the quote of the name
/// to the comma or brace behind the value.
fn members(object: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut start = 1;
    for (at, &byte) in object.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if (byte == b',' && depth == 1) || depth == 0 {
            start += blanks(&object[start..at]);
            if start < at {
                found.push(start..at);
            }
            start = at + 1;
        }
    }
    found
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.len() - bytes.trim_ascii_start().len()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{Command, Decision, InvalidMessage, MAX_LINE, Message, remove};
    use crate::model::ExeName;

    fn message(alert: &[u8]) -> Result<Message, InvalidMessage> {
        let name = ExeName::parse("firewall-drop").unwrap();
        Message::new("mgr-a", &name, &["--chain".to_owned()], alert)
    }

    #[test]
    fn a_line_has_the_order_of_4_x_and_the_bytes_of_the_source() {
        let alert = b"{ \"rule\" : {\"level\":10.0,\"x\":\"\xff\\u00e4\"},\"id\":\"1\" }";
        let line = message(alert).unwrap().line(Command::Delete);
        let mut wanted = br#"{"version":1,"origin":{"name":"mgr-a","module":"wazuh-execd"},"command":"delete","parameters":{"extra_args":["--chain"],"alert":"#.to_vec();
        wanted.extend_from_slice(alert);
        wanted.extend_from_slice(b",\"program\":\"active-response/bin/firewall-drop\"}}\n");
        assert_eq!(line, wanted);
    }

    #[test]
    fn only_one_object_on_one_line_gets_into_a_message() {
        for bad in [
            &b"[1]"[..],
            b"",
            b"{\"a\":1},\"command\":\"delete\",\"b\":{}",
            b"{\"a\":1}}",
            b"{\"a\":\n1}",
            b"{\"a\":\"x\ny\"}",
            b"{\"a\":\"\0\"}",
            b"{\"a\":1",
        ] {
            assert!(
                message(bad).is_err(),
                "{:?}",
                bad.escape_ascii().to_string()
            );
        }
        assert!(message(b" {\"a\":1}\r\n").is_ok());
    }

    #[test]
    fn the_reply_to_a_bundled_executable_is_short_and_carries_the_life_in_the_kernel() {
        let message = message(br#"{"id":"1"}"#).unwrap();
        let life = Some(Duration::from_millis(600_500));
        for (decision, end) in [
            (
                Decision::Continue { expires: life },
                "\"command\":\"continue\",\"parameters\":{\"expires_ms\":600500}}\n",
            ),
            (
                Decision::Continue { expires: None },
                "\"command\":\"continue\",\"parameters\":{}}\n",
            ),
            (
                Decision::Abort,
                "\"command\":\"abort\",\"parameters\":{}}\n",
            ),
        ] {
            let line = String::from_utf8(message.bundled_reply(decision)).unwrap();
            assert!(line.starts_with(r#"{"version":1,"origin":{"name":"mgr-a","#));
            assert!(line.ends_with(end), "{line}");
        }
    }

    fn alert(previous_output: usize, full_log: usize, rest: usize) -> Vec<u8> {
        let text = |n| "x".repeat(n);
        format!(
            r#"{{"rule":{{"full_log":"kept"}},"previous_output":"{}","full_log":"{}","data":"{}"}}"#,
            text(previous_output),
            text(full_log),
            text(rest)
        )
        .into_bytes()
    }

    #[test]
    fn a_message_that_is_too_long_loses_no_more_than_it_must() {
        let lost = |alert: &[u8]| message(alert).unwrap().trimmed().map(ToString::to_string);
        assert_eq!(lost(&alert(10, 10, 10)), None);
        let one = lost(&alert(66_000, 10, 10)).unwrap();
        assert!(one.contains("without previous_output ("), "{one}");
        let both = lost(&alert(10, 66_000, 10)).unwrap();
        assert!(both.contains("previous_output and full_log"), "{both}");
        assert!(matches!(
            message(&alert(10, 10, 66_000)),
            Err(InvalidMessage::TooLong(66_001..))
        ));
        let line = message(&alert(10, 66_000, 10)).unwrap().line(Command::Add);
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains(r#""alert":{"rule":{"full_log":"kept"},"data":"xxxxxxxxxx"},"#));
    }

    #[test]
    fn the_limit_holds_for_the_longest_line_to_the_byte() {
        let base = message(&alert(0, 0, 0))
            .unwrap()
            .line(Command::Continue)
            .len();
        let fits = message(&alert(0, 0, MAX_LINE - base)).unwrap();
        assert_eq!(fits.trimmed(), None);
        assert_eq!(fits.line(Command::Continue).len(), MAX_LINE);
        let over = message(&alert(0, 0, MAX_LINE - base + 1)).unwrap();
        assert!(over.trimmed().is_some());
    }

    proptest! {
        #[test]
        fn removing_a_field_keeps_every_other_member(
            texts in prop::collection::vec(any::<String>(), 0..6),
            at in any::<prop::sample::Index>(),
            blank in "[ \t]{0,2}",
        ) {
            let mut parts: Vec<String> = texts
                .iter()
                .enumerate()
                .map(|(n, text)| {
                    let value = serde_json::json!({ "nested": [text, { "full_log": text }] });
                    format!("{blank}\"k{n}\"{blank}:{value}")
                })
                .collect();
            let plain = format!("{{{}}}", parts.join(","));
            let at = at.index(parts.len() + 1);
            parts.insert(at, format!("{blank}\"full_log\"{blank}:{blank}\"a\\\",{{\"{blank}"));
            let mut object = format!("{{{}}}", parts.join(",")).into_bytes();
            prop_assert!(remove(&mut object, "full_log"));
            let left: serde_json::Value = serde_json::from_slice(&object).unwrap();
            let wanted: serde_json::Value = serde_json::from_str(&plain).unwrap();
            prop_assert_eq!(left, wanted);
            prop_assert!(!remove(&mut object, "full_log"));
        }
    }
}
