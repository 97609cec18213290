//! The values that occur in several places.

use std::time::Duration;

use crate::config::block::{Block, Value};
use crate::config::report::Report;
use crate::model::span;

/// `yes` or `no`; nothing else, as in Wazuh 4.14.
pub(crate) fn yes_or_no(value: Value<'_>, report: &mut Report<'_>) -> Option<bool> {
    match value.text {
        "yes" => Some(true),
        "no" => Some(false),
        other => {
            let message = format!("`{other}` is neither yes nor no");
            let name = &value.node.name;
            let hint = match other.to_ascii_lowercase().as_str() {
                "yes" | "true" | "on" | "1" | "y" => format!("write <{name}>yes</{name}>"),
                "no" | "false" | "off" | "0" | "n" => format!("write <{name}>no</{name}>"),
                _ => "write yes or no, in lower case".to_owned(),
            };
            report.error(value.node.text_at, message, hint);
            None
        }
    }
}

/// Whether a block says `yes` to it.
pub(crate) fn switch(block: &Block<'_>, name: &str, report: &mut Report<'_>) -> bool {
    block
        .value(name, report)
        .and_then(|value| yes_or_no(value, report))
        .unwrap_or(false)
}

/// Who else reads the element, and so what a unit in it would mean to them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Wazuh 4.x, which takes `10m` for ten seconds.
    Wazuh,
    Ours,
}

/// Seconds, or a number with a unit.
pub(crate) fn duration(
    value: Value<'_>,
    origin: Origin,
    report: &mut Report<'_>,
) -> Option<Duration> {
    let at = value.node.text_at;
    let text = value.text;
    match span::parse(text) {
        Ok(written) => {
            if written.with_unit && origin == Origin::Wazuh && !text.ends_with('s') {
                let number = &text[..text.len() - 1];
                let message = format!("Wazuh 4.x reads `{text}` as {number} seconds");
                let seconds = written.span.as_secs();
                report.warning(
                    at,
                    message,
                    format!("write {seconds} to mean the same there"),
                );
            }
            Some(written.span)
        }
        Err(error) => {
            let message = match error {
                span::InvalidSpan::Empty => format!("<{}> is empty", value.node.name),
                span::InvalidSpan::Syntax => format!("`{text}` is no span of time"),
                span::InvalidSpan::TooLong => format!("`{text}` {error}"),
            };
            let hint = "write seconds, or a number with one of the units s, m, h, d: 600 or 10m";
            let hint = match origin {
                Origin::Wazuh => format!("{}; {hint}", read_by_wazuh(text)),
                Origin::Ours => hint.to_owned(),
            };
            report.error(at, message, hint);
            None
        }
    }
}

/// What `atoi` makes of a text.
fn read_by_wazuh(text: &str) -> String {
    let text = text.trim_start();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let digits = rest[..digits].trim_start_matches('0');
    match (sign, digits) {
        (_, "") => "Wazuh 4.x reads none, and never takes the response back".to_owned(),
        ("-", _) => "Wazuh 4.x takes the response back at once".to_owned(),
        (_, digits) => format!("Wazuh 4.x reads {digits} seconds"),
    }
}

/// One word out of `known`; `offer` names those that can be written.
pub(crate) fn word<T: Copy>(
    value: Value<'_>,
    known: &[(&str, T)],
    offer: &str,
    report: &mut Report<'_>,
) -> Option<T> {
    let found = known.iter().find(|(word, _)| *word == value.text);
    if found.is_none() {
        let name = &value.node.name;
        let message = match value.text {
            "" => format!("<{name}> is empty"),
            text => format!("`{text}` is nothing that <{name}> can be"),
        };
        report.error(value.node.text_at, message, format!("write {offer}"));
    }
    found.map(|(_, meaning)| *meaning)
}
