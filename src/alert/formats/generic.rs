//! JSON of anybody's: the configuration says where in it all stands.
//!
//! A path is followed as executables follow it: names are compared in any case,
//! the first of several members of a name counts, and a number is also the item
//! of a list. Of several paths the first that leads to what says anything
//! decides, whatever it says.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::groups::Groups;
use super::object::{is_named, label, origin};
use super::span;
use crate::alert::lenient::{Scalar, Texts, as_text};
use crate::alert::{Alert, NotAnAlert, Origin};
use crate::model::mapping::{Levels, MAX_LEVEL, Mapped, Mapping};
use crate::model::{AgentId, FieldPath, Level, RuleId};

/// What is written for a value that is not known, as executables take it.
const NOTHING: [&str; 3] = ["", "-", "<NA>"];

/// Reads one object.
pub(in crate::alert) fn parse<'a>(
    body: &'a [u8],
    mapping: &Mapping,
) -> Result<Alert<'a>, NotAnAlert> {
    let text = as_text(body);
    let whole: &RawValue = serde_json::from_str(&text).map_err(|_| NotAnAlert::NotJson)?;
    if !whole.get().starts_with('{') {
        return Err(NotAnAlert::NotAnObject);
    }
    let reading = Reading { whole, mapping };
    Ok(Alert {
        rule: reading
            .groups()
            .into_rule(reading.rule_id()?, reading.level()?),
        origin: reading.origin(),
        id: reading.scalar(&mapping.id).and_then(label),
        timestamp: reading.scalar(&mapping.timestamp).and_then(label),
        body: body.into(),
        fields: (!mapping.fields.is_empty()).then(|| mapping.fields.clone().into()),
        span: reading.span()?,
    })
}

/// An object, and where in it all stands.
struct Reading<'a> {
    whole: &'a RawValue,
    mapping: &'a Mapping,
}

impl<'a> Reading<'a> {
    fn rule_id(&self) -> Result<RuleId, NotAnAlert> {
        let paths = match &self.mapping.rule_id {
            Mapped::Always(id) => return Ok(id.clone()),
            Mapped::At(paths) => paths,
        };
        self.scalar(paths)
            .ok_or(NotAnAlert::NoRuleId)?
            .into_text()
            .and_then(|id| RuleId::parse(&id).ok())
            .ok_or(NotAnAlert::InvalidRuleId)
    }

    fn level(&self) -> Result<Level, NotAnAlert> {
        let paths = match &self.mapping.level {
            Mapped::Always(level) => return Ok(*level),
            Mapped::At(paths) => paths,
        };
        let word = self.scalar(paths).ok_or(NotAnAlert::NoLevel)?.into_text();
        word.and_then(|word| level_of(&word, self.mapping.levels.as_ref()))
            .ok_or(NotAnAlert::UnknownLevel)
    }

    fn groups(&self) -> Groups {
        let mut groups = Groups::default();
        for group in &self.mapping.groups {
            groups.push_label(group.as_str());
        }
        for path in &self.mapping.more_groups {
            let Some(found) = follow(self.whole, path) else {
                continue;
            };
            let Texts(texts) = serde_json::from_str(found.get()).unwrap_or_default();
            // One text may hold several groups, as some write them; the item of
            // a list is one.
            let is_list = found.get().starts_with('[');
            for text in &texts {
                if is_list {
                    groups.push_label(text);
                } else {
                    text.split(',').for_each(|group| groups.push_label(group));
                }
            }
        }
        groups
    }

    fn origin(&self) -> Origin {
        match self.scalar(&self.mapping.agent_id) {
            Some(id) => match id.into_text().and_then(|id| AgentId::parse(&id).ok()) {
                Some(id) => Origin::Agent {
                    id,
                    name: self.scalar(&self.mapping.agent_name).and_then(label),
                },
                None => Origin::Unreadable,
            },
            None => origin(self.scalar(&self.mapping.agent_name)),
        }
    }

    /// A number counts seconds.
    fn span(&self) -> Result<Option<Duration>, NotAnAlert> {
        let Some(found) = self.scalar(&self.mapping.span) else {
            return Ok(None);
        };
        let text = found.into_text().ok_or(NotAnAlert::InvalidSpan)?;
        span::parse(&text).ok_or(NotAnAlert::InvalidSpan).map(Some)
    }

    /// What the first of these paths leads to.
    fn scalar(&self, paths: &[FieldPath]) -> Option<Scalar<'_>> {
        let found = paths.iter().filter_map(|path| follow(self.whole, path));
        let mut found =
            found.map(|value| serde_json::from_str(value.get()).unwrap_or(Scalar::Other));
        found.find(|value| match value {
            Scalar::Null => false,
            Scalar::Text(text) => !NOTHING.contains(&&**text),
            Scalar::Number(_) | Scalar::Other => true,
        })
    }
}

/// A number is a level if there is no table that gives it another meaning.
fn level_of(word: &str, levels: Option<&Levels>) -> Option<Level> {
    match levels {
        Some(levels) => levels.level(word),
        None => Level::parse(word)
            .ok()
            .filter(|level| level.number() <= MAX_LEVEL),
    }
}

/// The value that a path leads to.
fn follow<'a>(whole: &'a RawValue, path: &FieldPath) -> Option<&'a RawValue> {
    path.names().try_fold(whole, |value, name| {
        let text = value.get();
        if text.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let number = name.parse::<usize>().ok()?;
            if number.to_string() != name {
                return None;
            }
            items.get(number).copied()
        } else {
            let Members(members) = serde_json::from_str(text).ok()?;
            let mut members = members.into_iter();
            members.find_map(|(known, value)| is_named(&known, &name).then_some(value))
        }
    })
}

/// The members of an object, as they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Walk)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;
    use crate::alert::{NotAnAlert, Origin};
    use crate::model::mapping::{Levels, Mapped, Mapping};
    use crate::model::{AgentId, Field, FieldMap, FieldPath, GroupName, Level, RuleId};

    fn paths(texts: &[&str]) -> Vec<FieldPath> {
        let parse = |text: &&str| FieldPath::parse(text).unwrap();
        texts.iter().map(parse).collect()
    }

    /// The id is in `rule`, the level in `level`.
    fn mapping() -> Mapping {
        Mapping {
            rule_id: Mapped::At(paths(&["rule"])),
            level: Mapped::At(paths(&["level"])),
            levels: None,
            groups: Vec::new(),
            more_groups: Vec::new(),
            agent_id: Vec::new(),
            agent_name: Vec::new(),
            id: Vec::new(),
            timestamp: Vec::new(),
            span: Vec::new(),
            fields: FieldMap::default(),
        }
    }

    fn level(number: u8) -> Level {
        Level::new(number).unwrap()
    }

    #[test]
    fn the_first_path_that_leads_to_anything_decides() {
        let mapping = Mapping {
            rule_id: Mapped::At(paths(&[r"a.b\.c", "list.1.id", "LAST"])),
            level: Mapped::Always(level(7)),
            ..mapping()
        };
        for (line, wanted) in [
            (r#"{"a":{"b.c":"x"},"last":"z"}"#, Ok("x")),
            (r#"{"A":{"B.C":7}}"#, Ok("7")),
            (r#"{"a":{"b.c":"x","B.c":"y"}}"#, Ok("x")),
            (r#"{"a":{},"a":{"b.c":"x"},"last":"z"}"#, Ok("z")),
            (r#"{"a":{"b.c\u0000d":"x"}}"#, Ok("x")),
            (r#"{"a":{"b.c":null},"list":[0,{"id":"y"}]}"#, Ok("y")),
            (r#"{"a":["x"],"list":{"1":{"id":"y"}}}"#, Ok("y")),
            (r#"{"list":[{"id":"y"}],"last":"z"}"#, Ok("z")),
            (r#"{"a":"b.c","list":"1","last":"z"}"#, Ok("z")),
            (r#"{"a":{"b.c":""},"last":"z"}"#, Ok("z")),
            (
                r#"{"a":{"b.c":"<NA>"},"last":"-"}"#,
                Err(NotAnAlert::NoRuleId),
            ),
            (
                r#"{"a":{"b.c":[]},"last":"z"}"#,
                Err(NotAnAlert::InvalidRuleId),
            ),
            (r#"{"a":{"b":{"c":"x"}}}"#, Err(NotAnAlert::NoRuleId)),
            ("{}", Err(NotAnAlert::NoRuleId)),
            ("[]", Err(NotAnAlert::NotAnObject)),
            (r#"{"last":"z""#, Err(NotAnAlert::NotJson)),
        ] {
            let found = parse(line.as_bytes(), &mapping).map(|alert| alert.rule.id);
            let wanted = wanted.map(|id| RuleId::parse(id).unwrap());
            assert_eq!(found, wanted, "{line}");
        }
    }

    #[test]
    fn a_level_is_a_number_or_in_the_table_and_never_a_guess() {
        let mut levels = Levels::default();
        assert!(levels.add("high", level(12)) && levels.add("1", level(3)));
        let mut with_other = levels.clone();
        assert!(with_other.add("other", level(5)));
        let tables = [None, Some(levels), Some(with_other)];
        let unknown = Err(NotAnAlert::UnknownLevel);
        for (written, wanted) in [
            ("16", [Ok(16), unknown, Ok(5)]),
            (r#""7""#, [Ok(7), unknown, Ok(5)]),
            ("1", [Ok(1), Ok(3), Ok(3)]),
            ("1.0", [Ok(1), Ok(3), Ok(3)]),
            (r#""HIGH""#, [unknown, Ok(12), Ok(12)]),
            ("17", [unknown, unknown, Ok(5)]),
            ("-1", [unknown; 3]),
            ("7.5", [unknown; 3]),
            ("true", [unknown; 3]),
            (r#"["high"]"#, [unknown; 3]),
            ("null", [Err(NotAnAlert::NoLevel); 3]),
        ] {
            let line = format!(r#"{{"rule":1,"level":{written}}}"#);
            for (table, wanted) in tables.iter().zip(wanted) {
                let mapping = Mapping {
                    levels: table.clone(),
                    ..mapping()
                };
                let found = parse(line.as_bytes(), &mapping);
                let found = found.map(|alert| alert.rule.level.number());
                assert_eq!(found, wanted, "{written} {table:?}");
            }
        }
    }

    #[test]
    fn groups_come_from_everywhere_and_an_item_is_one() {
        let mapping = Mapping {
            groups: vec![GroupName::parse("guard").unwrap()],
            more_groups: paths(&["tags", "labels", "none"]),
            ..mapping()
        };
        let line = br#"{"rule":1,"level":3,"labels":"a b,,c","tags":["d,sshd",7,null,["e"]]}"#;
        let alert = parse(line, &mapping).unwrap();
        assert_eq!(alert.rule.group_text, "guard,d_sshd,7,a_b,c,");
    }

    #[test]
    fn what_else_an_alert_has_is_where_the_mapping_says() {
        let mut fields = FieldMap::default();
        fields.push(Field::Srcip, FieldPath::parse("peer").unwrap());
        let mapping = Mapping {
            agent_id: paths(&["host.id"]),
            id: paths(&["uid"]),
            timestamp: paths(&["at"]),
            span: paths(&["for"]),
            fields: fields.clone(),
            ..mapping()
        };
        let line =
            br#"{"rule":1,"level":3,"host":{"id":"7"},"uid":42,"at":"now","for":"1h30m","x":""#;
        let line = [line, b"\xff\"}".as_slice()].concat();
        let alert = parse(&line, &mapping).unwrap();
        let id = AgentId::parse("007").unwrap();
        assert_eq!(alert.origin, Origin::Agent { id, name: None });
        assert_eq!(alert.id.as_deref(), Some("42"));
        assert_eq!(alert.timestamp.as_deref(), Some("now"));
        assert_eq!(alert.span, Some(Duration::from_secs(5_400)));
        assert_eq!(alert.fields.as_deref(), Some(&fields));
        assert_eq!(*alert.body, *line);
        for (members, origin, span) in [
            ("", Origin::Absent, Ok(None)),
            (
                r#","host":{"id":"web"},"for":90"#,
                Origin::Unreadable,
                Ok(Some(Duration::from_secs(90))),
            ),
            (r#","for":"-3m""#, Origin::Absent, Ok(Some(Duration::ZERO))),
            (r#","for":-3"#, Origin::Absent, Err(NotAnAlert::InvalidSpan)),
            (
                r#","for":"soon""#,
                Origin::Absent,
                Err(NotAnAlert::InvalidSpan),
            ),
        ] {
            let line = format!(r#"{{"rule":1,"level":3{members}}}"#);
            let found = parse(line.as_bytes(), &mapping);
            let found = found.map(|alert| (alert.origin, alert.span));
            assert_eq!(found, span.map(|span| (origin, span)), "{members}");
        }
    }

    #[test]
    fn depth_costs_nothing_and_leads_nowhere() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let line = format!(r#"{{"x":{deep},"rule":{deep},"level":3}}"#);
        let found = parse(line.as_bytes(), &mapping());
        assert_eq!(found, Err(NotAnAlert::InvalidRuleId));
    }
}
