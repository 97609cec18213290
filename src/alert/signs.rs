//! What a line looks like: by this its format is recognised.
//!
//! Only the names and the kinds of the outermost members count, and of three of
//! them those one step further in. What stands deeper, where the text of an
//! attacker may be an object with any names, never changes the choice; nor does
//! the order of members. Of several members with one name the first counts, as
//! it does when the line is read.

use serde::de::MapAccess;

use super::NotAnAlert;
use super::lenient::{Members, Object, Scalar, as_text, first};

/// What kind of value a member is. Of an object, what is wanted to be known.
#[derive(Debug)]
pub(super) enum Kind<T = Plain> {
    Text,
    Number,
    Object(T),
    /// A list, `true`, `false`, `null`, or a number that counts nothing.
    Other,
}

/// An object of which nothing more is wanted.
#[derive(Debug, Default)]
pub(super) struct Plain;

/// The two things that lines are.
#[derive(Debug)]
pub(super) enum Looks {
    /// A record of OSSEC's or Wazuh's `alerts.log`.
    Record,
    Object(Signs),
}

/// The members by which formats differ; `None` where there is none.
#[derive(Debug, Default)]
pub(super) struct Signs {
    pub(super) rule: Option<Kind<InRule>>,
    /// `Rule`, as some writers of Falco's events spell it.
    pub(super) capital_rule: Option<Kind>,
    pub(super) priority: Option<Kind>,
    pub(super) wazuh: Option<Kind<InWazuh>>,
    pub(super) event_type: Option<Kind>,
    pub(super) scenario: Option<Kind>,
    pub(super) scope: Option<Kind>,
    pub(super) value: Option<Kind>,
    pub(super) duration: Option<Kind>,
    pub(super) alert: Option<Kind<InAlert>>,
    /// With `component`: what OSSEC sends to syslog.
    pub(super) crit: Option<Kind>,
    pub(super) component: Option<Kind>,
}

/// Within `rule`.
#[derive(Debug, Default)]
pub(super) struct InRule {
    pub(super) sidid: Option<Kind>,
}

/// Within `wazuh`.
#[derive(Debug, Default)]
pub(super) struct InWazuh {
    pub(super) rule: Option<Kind>,
}

/// Within `alert`.
#[derive(Debug, Default)]
pub(super) struct InAlert {
    pub(super) scenario: Option<Kind>,
}

/// The beginning of a record in `alerts.log`.
pub(super) const RECORD: &[u8] = b"** Alert ";

impl Looks {
    /// Looks at one line without blanks around it.
    ///
    /// # Errors
    /// Why it can be of no format at all.
    pub(super) fn of(line: &[u8]) -> Result<Self, NotAnAlert> {
        if line.is_empty() {
            return Err(NotAnAlert::Empty);
        }
        if line.starts_with(RECORD) {
            return Ok(Self::Record);
        }
        let text = as_text(line);
        let Object(signs) =
            serde_json::from_str::<Object<Signs>>(&text).map_err(|_| NotAnAlert::NotJson)?;
        signs.map(Self::Object).ok_or(NotAnAlert::NotAnObject)
    }

    /// What begins as Wazuh 4.x writes it is told by its rule alone: members that
    /// come later are not looked at for each line.
    pub(super) fn forget_all_but_rule(&mut self) {
        if let Self::Object(signs) = self {
            *signs = Signs {
                rule: signs.rule.take(),
                ..Signs::default()
            };
        }
    }

    /// What members there are, if it is an object.
    pub(super) fn signs(&self) -> Option<&Signs> {
        match self {
            Self::Record => None,
            Self::Object(signs) => Some(signs),
        }
    }
}

/// Whether a member is a text.
pub(super) fn is_text<T>(member: &Option<Kind<T>>) -> bool {
    matches!(member, Some(Kind::Text))
}

/// What is known of a member that is an object.
pub(super) fn object<T>(member: &Option<Kind<T>>) -> Option<&T> {
    match member {
        Some(Kind::Object(inner)) => Some(inner),
        Some(Kind::Text | Kind::Number | Kind::Other) | None => None,
    }
}

impl<T> From<Scalar<'_>> for Kind<T> {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Text(_) => Self::Text,
            Scalar::Number(_) => Self::Number,
            Scalar::Null | Scalar::Other => Self::Other,
        }
    }
}

impl<'de> Members<'de> for Plain {
    fn take<A: MapAccess<'de>>(&mut self, _: &str, _: &mut A) -> Result<bool, A::Error> {
        Ok(false)
    }
}

impl<'de> Members<'de> for Signs {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "rule" => first(&mut self.rule, map),
            "Rule" => first(&mut self.capital_rule, map),
            "priority" => first(&mut self.priority, map),
            "wazuh" => first(&mut self.wazuh, map),
            "event_type" => first(&mut self.event_type, map),
            "scenario" => first(&mut self.scenario, map),
            "scope" => first(&mut self.scope, map),
            "value" => first(&mut self.value, map),
            "duration" => first(&mut self.duration, map),
            "alert" => first(&mut self.alert, map),
            "crit" => first(&mut self.crit, map),
            "component" => first(&mut self.component, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for InRule {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "sidid" => first(&mut self.sidid, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for InWazuh {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "rule" => first(&mut self.rule, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for InAlert {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "scenario" => first(&mut self.scenario, map),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Looks, is_text, object};
    use crate::alert::NotAnAlert;

    #[test]
    fn only_the_outermost_members_are_signs_and_the_first_of_a_name_counts() {
        let line = br#"{"data":{"rule":{"sidid":1},"event_type":"alert"},"ev\u0065nt_type":"x",
            "event_type":7,"rule":{"x":{"sidid":1},"sidid":[]},"wazuh":"rule"}"#;
        let looks = Looks::of(line).unwrap();
        let signs = looks.signs().unwrap();
        assert!(is_text(&signs.event_type));
        assert!(object(&signs.rule).unwrap().sidid.is_some());
        assert!(object(&signs.wazuh).is_none());
        assert!(signs.wazuh.is_some() && signs.priority.is_none());
    }

    #[test]
    fn what_can_have_no_format_says_why() {
        for (line, why) in [
            ("", NotAnAlert::Empty),
            ("{", NotAnAlert::NotJson),
            ("Alert 1", NotAnAlert::NotJson),
            ("7", NotAnAlert::NotAnObject),
            ("[]", NotAnAlert::NotAnObject),
        ] {
            assert_eq!(Looks::of(line.as_bytes()).unwrap_err(), why, "{line}");
        }
        let record = Looks::of(b"** Alert 1.2: - a,").unwrap();
        assert!(record.signs().is_none());
    }
}
