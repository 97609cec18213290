//! One message in a Slack channel about one alert, through an incoming webhook.
//!
//! The message is that of 4.x (wazuh-slack.c format_output), but what an
//! attacker has written into the alert stays plain text in it: Slack takes
//! `<!channel>`, `<@U123>` and `<https://...|bank>` for a call, a mention and a
//! link only as long as they are not escaped (Slack, "Formatting text for app
//! surfaces").

use std::path::Path;

use serde::Serialize;

use crate::ar::http::{Client, Request, Secret, StatusCode, Verb};
use crate::ar::{Done, Fail};
use crate::contract::json::Value;
use crate::model::bundled::Options;
use crate::model::{InvalidUrl, Url};

/// The words of 4.x for a response that names no hook.
const NO_HOOK: &str = "Cannot read 'extra_args' from data";
const HOOK_FILE: &str = "--hook-url-file";

/// In characters after escaping. Slack cuts what is longer than 8,000 itself,
/// in the midst of an escape if need be.
const MAX_TEXT: usize = 7_500;
const MAX_FIELD: usize = 500;

/// In place of what an alert lacks.
const NOT_THERE: &str = "N/A";

/// Why no message was posted.
#[derive(Debug, thiserror::Error)]
enum SlackError {
    #[error("read the URL in the file of {HOOK_FILE}")]
    Url(#[source] InvalidUrl),
    #[error("post to {to}: it answered {answer}\n({hint})")]
    Answer {
        to: String,
        answer: String,
        hint: &'static str,
    },
}

/// Posts a message about `alert` to the hook that the options name, by the
/// name of a file or, as in 4.x, by its URL as a word of its own.
pub fn post(alert: &Value<'_>, options: &Options) -> Result<Done, Fail> {
    let hook = match (options.get(HOOK_FILE), options.words()) {
        (Some(file), []) => in_file(Path::new(file))?,
        (None, [word]) => match Url::parse(word) {
            Ok(hook) => hook,
            Err(why) => return Ok(Done::refused(format!("Invalid extra_args: {why}"))),
        },
        (None, []) => return Ok(Done::refused(NO_HOOK.to_owned())),
        (_, _) => {
            let why = "Invalid extra_args: more than one URL of a hook is given";
            return Ok(Done::refused(why.to_owned()));
        }
    };
    let message = serde_json::to_string(&Message::about(alert)).expect("texts always serialise");
    let answer = Client::new(&hook, options)?.send(&Request {
        method: Verb::Post(message),
        url: &hook,
        token: None,
    })?;
    match answer.status() {
        status if status.is_success() => Ok(Done::applied()),
        status => Err(SlackError::Answer {
            to: hook.to_string(),
            answer: answer.shown(),
            hint: hint(status),
        }
        .into()),
    }
}

fn in_file(path: &Path) -> Result<Url, Fail> {
    let secret = Secret::read(path)?;
    Ok(Url::parse(secret.as_str()).map_err(SlackError::Url)?)
}

/// What to do about an answer (Slack, "Handling errors" of incoming webhooks).
fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => "redirects are not followed: write the URL that it leads to",
        403 | 404 | 410 => "the hook or its channel is gone or closed: make a new hook in Slack",
        429 => "Slack takes about one message a second from each hook: let fewer alerts lead here",
        400..=499 => "is this the URL of an incoming webhook?",
        _ => "the service has a problem of its own: see its status page",
    }
}

/// The body of the request, in the order of 4.x.
#[derive(Debug, Serialize)]
struct Message {
    attachments: [Attachment; 1],
}

#[derive(Debug, Serialize)]
struct Attachment {
    color: &'static str,
    pretext: &'static str,
    title: String,
    text: String,
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
    /// No part of it is marked up: asterisks in a log line are asterisks.
    mrkdwn_in: [&'static str; 0],
}

#[derive(Debug, Serialize)]
struct Field {
    title: &'static str,
    value: String,
}

impl Message {
    fn about(alert: &Value<'_>) -> Self {
        let level = match alert.lookup(&["rule", "level"]) {
            Some(Value::Number(level)) => Some(*level),
            Some(_) | None => None,
        };
        let attachment = Attachment {
            color: color(level),
            pretext: "WAZUH Alert",
            title: plain(
                &text_or(alert, &["rule", "description"], NOT_THERE),
                MAX_FIELD,
            ),
            text: plain(&text_or(alert, &["full_log"], ""), MAX_TEXT),
            fields: fields(alert, level),
            ts: text(alert, &["id"]).map(|id| plain(&id, MAX_FIELD)),
            mrkdwn_in: [],
        };
        Self {
            attachments: [attachment],
        }
    }
}

/// A level that is not there counts as a low one, as in 4.x.
fn color(level: Option<f64>) -> &'static str {
    match level {
        Some(level) if level >= 8.0 => "danger",
        Some(level) if level >= 5.0 => "warning",
        Some(_) | None => "good",
    }
}

fn fields(alert: &Value<'_>, level: Option<f64>) -> Vec<Field> {
    let is_object = |name| matches!(alert.member(name), Some(Value::Object(_)));
    let of = |path: &[&str]| text_or(alert, path, NOT_THERE);
    let mut fields = Vec::new();
    let mut push = |title, value: String| {
        let value = plain(&value, MAX_FIELD);
        fields.push(Field { title, value });
    };
    if is_object("agent") {
        let (id, name) = (of(&["agent", "id"]), of(&["agent", "name"]));
        push("Agent", format!("({id}) - {name}"));
    }
    if is_object("agentless") {
        push("Agentless Host", of(&["agentless", "host"]));
    }
    push("Location", of(&["location"]));
    if is_object("rule") {
        let level = level.map_or(NOT_THERE.to_owned(), |level| level.to_string());
        push(
            "Rule ID",
            format!("{} (level {level})", of(&["rule", "id"])),
        );
    }
    fields
}

fn text(alert: &Value<'_>, path: &[&str]) -> Option<String> {
    let bytes = alert.lookup(path)?.as_bytes()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn text_or(alert: &Value<'_>, path: &[&str], otherwise: &str) -> String {
    text(alert, path).unwrap_or_else(|| otherwise.to_owned())
}

/// A text that means nothing but itself to Slack, of at most `limit` characters
/// and never cut within an escape.
fn plain(text: &str, limit: usize) -> String {
    const CUT: &str = "...";
    let mut plain = String::new();
    let mut length = 0;
    // Where it can still be cut and the sign of it added.
    let mut end = 0;
    for c in text.chars() {
        let mut buffer = [0; 4];
        let escaped = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => &*c.encode_utf8(&mut buffer),
        };
        length += escaped.chars().count();
        if length > limit {
            plain.truncate(end);
            plain.push_str(CUT);
            break;
        }
        plain.push_str(escaped);
        if length + CUT.len() <= limit {
            end = plain.len();
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{MAX_FIELD, MAX_TEXT, Message, plain};
    use crate::contract::json::parse;

    fn message(alert: &str) -> String {
        let alert = parse(alert.as_bytes()).unwrap();
        serde_json::to_string(&Message::about(&alert)).unwrap()
    }

    /// The example in wazuh-slack.c, with a level of its own for each color.
    #[test]
    fn a_message_has_the_members_of_4_x_in_their_order() {
        for (level, color) in [(4, "good"), (5, "warning"), (7, "warning"), (8, "danger")] {
            let alert = format!(
                concat!(
                    r#"{{"rule":{{"level":{},"description":"Login failed.","id":"5710"}},"#,
                    r#""agent":{{"id":"007","name":"web-7"}},"agentless":{{"host":"switch"}},"#,
                    r#""id":"1611800004.741250","full_log":"sshd: no","location":"/var/log/auth.log"}}"#,
                ),
                level
            );
            let wanted = format!(
                concat!(
                    r#"{{"attachments":[{{"color":"{}","pretext":"WAZUH Alert","title":"Login failed.","#,
                    r#""text":"sshd: no","fields":[{{"title":"Agent","value":"(007) - web-7"}},"#,
                    r#"{{"title":"Agentless Host","value":"switch"}},"#,
                    r#"{{"title":"Location","value":"/var/log/auth.log"}},"#,
                    r#"{{"title":"Rule ID","value":"5710 (level {})"}}],"ts":"1611800004.741250","mrkdwn_in":[]}}]}}"#,
                ),
                color, level
            );
            assert_eq!(message(&alert), wanted);
        }
    }

    #[test]
    fn what_an_alert_lacks_is_said_to_be_missing() {
        let bare = r#"{"attachments":[{"color":"good","pretext":"WAZUH Alert","title":"N/A","text":"","fields":[{"title":"Location","value":"N/A"}],"mrkdwn_in":[]}]}"#;
        for alert in [
            "{}",
            "[]",
            r#"{"id":7,"rule":"x","agent":null,"full_log":[]}"#,
        ] {
            assert_eq!(message(alert), bare, "{alert}");
        }
        let typed = message(r#"{"rule":{"level":"9","id":5710},"agent":{}}"#);
        assert!(typed.contains("N/A (level N/A)") && typed.contains("(N/A) - N/A"));
    }

    #[test]
    fn text_from_an_alert_calls_and_links_nobody() {
        let hostile = r"<!channel> <@U123> <https:\/\/evil.example|bank> & \u003c!here\u003e";
        let alert = format!(
            concat!(
                r#"{{"rule":{{"level":9,"description":"{0}","id":"{0}"}},"#,
                r#""agent":{{"id":"{0}","name":"{0}"}},"agentless":{{"host":"{0}"}},"#,
                r#""id":"{0}","full_log":"{0}","location":"{0}"}}"#,
            ),
            hostile
        );
        let message = message(&alert);
        assert!(
            !message.contains('<') && !message.contains('>'),
            "{message}"
        );
        assert_eq!(message.matches("&lt;!channel&gt;").count(), 8);
        assert_eq!(message.matches(" &amp; &lt;!here&gt;").count(), 8);
    }

    #[test]
    fn bytes_that_are_no_text_become_some() {
        let alert = b"{\"full_log\":\"\xff\x01\\n\\u001b[2J\"}";
        let alert = parse(alert).unwrap();
        let message = serde_json::to_string(&Message::about(&alert)).unwrap();
        assert!(message.contains("\"text\":\"\u{fffd}\\u0001\\n\\u001b[2J\""));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_escapes() {
        for (text, limit, wanted) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "..."),
            ("abcdef", 5, "ab..."),
            ("&&", 10, "&amp;&amp;"),
            ("&&", 9, "&amp;..."),
            ("&&", 7, "..."),
            ("\u{e9}\u{1f600}\u{e9}x", 4, "\u{e9}\u{1f600}\u{e9}x"),
            ("\u{e9}\u{1f600}\u{e9}xy", 4, "\u{e9}..."),
        ] {
            assert_eq!(plain(text, limit), wanted, "{text} {limit}");
        }
        let long = format!(
            r#"{{"full_log":"{0}","location":"{0}"}}"#,
            "<".repeat(60_000)
        );
        let message = message(&long);
        assert!(message.chars().count() < MAX_TEXT + 2 * MAX_FIELD);
        assert!(message.contains("&lt;..."));
    }
}
