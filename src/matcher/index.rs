use std::collections::HashMap;
use std::sync::Arc;

use super::Condition;
use crate::alert::Rule;
use crate::model::os_regex::Pattern;
use crate::model::{Level, Logic, RuleId};

/// The conditions turned round: from what a rule has to who asks for it.
#[derive(Debug)]
pub(super) struct Index {
    by_id: HashMap<RuleId, Vec<usize>>,
    /// For each level of a rule, the conditions on level alone that it meets.
    by_level: Vec<Vec<usize>>,
    /// Each distinct pattern with the conditions that have it, and the least
    /// level each of them asks for besides.
    by_group: Vec<(Pattern, Vec<(Level, usize)>)>,
}

impl Index {
    pub(super) fn new(conditions: &[Condition]) -> Self {
        let mut by_id: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_level = vec![Vec::new(); usize::from(Level::MAX) + 1];
        let mut by_group: HashMap<_, Vec<_>> = HashMap::new();
        for (position, condition) in conditions.iter().enumerate() {
            for id in &condition.ids {
                by_id.entry(id.clone()).or_default().push(position);
            }
            let (least, group) = (condition.least_level(), condition.group.as_ref());
            // Without a group the level selects by itself in Wazuh, too.
            let (alone, besides) = match (condition.logic, group) {
                (Logic::Wazuh, Some(_)) => (None, least),
                (Logic::Wazuh, None) | (Logic::Ossec, _) => (least, None),
            };
            if let Some(least) = alone {
                for met in &mut by_level[usize::from(least.number())..] {
                    met.push(position);
                }
            }
            if let Some(pattern) = group {
                by_group
                    .entry(pattern.clone())
                    .or_default()
                    .push((besides.unwrap_or(Level::ZERO), position));
            }
        }
        Self {
            by_id,
            by_level,
            by_group: by_group.into_iter().collect(),
        }
    }

    pub(super) fn matches(&self, rule: &Rule) -> Arc<[usize]> {
        if rule.level == Level::ZERO {
            return Arc::default();
        }
        let mut found = self.by_level[usize::from(rule.level.number())].clone();
        found.extend(self.by_id.get(&rule.id).into_iter().flatten());
        for (pattern, conditions) in &self.by_group {
            if pattern.is_match(rule.group_text.as_bytes()) {
                let reached = conditions.iter().filter(|(least, _)| rule.level >= *least);
                found.extend(reached.map(|(_, position)| position));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into()
    }
}
