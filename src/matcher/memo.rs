use std::collections::HashMap;
use std::sync::Arc;

use crate::alert::Rule;

/// Answers kept at most. A large installation has a few thousand rules.
const MAX_ENTRIES: usize = 65_536;

/// Answers by what decides them. The texts come from alerts and may be chosen
/// to collide, hence the standard hasher; and they may be ever new, so a full
/// memo is emptied at once: with real rules that never happens, and with
/// hostile ones no entry is worth more than another.
#[derive(Debug)]
pub(super) struct Memo {
    answers: HashMap<Box<[u8]>, Arc<[usize]>>,
    /// Of keys and answers.
    bytes: usize,
    max_bytes: usize,
    /// Kept between calls so that a look-up allocates nothing.
    key: Vec<u8>,
}

impl Memo {
    /// A memo that keeps so many bytes of keys and answers at most.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            answers: HashMap::new(),
            bytes: 0,
            max_bytes,
            key: Vec::new(),
        }
    }

    pub(super) fn get_or_insert(
        &mut self,
        rule: &Rule,
        answer: impl FnOnce() -> Arc<[usize]>,
    ) -> Arc<[usize]> {
        self.key.clear();
        self.key.push(rule.level.number());
        self.key.extend_from_slice(rule.id.as_str().as_bytes());
        // An id has no control characters, so the parts cannot run together.
        self.key.push(0);
        self.key.extend_from_slice(rule.group_text.as_bytes());
        if let Some(known) = self.answers.get(self.key.as_slice()) {
            return Arc::clone(known);
        }
        let answer = answer();
        let bytes = self.key.len() + size_of_val(&*answer);
        if self.answers.len() >= MAX_ENTRIES || self.bytes + bytes > self.max_bytes {
            self.answers.clear();
            self.bytes = 0;
        }
        if bytes <= self.max_bytes {
            self.bytes += bytes;
            self.answers
                .insert(self.key.as_slice().into(), Arc::clone(&answer));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MAX_ENTRIES, Memo};
    use crate::alert::Rule;
    use crate::model::{Level, RuleId};

    const MAX_BYTES: usize = 32 << 20;

    fn rule(id: &str, level: u8, groups: &str) -> Rule {
        Rule {
            id: RuleId::parse(id).unwrap(),
            level: Level::new(level).unwrap(),
            groups: Vec::new(),
            group_text: groups.to_owned(),
        }
    }

    #[test]
    fn an_answer_is_asked_for_once_per_id_level_and_groups() {
        let mut memo = Memo::new(MAX_BYTES);
        let rules = [
            rule("1", 3, "a,"),
            rule("2", 3, "a,"),
            rule("1", 4, "a,"),
            rule("1", 3, "b,"),
            rule("1", 3, ""),
            rule("11", 3, ""),
        ];
        for (number, rule) in rules.iter().enumerate() {
            assert_eq!(*memo.get_or_insert(rule, || Arc::from([number])), [number]);
        }
        for (number, rule) in rules.iter().enumerate() {
            assert_eq!(
                *memo.get_or_insert(rule, || unreachable!("it is known")),
                [number]
            );
        }
    }

    #[test]
    fn ever_new_rules_do_not_fill_the_memory() {
        let mut memo = Memo::new(MAX_BYTES);
        for number in 0..MAX_ENTRIES + 10 {
            memo.get_or_insert(&rule(&number.to_string(), 3, ""), || Arc::from([number]));
            assert!(memo.answers.len() <= MAX_ENTRIES);
        }
        let long = "g".repeat(1 << 20);
        for number in 0..40 {
            memo.get_or_insert(&rule(&number.to_string(), 3, &long), || Arc::from([number]));
            let held: usize = memo.answers.keys().map(|key| key.len()).sum();
            assert!(held <= MAX_BYTES && memo.bytes >= held);
        }
    }
}
