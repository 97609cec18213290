//! `<map>`: where in alerts of one's own making the things stand that an alert
//! needs.

use std::collections::BTreeMap;

use crate::config::block::{Block, Value, unknown_attributes};
use crate::config::field_map;
use crate::config::report::{Report, Span};
use crate::config::xml::{Attribute, Node};
use crate::diag::suggest;
use crate::model::mapping::{Levels, MAX_LEVEL, Mapped, Mapping};
use crate::model::{Field, FieldMap, FieldPath, GroupName, Level, RuleId};

/// What an alert can have.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    RuleId,
    Level,
    Groups,
    AgentId,
    AgentName,
    Id,
    Timestamp,
    Span,
    Target(Field),
}

const PARTS: [(&str, Part); 13] = [
    ("rule_id", Part::RuleId),
    ("level", Part::Level),
    ("groups", Part::Groups),
    ("agent_id", Part::AgentId),
    ("agent_name", Part::AgentName),
    ("id", Part::Id),
    ("timestamp", Part::Timestamp),
    ("span", Part::Span),
    ("srcip", Part::Target(Field::Srcip)),
    ("user", Part::Target(Field::User)),
    ("pid", Part::Target(Field::Pid)),
    ("exe", Part::Target(Field::Exe)),
    ("file", Part::Target(Field::File)),
];

const EXAMPLE: &str = "write <map field=\"srcip\">path.to.it</map>";

/// One element.
struct Map<'a> {
    node: &'a Node,
    value: Option<&'a Attribute>,
    values: Option<&'a Attribute>,
}

/// All elements of a block.
#[derive(Default)]
struct Maps<'a>(BTreeMap<Part, Map<'a>>);

/// Reports every `<map>` of a block whose format says itself where all stands.
pub(super) fn refuse(block: &Block<'_>, format: &str, report: &mut Report<'_>) {
    for node in block.all("map") {
        let message = format!("a <map> has no meaning with the format {format}");
        let hint =
            "write <format>generic</format>; or remove it, and say in a response what it acts upon";
        report.error(node.name_at, message, hint);
    }
}

/// Reads all of them; `None` if something is wrong or missing. `at` is where the
/// format is named.
pub(super) fn read(block: &Block<'_>, at: Span, report: &mut Report<'_>) -> Option<Mapping> {
    let mut maps = Maps::default();
    let mut sound = true;
    for node in block.all("map") {
        sound &= maps.add(node, report);
    }
    if !block.is_jumbled() && sound {
        for (part, name) in [(Part::RuleId, "rule_id"), (Part::Level, "level")] {
            if !maps.0.contains_key(&part) {
                let message = format!("the format generic needs a <map> for {name}");
                let hint = format!(
                    "write <map field=\"{name}\">path.to.it</map>, or <map field=\"{name}\" \
                     value=\"…\"/> if it is always the same"
                );
                report.error(at, message, hint);
            }
        }
    }
    let mapping = maps.mapping(report);
    mapping.filter(|_| sound)
}

impl<'a> Maps<'a> {
    /// Takes one element in; `false` if it is none, which has been reported.
    fn add(&mut self, node: &'a Node, report: &mut Report<'_>) -> bool {
        unknown_attributes(node, &["field", "value", "values"], report);
        let attribute = |name: &str| node.attributes.iter().find(|a| a.name == name);
        if let Some(child) = node.children.first() {
            report.error(
                child.name_at,
                "<map> takes a text here, not another element",
                EXAMPLE,
            );
            return false;
        }
        let Some(field) = attribute("field") else {
            report.error(
                node.name_at,
                "this <map> does not say what it is for",
                EXAMPLE,
            );
            return false;
        };
        let Some((name, part)) = PARTS.iter().find(|(name, _)| *name == field.value) else {
            let names = PARTS.iter().map(|(name, _)| *name);
            let hint = match suggest(&field.value, names.clone()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("write one of {}", names.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("`{}` is nothing that an alert has", field.value);
            report.error(field.at, message, hint);
            return false;
        };
        let map = Map {
            node,
            value: attribute("value"),
            values: attribute("values"),
        };
        let fits = map.fits(*part, name, report);
        if let Some(earlier) = self.0.get(part) {
            let line = report.line(earlier.node.name_at);
            let message = format!("{name} has a <map> already, in line {line}");
            report.error(
                field.at,
                message,
                "write all paths into one, with commas between",
            );
            return false;
        }
        self.0.insert(*part, map);
        fits
    }

    fn mapping(&self, report: &mut Report<'_>) -> Option<Mapping> {
        let mut paths = |part| match self.0.get(&part) {
            Some(map) => map.paths(report),
            None => Some(Vec::new()),
        };
        let groups = paths(Part::Groups);
        let agent_id = paths(Part::AgentId);
        let agent_name = paths(Part::AgentName);
        let id = paths(Part::Id);
        let timestamp = paths(Part::Timestamp);
        let span = paths(Part::Span);
        let fields = self.fields(report);
        let rule_id = self.mapped(Part::RuleId, report, rule_id);
        let level = self.mapped(Part::Level, report, level);
        let levels = self.levels(report);
        let own_groups = self.own_groups(report);
        Some(Mapping {
            rule_id: rule_id?,
            level: level?,
            levels: levels?,
            groups: own_groups?,
            more_groups: groups?,
            agent_id: agent_id?,
            agent_name: agent_name?,
            id: id?,
            timestamp: timestamp?,
            span: span?,
            fields: fields?,
        })
    }

    fn fields(&self, report: &mut Report<'_>) -> Option<FieldMap> {
        let mut fields = Some(FieldMap::default());
        for field in Field::ALL {
            let Some(map) = self.0.get(&Part::Target(field)) else {
                continue;
            };
            match (map.paths(report), &mut fields) {
                (Some(paths), Some(fields)) => {
                    paths.into_iter().for_each(|path| fields.push(field, path));
                }
                (_, _) => fields = None,
            }
        }
        fields
    }

    fn mapped<T>(
        &self,
        part: Part,
        report: &mut Report<'_>,
        parse: impl FnOnce(&Attribute, &mut Report<'_>) -> Option<T>,
    ) -> Option<Mapped<T>> {
        let map = self.0.get(&part)?;
        match map.value {
            Some(value) => parse(value, report).map(Mapped::Always),
            None => map.paths(report).map(Mapped::At),
        }
    }

    #[expect(clippy::option_option, reason = "missing and wrong are two things")]
    fn levels(&self, report: &mut Report<'_>) -> Option<Option<Levels>> {
        match self.0.get(&Part::Level).and_then(|map| map.values) {
            Some(table) => levels(table, report).map(Some),
            None => Some(None),
        }
    }

    fn own_groups(&self, report: &mut Report<'_>) -> Option<Vec<GroupName>> {
        let Some(value) = self.0.get(&Part::Groups).and_then(|map| map.value) else {
            return Some(Vec::new());
        };
        let groups: Result<Vec<_>, _> = value
            .value
            .split(',')
            .map(|group| GroupName::parse(group.trim()))
            .collect();
        let problem = match groups {
            Ok(groups) => return Some(groups),
            Err(problem) => problem,
        };
        let message = format!("a group in `{}` {problem}", value.value);
        report.error(
            value.at,
            message,
            "write groups with commas between: fail2ban,sshd",
        );
        None
    }
}

impl Map<'_> {
    /// Whether it says what it can say of this part and nothing else.
    fn fits(&self, part: Part, name: &str, report: &mut Report<'_>) -> bool {
        let has_paths = !self.node.text.is_empty();
        let message = match (self.value, self.values) {
            (None, None) if !has_paths => {
                let message = format!("this <map> does not say where {name} stands");
                report.error(self.node.name_at, message, EXAMPLE);
                return false;
            }
            (_, Some(table)) if part != Part::Level => {
                let message = format!("a table of values has no meaning for {name}");
                report.error(table.at, message, "only levels have one; remove it");
                return false;
            }
            (Some(value), _) if !matches!(part, Part::RuleId | Part::Level | Part::Groups) => {
                let message = format!("{name} cannot be the same in all alerts");
                (
                    value,
                    message,
                    "write a path; whose alerts they are if they name no agent says <agent_id>",
                )
            }
            (Some(value), _) if has_paths && part != Part::Groups => {
                let message = format!("{name} has both a path and a value");
                (value, message, "write one of the two")
            }
            (Some(_), Some(table)) => {
                let message = format!("{name} has both a value and a table");
                (table, message, "write one of the two")
            }
            (None, Some(table)) if !has_paths => {
                let message = format!("there is a table for {name}, and no path");
                (
                    table,
                    message,
                    "write where the word stands: <map field=\"level\" values=\"low:3\">severity</map>",
                )
            }
            (_, _) => return true,
        };
        let (attribute, message, hint) = message;
        report.error(attribute.at, message, hint);
        false
    }

    /// The paths between commas; none if there is only a value.
    fn paths(&self, report: &mut Report<'_>) -> Option<Vec<FieldPath>> {
        let (node, text) = (self.node, self.node.text.as_str());
        match text {
            "" => Some(Vec::new()),
            text => field_map::paths(Value { node, text }, report),
        }
    }
}

fn rule_id(value: &Attribute, report: &mut Report<'_>) -> Option<RuleId> {
    match RuleId::parse(&value.value) {
        Ok(id) => Some(id),
        Err(error) => {
            let message = format!("the id of a rule {error}");
            report.error(
                value.at,
                message,
                "write a number or a short name: value=\"fail2ban\"",
            );
            None
        }
    }
}

fn level(value: &Attribute, report: &mut Report<'_>) -> Option<Level> {
    let level = level_of(&value.value);
    match level {
        None => {
            let message = format!("`{}` is no level", value.value);
            report.error(value.at, message, format!("write 1 to {MAX_LEVEL}"));
        }
        Some(Level::ZERO) => {
            let message = "nothing responds to alerts of level 0";
            report.warning(value.at, message, format!("write 1 to {MAX_LEVEL}"));
        }
        Some(_) => {}
    }
    level
}

fn level_of(text: &str) -> Option<Level> {
    let level = Level::parse(text).ok()?;
    (level.number() <= MAX_LEVEL).then_some(level)
}

fn levels(table: &Attribute, report: &mut Report<'_>) -> Option<Levels> {
    let mut levels = Levels::default();
    let mut sound = true;
    for row in table.value.split(',').map(str::trim) {
        let (word, level) = row.rsplit_once(':').unwrap_or((row, ""));
        let word = word.trim();
        let message = match level_of(level.trim()) {
            None => format!("`{row}` is no word with its level"),
            Some(_) if word.is_empty() => format!("there is no word before the level in `{row}`"),
            Some(level) if !levels.add(word, level) => format!("`{word}` has two levels"),
            Some(_) => continue,
        };
        let hint =
            format!("write words with levels from 0 to {MAX_LEVEL}: low:3, high:12, other:5");
        report.error(table.at, message, hint);
        sound = false;
    }
    sound.then_some(levels)
}
