//! `<repeated_offenders>`: how much longer a target is held that comes again.
//!
//! Wazuh 4.14 os_execd/config.c reads whole minutes with commas between, five of
//! them at most, each with atoi(3): a word is 0, and a 0 ends the list.

use std::time::Duration;

use crate::config::block::Value;
use crate::config::report::{Report, Span};
use crate::config::xml::Node;
use crate::model::Steps;
use crate::model::span::{self, InvalidSpan};

/// The values that Wazuh 4.x uses.
const OF_WAZUH: usize = 5;

/// The steps of a file that are for all responses: those of its first block that
/// has any, as in Wazuh.
#[derive(Debug, Default)]
pub(crate) struct ForAll(Option<(Span, Steps)>);

impl ForAll {
    pub(crate) fn add(&mut self, node: &Node, steps: Option<Steps>, report: &mut Report<'_>) {
        let Some(steps) = steps else {
            return;
        };
        match &self.0 {
            Some((first, _)) => {
                let place = report.place(*first, node.name_at);
                let message = format!(
                    "the <repeated_offenders> of this block has no effect: that of the block in {place} counts"
                );
                report.warning(node.name_at, message, "remove one of them");
            }
            None => self.0 = Some((node.name_at, steps)),
        }
    }

    pub(crate) fn into_steps(self) -> Option<Steps> {
        self.0.map(|(_, steps)| steps)
    }
}

/// In the file of a manager they mean something else to Wazuh.
pub(crate) fn warn_of_place(value: Value<'_>, report: &mut Report<'_>) {
    let at = value.node.text_at;
    if report.is_of_others(at) {
        let message = "Wazuh 4.x takes this for all responses on the manager's own host, and for \
                       none on any other";
        let hint = "nothing to do, if it is meant for agents too; or move it to the agent.conf of \
                    the hosts that it is meant for";
        report.warning(at, message, hint);
    }
}

/// Minutes, or spans with a unit, with commas between. A single 0 switches it off.
pub(crate) fn steps(value: Value<'_>, report: &mut Report<'_>) -> Option<Steps> {
    if value.text == "0" {
        return Some(Steps::default());
    }
    let mut parts: Vec<&str> = value.text.split(',').map(str::trim).collect();
    if parts.len() > 1 && parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
        let message = "nothing follows the last comma";
        report.warning(value.node.text_at, message, "remove the comma");
    }
    if parts.len() > Steps::MAX {
        let message = format!("more than {} values", Steps::MAX);
        let hint = "leave out the last ones: all further repeats last as long as the last value";
        report.error(value.node.text_at, message, hint);
        return None;
    }
    let read = (0..)
        .zip(&parts)
        .map(|(at, part)| step(value, (at, part), report));
    let spans: Vec<_> = read.collect();
    let spans: Vec<Duration> = spans.into_iter().collect::<Option<_>>()?;
    warn_of_order(value, (&parts, &spans), report);
    if spans.len() > OF_WAZUH && report.is_of_others(value.node.text_at) {
        let message = format!("Wazuh 4.x uses the first {OF_WAZUH} values only");
        let all = spans.len();
        let hint = format!("here all {all} count; what Wazuh is to know must be among the first");
        report.warning(value.place_of(parts[OF_WAZUH]), message, hint);
    }
    // What could be wrong with them has been looked for.
    Steps::new(spans).ok()
}

fn step(value: Value<'_>, (at, part): (usize, &&str), report: &mut Report<'_>) -> Option<Duration> {
    let place = value.place_of(part);
    let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let minutes = is_number.then(|| format!("{part}m"));
    match span::parse(minutes.as_deref().unwrap_or(part)) {
        Ok(written) if written.span.is_zero() => {
            let message = match at {
                0 => {
                    "Wazuh 4.x takes a 0 in the first place for `off`, and reads nothing behind it"
                }
                _ => "a 0 ends the list for Wazuh 4.x, which reads nothing behind it",
            };
            let name = &value.node.name;
            let hint = match at {
                0 => format!("write <{name}>0</{name}> to switch it off, or remove the 0"),
                _ => "remove it, and what Wazuh does not read".to_owned(),
            };
            report.error(place, message, hint);
            None
        }
        Ok(written) => {
            if !is_number && !part.ends_with('m') && report.is_of_others(place) {
                warn_of_unit(place, part, written.span, report);
            }
            Some(written.span)
        }
        Err(error) => {
            let (message, hint) = instead_of(part, &error);
            report.error(place, message, hint);
            None
        }
    }
}

fn warn_of_unit(place: Span, part: &str, span: Duration, report: &mut Report<'_>) {
    let number = &part[..part.len() - 1];
    let message = format!("Wazuh 4.x reads `{part}` as {number} minutes");
    let seconds = span.as_secs();
    let hint = match seconds.is_multiple_of(60) {
        true => format!("write {} to mean the same there", seconds / 60),
        false => "write whole minutes to mean the same there".to_owned(),
    };
    report.warning(place, message, hint);
}

/// What is wrong with a value, what Wazuh makes of it, and what to write.
fn instead_of(part: &str, error: &InvalidSpan) -> (String, String) {
    let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
    let message = match (error, part.strip_prefix('-')) {
        (InvalidSpan::Empty, _) => "a value is missing".to_owned(),
        (InvalidSpan::TooLong, _) => format!("`{part}` {error}"),
        (InvalidSpan::Syntax, Some(_)) => format!("`{part}` is less than nothing"),
        (InvalidSpan::Syntax, None) => format!("`{part}` is no span of time"),
    };
    let write = "write minutes, or a number with one of the units s, m, h, d: 30,60,2h";
    let hint = match (error, part.starts_with('-')) {
        (InvalidSpan::TooLong, _) => "write a shorter one".to_owned(),
        (_, true) => format!("{write}; Wazuh 4.x lifts such a block at once"),
        (_, false) if digits.trim_start_matches('0').is_empty() => {
            format!("{write}; for Wazuh 4.x it ends the list")
        }
        (_, false) => format!("{write}; Wazuh 4.x reads {digits} minutes"),
    };
    (message, hint)
}

/// Whoever comes more often is held longer: the other way round is a slip.
fn warn_of_order(
    value: Value<'_>,
    (parts, spans): (&[&str], &[Duration]),
    report: &mut Report<'_>,
) {
    for (at, pair) in spans.windows(2).enumerate() {
        if pair[1] < pair[0] {
            let (part, before) = (parts[at + 1], parts[at]);
            let message = format!("`{part}` is shorter than `{before}` before it");
            let hint = "write the values in ascending order: who comes more often is held longer";
            report.warning(value.place_of(part), message, hint);
        }
    }
}
