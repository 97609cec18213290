//! When a response runs: level, groups and ids of rules.

use std::collections::HashSet;

use crate::config::block::{Block, Value};
use crate::config::report::Report;
use crate::model::os_regex::Pattern;
use crate::model::{Level, RuleId};

/// Level AND group, OR one of the ids (Wazuh 4.14 rules.c Rule_AddAR). With
/// none of them it never runs.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// The rule has at least this level.
    pub level: Option<Level>,
    pub rules_group: Option<GroupPattern>,
    pub rules_id: Vec<RuleId>,
}

impl When {
    pub fn is_never(&self) -> bool {
        self.level.is_none() && self.rules_group.is_none() && self.rules_id.is_empty()
    }
}

/// A pattern over all groups of a rule, and how it was written.
#[derive(Clone, Debug)]
pub struct GroupPattern {
    pub text: String,
    pub pattern: Pattern,
}

/// `None` if something in it is wrong and has been reported.
pub(crate) fn read(block: &Block<'_>, report: &mut Report<'_>) -> Option<When> {
    let level = block.setting("level", report, level);
    let rules_group = block.setting("rules_group", report, group);
    let rules_id = block.setting("rules_id", report, ids);
    Some(When {
        level: level.ok()?.flatten(),
        rules_group: rules_group.ok()?,
        rules_id: rules_id.ok()?.unwrap_or_default(),
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
        Ok(pattern) => Some(GroupPattern {
            text: text.to_owned(),
            pattern,
        }),
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

/// Numbers with commas between. Wazuh stops reading at the first character it
/// does not expect and says nothing, so anything else is an error here.
fn ids(value: Value<'_>, report: &mut Report<'_>) -> Option<Vec<RuleId>> {
    let mut ids: Vec<RuleId> = Vec::new();
    let mut seen = HashSet::new();
    let mut wrong = false;
    for item in value.text.split(',') {
        let item = item.trim_matches(' ');
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
    Some(ids)
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
