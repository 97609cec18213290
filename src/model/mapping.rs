//! Where in alerts of one's own making the things stand that an alert needs.

use super::{FieldMap, FieldPath, GroupName, Level, RuleId};

/// The least an alert has is the id of a rule and a level; what has no path is
/// in no alert.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    pub rule_id: Mapped<RuleId>,
    pub level: Mapped<Level>,
    /// What the words for a level mean; without it levels are numbers.
    pub levels: Option<Levels>,
    /// Groups that every alert has.
    pub groups: Vec<GroupName>,
    /// Where further ones stand, all of them.
    pub more_groups: Vec<FieldPath>,
    pub agent_id: Vec<FieldPath>,
    pub agent_name: Vec<FieldPath>,
    pub id: Vec<FieldPath>,
    pub timestamp: Vec<FieldPath>,
    pub span: Vec<FieldPath>,
    /// Where that stands which is acted upon.
    pub fields: FieldMap,
}

/// Where something stands, or what it always is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mapped<T> {
    Always(T),
    /// The first of these where there is anything decides.
    At(Vec<FieldPath>),
}

/// The highest level that a pipeline can give: that of the gravest rules.
pub const MAX_LEVEL: u8 = 16;

/// A table of words and levels.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Levels {
    rows: Vec<(String, Level)>,
    /// For any word that has no row.
    other: Option<Level>,
}

impl Levels {
    /// The word for all words without a row.
    pub const OTHER: &'static str = "other";

    /// Adds a row, unless there is one for that word: `false`.
    pub fn add(&mut self, word: &str, level: Level) -> bool {
        if word.eq_ignore_ascii_case(Self::OTHER) {
            let is_new = self.other.is_none();
            self.other.get_or_insert(level);
            return is_new;
        }
        let is_new = self.row(word).is_none();
        if is_new {
            self.rows.push((word.to_owned(), level));
        }
        is_new
    }

    /// What a word means, in any case; `None` if nothing is said of it.
    pub fn level(&self, word: &str) -> Option<Level> {
        self.row(word).or(self.other)
    }

    fn row(&self, word: &str) -> Option<Level> {
        let mut rows = self.rows.iter();
        let row = rows.find(|(known, _)| known.eq_ignore_ascii_case(word));
        row.map(|(_, level)| *level)
    }
}

#[cfg(test)]
mod tests {
    use super::Levels;
    use crate::model::Level;

    #[test]
    fn a_table_knows_its_words_in_any_case_and_all_others_only_if_it_says_so() {
        let level = |number| Level::new(number).unwrap();
        let mut levels = Levels::default();
        assert!(levels.add("low", level(3)));
        assert!(levels.add("2", level(12)));
        assert!(!levels.add("LOW", level(4)));
        for (word, wanted) in [("Low", Some(3)), ("2", Some(12)), ("3", None), ("", None)] {
            assert_eq!(levels.level(word), wanted.map(level), "{word}");
        }
        assert!(levels.add("Other", level(5)));
        assert!(!levels.add("other", level(6)));
        assert_eq!(levels.level("3"), Some(level(5)));
        assert_eq!(levels.level("low"), Some(level(3)));
    }
}
