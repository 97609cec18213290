//! When a response runs: level, groups and ids of rules.

use std::collections::HashSet;

use crate::config::block::{Block, Value};
use crate::config::report::{Report, Span};
use crate::model::os_regex::Pattern;
use crate::model::{InvalidName, Level, Logic, RuleId};

/// What selects rules, and how that goes together. With neither level nor group
/// nor id it never runs.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// The rule has at least this level.
    pub level: Option<Level>,
    pub rules_group: Option<GroupPattern>,
    pub rules_id: Vec<RuleId>,
    pub logic: Logic,
}

impl When {
    pub fn is_never(&self) -> bool {
        self.level.is_none() && self.rules_group.is_none() && self.rules_id.is_empty()
    }

    /// Whether it selects other rules in Wazuh than in OSSEC.
    pub(crate) fn depends_on_logic(&self) -> bool {
        self.level.is_some() && self.rules_group.is_some()
    }
}

/// A pattern over all groups of a rule, and how it was written.
#[derive(Clone, Debug)]
pub struct GroupPattern {
    pub text: String,
    pub pattern: Pattern,
}

/// `None` if something in it is wrong and has been reported.
pub(crate) fn read(block: &Block<'_>, logic: Logic, report: &mut Report<'_>) -> Option<When> {
    let level = block.setting("level", report, level);
    let rules_group = block.setting("rules_group", report, group);
    let rules_id = block.setting("rules_id", report, ids);
    Some(When {
        level: level.ok()?.flatten(),
        rules_group: rules_group.ok()?,
        rules_id: rules_id.ok()?.unwrap_or_default(),
        logic,
    })
}

/// The highest level a rule has in OSSEC and Wazuh, though they accept up to
/// 20 here.
const HIGHEST: u8 = 16;

#[expect(clippy::option_option, reason = "missing and wrong are two things")]
fn level(value: Value<'_>, report: &mut Report<'_>) -> Option<Option<Level>> {
    let at = value.node.text_at;
    match Level::parse(value.text) {
        Ok(Level::ZERO) => {
            let message = "a <level> of 0 is the same as none: it selects no rule";
            report.warning(at, message, "write 1 to 16, or remove it");
            Some(None)
        }
        Ok(level) => {
            if level.number() > HIGHEST {
                let message = format!("no rule has a level above {HIGHEST}");
                report.warning(at, message, format!("write 1 to {HIGHEST}"));
            }
            Some(Some(level))
        }
        Err(error) => {
            let message = match value.text {
                "" => "<level> is empty".to_owned(),
                text => format!("`{text}` {error}"),
            };
            report.error(
                at,
                message,
                "write the lowest level to respond to, such as 10",
            );
            None
        }
    }
}

fn group(value: Value<'_>, report: &mut Report<'_>) -> Option<GroupPattern> {
    let text = value.text;
    match Pattern::compile(text) {
        Ok(pattern) => {
            warn_of_commas(value, report);
            Some(GroupPattern {
                text: text.to_owned(),
                pattern,
            })
        }
        Err(error) => {
            let message = match text {
                "" => "<rules_group> is empty, which matches every rule".to_owned(),
                text => format!("the pattern `{text}` {error}"),
            };
            let bare = text.trim_matches('|');
            let hint = if !bare.is_empty() && bare != text && Pattern::compile(bare).is_ok() {
                format!("remove the `|` at its end: {bare}")
            } else {
                "write groups with `|` between: authentication_failed,|sshd, (for every rule: \
                 <level>1</level>)"
                    .to_owned()
            };
            report.error(value.node.text_at, message, hint);
            None
        }
    }
}

/// The groups of a rule stand with commas between, and so a comma in a pattern is
/// one in that text (wazuh-documentation #2705).
fn warn_of_commas(value: Value<'_>, report: &mut Report<'_>) {
    for part in value.text.split('|') {
        let bare = part.trim_start_matches('^').trim_end_matches('$');
        let groups: Vec<&str> = bare
            .split(',')
            .map(str::trim)
            .filter(|group| !group.is_empty())
            .collect();
        if groups.len() > 1 {
            let message = format!("`{part}` fits only where these groups follow one another");
            let hint = format!(
                "write {}, for rules that have any of them",
                groups.join(",|")
            );
            report.warning(value.place_of(part), message, hint);
        }
    }
}

/// Wazuh passes over blanks, and stops at anything else that is no digit.
fn warn_of_break(value: Value<'_>, report: &mut Report<'_>) {
    let node = value.node;
    let before = report.text(Span::new(node.tag_at.end, node.text_at.start));
    if before.starts_with(|c: char| c != ' ' && c.is_whitespace()) {
        let message = "Wazuh 4.x reads no id here, as a line break or tab stands before the first";
        report.warning(
            node.text_at,
            message,
            format!("write <rules_id>{}</rules_id>", value.text),
        );
    }
}

/// Ids with commas between: numbers, as in OSSEC and Wazuh 4, or words, as in
/// other pipelines. Wazuh stops reading at the first character it does not
/// expect and says nothing, so what looks like such a list is an error here.
fn ids(value: Value<'_>, report: &mut Report<'_>) -> Option<Vec<RuleId>> {
    warn_of_break(value, report);
    let mut ids: Vec<RuleId> = Vec::new();
    let mut seen = HashSet::new();
    let mut wrong = false;
    let items = value.text.split(',').map(|item| item.trim_matches(' '));
    let mut first_word = None;
    for item in items {
        if is_word(item) {
            first_word = first_word.or(Some(item.trim()));
        }
        match id(item) {
            Ok(None) => {}
            Ok(Some(id)) => {
                if seen.insert(id.clone()) {
                    ids.push(id);
                }
            }
            Err(hint) => {
                let message = format!("`{}` in <rules_id> is no rule id", item.trim());
                report.error(value.place_of(item.trim()), message, hint);
                wrong = true;
            }
        }
    }
    if wrong {
        return None;
    }
    if ids.is_empty() {
        let hint = "write ids with commas between: 5710,5712; or remove it";
        report.error(value.node.text_at, "<rules_id> names no rule", hint);
        return None;
    }
    if let Some(word) = first_word {
        warn_of_word(word, value, report);
    }
    Some(ids)
}

/// Wazuh reads numbers up to the first letter, and has no rules but those.
fn warn_of_word(word: &str, value: Value<'_>, report: &mut Report<'_>) {
    let at = value.place_of(word);
    if report.is_of_others(at) {
        let message =
            format!("Wazuh 4.x and OSSEC stop reading at `{word}`: their ids are numbers");
        let hint = "if they still read this file, write words into a block below <ripost_config>";
        report.warning(at, message, hint);
    }
}

fn is_word(item: &str) -> bool {
    item.contains(char::is_alphabetic)
}

fn id(item: &str) -> Result<Option<RuleId>, String> {
    if item.is_empty() {
        return Ok(None);
    }
    if item.bytes().all(|b| b.is_ascii_digit()) {
        // Compared as text with what alerts hold, which has no zeros in front.
        return match item.parse::<u32>() {
            Ok(number) => RuleId::parse(&number.to_string())
                .map(Some)
                .map_err(|e| e.to_string()),
            Err(_) => Err("rule ids have at most ten digits".to_owned()),
        };
    }
    if is_word(item) {
        return word(item.trim()).map(Some);
    }
    let numbers: Vec<&str> = item
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect();
    let numeric = item
        .bytes()
        .all(|b| b.is_ascii_digit() || b.is_ascii_whitespace() || b == b'-');
    Err(match numbers.as_slice() {
        [first, last] if numeric && item.contains('-') => {
            format!(
                "Wazuh 4.x reads only {first}; write each id from {first} to {last}, with commas"
            )
        }
        [one] if numeric && item.trim() == *one => {
            format!(
                "Wazuh 4.x stops reading at the line break or tab before {one}; write all in one line"
            )
        }
        [_, _, ..] if numeric && !item.contains('-') => {
            format!("write commas between: {}", numbers.join(","))
        }
        _ => "write numbers with commas between: 5710,5712".to_owned(),
    })
}

/// A word is compared with what the alert holds, as it is.
fn word(item: &str) -> Result<RuleId, String> {
    let mut parts = item.split([';', '|']).map(str::trim);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if item.contains([';', '|']) && parts.any(is_number) {
        return Err("write commas between ids: 5712,sec-003".to_owned());
    }
    RuleId::parse(item).map_err(|error| match error {
        InvalidName::Character(_) => {
            "write all of it in one line, with commas between ids: 5712,sec-003".to_owned()
        }
        error => format!("what is compared with the id of a rule {error}"),
    })
}
