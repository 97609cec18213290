//! The groups of a rule, made of what other pipelines say of it. A comma ends a
//! group and `|` parts alternatives in `rules_group`, so neither is ever within
//! one: a text from outside cannot make itself a second group.

use crate::alert::{Rule, shown};
use crate::model::{Level, RuleId};

#[derive(Debug, Default)]
pub(super) struct Groups(Vec<String>);

impl Groups {
    /// The name of the pipeline is the first group.
    pub(super) fn of(pipeline: &str) -> Self {
        Self(vec![pipeline.to_owned()])
    }

    /// Adds a text for people, as words: small letters and digits, and one `_`
    /// for whatever stands between (`A Network Trojan was detected`:
    /// `a_network_trojan_was_detected`).
    pub(super) fn push_words(&mut self, text: &str) {
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        if !words.is_empty() {
            self.0.push(words.join("_"));
        }
    }

    /// Adds a label as it is, with `_` for what cannot stand in a group.
    pub(super) fn push_label(&mut self, text: &str) {
        let parts: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control() || c == ',' || c == '|')
            .filter(|part| !part.is_empty())
            .collect();
        if !parts.is_empty() {
            self.0.push(parts.join("_"));
        }
    }

    /// The rule that has these groups.
    pub(super) fn into_rule(self, id: RuleId, level: Level) -> Rule {
        let mut group_text = String::new();
        for group in &self.0 {
            group_text.push_str(group);
            group_text.push(',');
        }
        Rule {
            id,
            level,
            groups: shown(self.0.iter().map(String::as_str)),
            group_text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Groups;
    use crate::model::{Level, RuleId};

    #[test]
    fn words_and_labels_are_groups_and_never_two() {
        let mut groups = Groups::of("suricata");
        for text in [
            "A Network Trojan was detected",
            "CVE_2021-44228",
            " Ünder, ATTACK|x ",
            " - ",
            "",
        ] {
            groups.push_words(text);
        }
        for text in ["PCI_DSS_10.2.5", "T1059", "a,sshd|b c\u{7}", " ", ""] {
            groups.push_label(text);
        }
        let id = RuleId::parse("1").unwrap();
        let rule = groups.into_rule(id, Level::ZERO);
        let wanted = "suricata,a_network_trojan_was_detected,cve_2021_44228,ünder_attack_x,\
                      PCI_DSS_10.2.5,T1059,a_sshd_b_c,";
        assert_eq!(rule.group_text, wanted);
        let shown: Vec<_> = rule.groups.iter().map(|group| group.as_str()).collect();
        assert_eq!(format!("{},", shown.join(",")), wanted);
    }
}
