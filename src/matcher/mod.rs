//! Alert to responses, with the exact logic of Wazuh 4.x (analysisd/rules.c
//! Rule_AddAR) or, where that is wanted, of OSSEC. Pure.
//!
//! In Wazuh a condition holds if level and group both do where both are set, or
//! the one that is set does, or the rule's id is listed; in OSSEC if any of the
//! three holds. A rule of level 0 meets no condition, and a condition that sets
//! nothing is never met.
//!
//! analysisd decides once per rule when it loads its rules. We see rules only
//! as alerts come, so the answer for each (id, level, group text) is kept in a
//! memo: a known rule costs one look-up however many conditions there are, a
//! new one goes through an index and each distinct pattern once.

mod index;
mod memo;

use std::fmt;
use std::sync::Arc;

use crate::alert::Rule;
use crate::model::os_regex::Pattern;
use crate::model::{Level, Logic, RuleId};
use index::Index;
use memo::Memo;

/// When one response fires.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// The least level; `None` and level 0 both mean that none is set.
    pub level: Option<Level>,
    pub group: Option<Pattern>,
    pub ids: Vec<RuleId>,
    pub logic: Logic,
}

/// Bytes of rules and answers that a memo keeps, unless told otherwise.
const MAX_MEMO: usize = 32 << 20;

/// Conditions with the index over them, which many matchers may share.
#[derive(Debug)]
pub struct Conditions {
    conditions: Vec<Condition>,
    index: Index,
}

impl Conditions {
    pub fn new(conditions: Vec<Condition>) -> Self {
        Self {
            index: Index::new(&conditions),
            conditions,
        }
    }
}

/// Conditions, ready to be asked about rules.
#[derive(Debug)]
pub struct Matcher {
    conditions: Arc<Conditions>,
    memo: Memo,
}

impl Matcher {
    pub fn new(conditions: Vec<Condition>) -> Self {
        Self::sharing(Arc::new(Conditions::new(conditions)), MAX_MEMO)
    }

    /// A matcher with a memo of its own, which keeps so many bytes at most.
    pub fn sharing(conditions: Arc<Conditions>, max_memo: usize) -> Self {
        Self {
            conditions,
            memo: Memo::new(max_memo),
        }
    }

    /// What it goes by.
    pub fn conditions(&self) -> &Arc<Conditions> {
        &self.conditions
    }

    /// The positions of the conditions that `rule` meets, ascending, each once.
    pub fn matches(&mut self, rule: &Rule) -> Arc<[usize]> {
        let Self { conditions, memo } = self;
        memo.get_or_insert(rule, || conditions.index.matches(rule))
    }

    /// Why the condition at `position` does or does not hold for `rule`;
    /// `None` if there is no such condition.
    pub fn explain(&self, rule: &Rule, position: usize) -> Option<Trace> {
        let condition = self.conditions.conditions.get(position)?;
        Some(Trace::new(condition, rule))
    }
}

impl Condition {
    /// The least level, where one is set.
    fn least_level(&self) -> Option<Level> {
        self.level.filter(|&level| level > Level::ZERO)
    }
}

/// How each part of a condition fared; `None` where the part is not set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trace {
    rule_level: Level,
    logic: Logic,
    /// The least level, and whether the rule reaches it.
    pub level: Option<(Level, bool)>,
    /// Whether the pattern is found in the group text.
    pub group: Option<bool>,
    /// Whether the rule's id is listed.
    pub ids: Option<bool>,
}

impl Trace {
    fn new(condition: &Condition, rule: &Rule) -> Self {
        Self {
            rule_level: rule.level,
            logic: condition.logic,
            level: condition
                .least_level()
                .map(|least| (least, rule.level >= least)),
            group: condition
                .group
                .as_ref()
                .map(|pattern| pattern.is_match(rule.group_text.as_bytes())),
            ids: (!condition.ids.is_empty()).then(|| condition.ids.contains(&rule.id)),
        }
    }

    /// Whether the condition as a whole holds.
    pub fn holds(&self) -> bool {
        let level = self.level.map(|(_, reached)| reached);
        let selected = match (level, self.group) {
            (Some(level), Some(group)) => match self.logic {
                Logic::Wazuh => level && group,
                Logic::Ossec => level || group,
            },
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => false,
        };
        self.rule_level > Level::ZERO && (selected || self.ids == Some(true))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.rule_level == Level::ZERO {
            parts.push("a rule of level 0 has no responses".to_owned());
        }
        if let Some((least, reached)) = self.level {
            let relation = if reached { "reaches" } else { "is below" };
            parts.push(format!("level {} {relation} {least}", self.rule_level));
        }
        if let Some(found) = self.group {
            let verb = if found { "fits" } else { "does not fit" };
            parts.push(format!("the group text {verb}"));
        }
        if let Some(listed) = self.ids {
            let verb = if listed { "is" } else { "is not" };
            parts.push(format!("the rule id {verb} listed"));
        }
        if parts.is_empty() {
            parts.push("neither level nor group nor rule id is set".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};
    use proptest::strategy::Strategy;

    use super::{Condition, Matcher};
    use crate::alert::{self, Rule};
    use crate::model::os_regex::Pattern;
    use crate::model::{Level, Logic, RuleId};

    fn condition(level: Option<u8>, group: Option<&str>, ids: &[&str]) -> Condition {
        Condition {
            level: level.map(|level| Level::new(level).unwrap()),
            group: group.map(|group| Pattern::compile(group).unwrap()),
            ids: ids.iter().map(|id| RuleId::parse(id).unwrap()).collect(),
            logic: Logic::Wazuh,
        }
    }

    fn ossec(condition: Condition) -> Condition {
        Condition {
            logic: Logic::Ossec,
            ..condition
        }
    }

    fn rule(id: &str, level: u8, group_text: &str) -> Rule {
        Rule {
            id: RuleId::parse(id).unwrap(),
            level: Level::new(level).unwrap(),
            groups: Vec::new(),
            group_text: group_text.to_owned(),
        }
    }

    /// The condition, the rule, whether it fires in Wazuh 4.x, and why.
    #[test]
    fn a_response_fires_when_it_does_in_4_x() {
        let sshd = || Some("sshd");
        for (wanted, rule, response, why) in [
            (
                true,
                rule("1", 10, ""),
                condition(Some(10), None, &[]),
                "level reached",
            ),
            (
                false,
                rule("1", 9, ""),
                condition(Some(10), None, &[]),
                "level not reached",
            ),
            (
                true,
                rule("1", 1, "sshd,"),
                condition(None, sshd(), &[]),
                "group alone",
            ),
            (
                true,
                rule("1", 10, "sshd,"),
                condition(Some(10), sshd(), &[]),
                "both",
            ),
            (
                false,
                rule("1", 9, "sshd,"),
                condition(Some(10), sshd(), &[]),
                "and, not or",
            ),
            (
                false,
                rule("1", 10, "web,"),
                condition(Some(10), sshd(), &[]),
                "and, not or",
            ),
            (
                true,
                rule("1", 1, ""),
                condition(None, None, &["2", "1"]),
                "listed",
            ),
            (
                false,
                rule("12", 1, ""),
                condition(None, None, &["1"]),
                "ids are whole",
            ),
            (
                true,
                rule("1", 1, "web,"),
                condition(Some(10), sshd(), &["1"]),
                "or listed",
            ),
            (
                false,
                rule("1", 0, "sshd,"),
                condition(None, sshd(), &["1"]),
                "level 0",
            ),
            (
                true,
                rule("1", 1, "sshd,"),
                condition(Some(0), sshd(), &[]),
                "0 is not set",
            ),
            (
                false,
                rule("1", 1, "sshd,"),
                condition(Some(0), None, &[]),
                "0 is not set",
            ),
            (
                false,
                rule("1", 16, "sshd,"),
                condition(None, None, &[]),
                "nothing set",
            ),
        ] {
            let mut matcher = Matcher::new(vec![response]);
            let wanted_positions: &[usize] = if wanted { &[0] } else { &[] };
            assert_eq!(*matcher.matches(&rule), *wanted_positions, "{why}");
            let trace = matcher.explain(&rule, 0).unwrap();
            assert_eq!(trace.holds(), wanted, "{why}: {trace}");
        }
    }

    /// The rule's id, level and groups, and whether it fires in OSSEC and in
    /// Wazuh for level 10, group `sshd` and id 5.
    #[test]
    fn in_ossec_each_selector_selects_by_itself() {
        for ((id, level, groups), in_ossec, in_wazuh) in [
            (("1", 10, "web,"), true, false),
            (("1", 9, "sshd,"), true, false),
            (("1", 10, "sshd,"), true, true),
            (("5", 1, "web,"), true, true),
            (("1", 9, "web,"), false, false),
            (("5", 0, "sshd,"), false, false),
        ] {
            let both = condition(Some(10), Some("sshd"), &["5"]);
            let rule = rule(id, level, groups);
            let mut matcher = Matcher::new(vec![ossec(both.clone()), both]);
            let mut wanted = Vec::new();
            wanted.extend(in_ossec.then_some(0));
            wanted.extend(in_wazuh.then_some(1));
            assert_eq!(*matcher.matches(&rule), *wanted, "{rule:?}");
            for (position, wanted) in [in_ossec, in_wazuh].into_iter().enumerate() {
                let trace = matcher.explain(&rule, position).unwrap();
                assert_eq!(trace.holds(), wanted, "{rule:?}: {trace}");
            }
        }
        // Level 0 is not set there either, and nothing set selects nothing.
        for (condition, wanted) in [
            (condition(Some(0), Some("web"), &[]), false),
            (condition(Some(0), None, &[]), false),
            (condition(None, Some("sshd"), &[]), true),
        ] {
            let mut matcher = Matcher::new(vec![ossec(condition)]);
            assert_eq!(!matcher.matches(&rule("1", 16, "sshd,")).is_empty(), wanted);
        }
    }

    /// 4.x takes them out of the groups that it writes; its rules have them there.
    #[test]
    fn labels_of_compliance_are_groups_as_in_the_rule() {
        let wazuh = alert::find("wazuh").unwrap();
        let read = |more: &str| {
            let line = format!(r#"{{"rule":{{"id":"5712","level":10,"groups":["sshd"]{more}}}}}"#);
            alert::parse(line.as_bytes(), wazuh).unwrap().rule
        };
        let plain = read("");
        let labelled = read(r#","pci_dss":["10.2.4","10.2.5"],"gdpr":["IV_35.7.d"]"#);
        assert_eq!(plain.groups, labelled.groups);
        let mut matcher = Matcher::new(vec![
            condition(None, Some("pci_dss_10.2.5,"), &[]),
            condition(None, Some("sshd,"), &[]),
            condition(None, Some("gdpr_"), &[]),
            condition(None, Some("pci_dss_10.2,"), &[]),
        ]);
        // The one must not answer for the other, in either order.
        for _ in 0..2 {
            assert_eq!(*matcher.matches(&plain), [1]);
            assert_eq!(*matcher.matches(&labelled), [0, 1, 2]);
        }
    }

    #[test]
    fn an_explanation_names_each_part_that_is_set() {
        let matcher = Matcher::new(vec![
            condition(Some(10), Some("sshd"), &["1"]),
            condition(None, None, &[]),
        ]);
        let explain = |rule, position| matcher.explain(&rule, position).unwrap().to_string();
        assert_eq!(
            explain(rule("2", 9, "sshd,"), 0),
            "level 9 is below 10; the group text fits; the rule id is not listed"
        );
        assert_eq!(
            explain(rule("1", 0, ""), 1),
            "a rule of level 0 has no responses"
        );
        assert_eq!(
            explain(rule("1", 1, ""), 1),
            "neither level nor group nor rule id is set"
        );
        assert_eq!(matcher.explain(&rule("1", 1, ""), 2), None);
    }

    fn any_condition() -> impl Strategy<Value = Condition> {
        (
            prop::option::of(0..=20_u8),
            prop::option::of(prop::sample::select(vec!["a", "b,", "^a", "A|c", "\\w+,b"])),
            prop::collection::vec(prop::sample::select(vec!["1", "2", "3"]), 0..3),
            prop::sample::select(vec![Logic::Wazuh, Logic::Ossec]),
        )
            .prop_map(|(level, group, ids, logic)| Condition {
                logic,
                ..condition(level, group, &ids)
            })
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        (
            prop::sample::select(vec!["1", "2", "3", "4"]),
            0..=20_u8,
            "([abcd],){0,3}",
        )
            .prop_map(|(id, level, groups)| rule(id, level, &groups))
    }

    proptest! {
        #[test]
        fn index_and_memo_answer_as_a_plain_scan_does(
            conditions in prop::collection::vec(any_condition(), 0..20),
            rules in prop::collection::vec(any_rule(), 1..10),
            order in prop::collection::vec(any::<prop::sample::Index>(), 20),
        ) {
            let mut matcher = Matcher::new(conditions.clone());
            for index in order {
                let rule = index.get(&rules);
                let scan: Vec<usize> = (0..conditions.len())
                    .filter(|&position| naive(&conditions[position], rule))
                    .collect();
                prop_assert_eq!(&*matcher.matches(rule), &*scan);
                let explained: Vec<usize> = (0..conditions.len())
                    .filter(|&position| matcher.explain(rule, position).unwrap().holds())
                    .collect();
                prop_assert_eq!(explained, scan);
            }
        }
    }

    /// Rule_AddAR of either, condition by condition.
    fn naive(condition: &Condition, rule: &Rule) -> bool {
        if rule.level.number() == 0 {
            return false;
        }
        let level_is_set = condition.level.is_some_and(|level| level.number() > 0);
        let level = condition.level.is_some_and(|level| rule.level >= level);
        let group = condition
            .group
            .as_ref()
            .is_some_and(|group| group.is_match(rule.group_text.as_bytes()));
        let marked = if condition.logic == Logic::Ossec {
            (level_is_set && level) || group
        } else if level_is_set && condition.group.is_some() {
            level && group
        } else if level_is_set {
            level
        } else {
            group
        };
        marked || condition.ids.contains(&rule.id)
    }
}
