//! Alerts and decisions of CrowdSec (the models of its local API): an alert as
//! `cscli alerts list -o json` and the plugins `http` and `file` write it, the
//! latter within an object of its own, and a decision as the API lists it. Each
//! decision of an alert is an answer of its own, for as long as it is to last.

use std::sync::Arc;
use std::time::Duration;

use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::groups::Groups;
use super::object::{is_named, label, members};
use super::span;
use crate::alert::lenient::{Members, Object, Scalar, first};
use crate::alert::signs::{Looks, is_text, object};
use crate::alert::{Alert, Alerts, NotAnAlert, Origin};
use crate::model::{Field, FieldMap, FieldPath, Level, RuleId};

/// An alert that is longer is not handed on with each of its decisions, of which
/// it may have thousands: the decision is, which is all an executable needs, and
/// which fits what an executable takes.
const MAX_CONTEXT: usize = 32_768;

/// An alert says by which scenario, and so does a decision, which also says how
/// long for whom. The plugin `file` puts an alert into `alert`.
pub(in crate::alert) fn recognise(looks: &Looks) -> bool {
    looks.signs().is_some_and(|signs| {
        let is_alert = is_text(&signs.scenario);
        let is_decision =
            is_text(&signs.scope) && is_text(&signs.value) && is_text(&signs.duration);
        let is_wrapped = object(&signs.alert).is_some_and(|alert| is_text(&alert.scenario));
        let is_others = object(&signs.rule).is_some()
            || object(&signs.wazuh).is_some()
            || is_text(&signs.event_type)
            || is_text(&signs.priority);
        (is_alert || is_decision || is_wrapped) && !is_others
    })
}

/// Reads one object. CrowdSec writes nothing but UTF-8.
pub(in crate::alert) fn parse(body: &[u8]) -> Alerts<'_> {
    let text = str::from_utf8(body).map_err(|_| NotAnAlert::NotJson);
    match text.and_then(|text| Ok((text, members::<Line<'_>>(text)?))) {
        Ok((text, line)) => line.read(text),
        Err(why) => vec![Err(why)],
    }
}

/// The members of an alert, and of a decision that stands alone.
#[derive(Default)]
struct Line<'a> {
    wrapped: Option<&'a RawValue>,
    scenario: Option<Scalar<'a>>,
    source: Option<Object<Source<'a>>>,
    decisions: Option<&'a RawValue>,
    simulated: Option<&'a RawValue>,
    uuid: Option<Scalar<'a>>,
    id: Option<Scalar<'a>>,
    created_at: Option<Scalar<'a>>,
    stop_at: Option<Scalar<'a>>,
    value: Option<Scalar<'a>>,
}

/// Whom an alert is about.
#[derive(Default)]
struct Source<'a> {
    scope: Option<Scalar<'a>>,
    value: Option<Scalar<'a>>,
}

#[derive(Default)]
struct Decision<'a> {
    scope: Option<Scalar<'a>>,
    kind: Option<Scalar<'a>>,
    origin: Option<Scalar<'a>>,
    duration: Option<Scalar<'a>>,
    simulated: Option<&'a RawValue>,
}

impl<'de> Members<'de> for Line<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            _ if is_named(name, "alert") => first(&mut self.wrapped, map),
            _ if is_named(name, "scenario") => first(&mut self.scenario, map),
            _ if is_named(name, "source") => first(&mut self.source, map),
            _ if is_named(name, "decisions") => first(&mut self.decisions, map),
            _ if is_named(name, "simulated") => first(&mut self.simulated, map),
            _ if is_named(name, "uuid") => first(&mut self.uuid, map),
            _ if is_named(name, "id") => first(&mut self.id, map),
            _ if is_named(name, "created_at") => first(&mut self.created_at, map),
            _ if is_named(name, "stop_at") => first(&mut self.stop_at, map),
            _ if is_named(name, "value") => first(&mut self.value, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for Source<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            _ if is_named(name, "scope") => first(&mut self.scope, map),
            _ if is_named(name, "value") => first(&mut self.value, map),
            _ => Ok(false),
        }
    }
}

impl<'de> Members<'de> for Decision<'de> {
    fn take<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            _ if is_named(name, "scope") => first(&mut self.scope, map),
            _ if is_named(name, "type") => first(&mut self.kind, map),
            _ if is_named(name, "origin") => first(&mut self.origin, map),
            _ if is_named(name, "duration") => first(&mut self.duration, map),
            _ if is_named(name, "simulated") => first(&mut self.simulated, map),
            _ => Ok(false),
        }
    }
}

/// What the answers of one alert have in common.
struct Shared {
    scenario: RuleId,
    id: Option<String>,
    timestamp: Option<String>,
    is_simulated: bool,
}

/// One answer, but for what it shares with others.
struct Judged<'a> {
    body: &'a str,
    /// Where in the body the target is named.
    path: String,
    decision: Decision<'a>,
    level: u8,
    span: Option<Duration>,
}

impl<'a> Line<'a> {
    fn read(self, text: &'a str) -> Alerts<'a> {
        if let (None, Some(alert)) = (&self.scenario, self.wrapped) {
            // Not a second time: within it nothing is looked for that is wrapped.
            return match members::<Self>(alert.get()) {
                Ok(line) => line.read_plain(alert.get()),
                Err(why) => vec![Err(why)],
            };
        }
        self.read_plain(text)
    }

    fn read_plain(mut self, text: &'a str) -> Alerts<'a> {
        let shared = match self.shared() {
            Ok(shared) => shared,
            Err(why) => return vec![Err(why)],
        };
        let is_decision = self.value.is_some() && self.source.is_none() && self.decisions.is_none();
        if is_decision {
            return vec![decided(text, text, "value".to_owned(), &shared)];
        }
        let decisions = self.decisions.map_or("null", RawValue::get);
        let decisions: Vec<&RawValue> = serde_json::from_str(decisions).unwrap_or_default();
        if decisions.is_empty() {
            let source = self.source.and_then(|source| source.0).unwrap_or_default();
            return vec![undecided(text, source, &shared)];
        }
        let one = |(number, decision): (usize, &&'a RawValue)| {
            let decision = decision.get();
            if text.len() > MAX_CONTEXT {
                decided(decision, decision, "value".to_owned(), &shared)
            } else {
                let path = format!("decisions.{number}.value");
                decided(text, decision, path, &shared)
            }
        };
        decisions.iter().enumerate().map(one).collect()
    }

    fn shared(&mut self) -> Result<Shared, NotAnAlert> {
        let scenario = match self.scenario.take() {
            None | Some(Scalar::Null) => return Err(NotAnAlert::NoRuleId),
            Some(scenario) => scenario
                .into_text()
                .and_then(|scenario| RuleId::parse(&scenario).ok())
                .ok_or(NotAnAlert::InvalidRuleId)?,
        };
        // An alert that is not stored yet has the number 0.
        let number = self.id.take().filter(|id| !matches!(id, Scalar::Number(0)));
        let stamps = [self.created_at.take(), self.stop_at.take()];
        Ok(Shared {
            scenario,
            id: [self.uuid.take(), number]
                .into_iter()
                .flatten()
                .find_map(label),
            timestamp: stamps.into_iter().flatten().find_map(label),
            is_simulated: is_set(self.simulated),
        })
    }
}

/// Whether it is anything but a plain no: what is doubtful does not act.
fn is_set(flag: Option<&RawValue>) -> bool {
    flag.is_some_and(|flag| !matches!(flag.get(), "false" | "null"))
}

/// What a decision asks for. It says itself for how long.
fn decided<'a>(
    body: &'a str,
    decision: &'a str,
    path: String,
    shared: &Shared,
) -> Result<Alert<'a>, NotAnAlert> {
    let mut decision: Decision<'_> = members(decision)?;
    let span = match decision.duration.take() {
        None | Some(Scalar::Null) => None,
        Some(Scalar::Text(text)) => Some(span::parse(&text).ok_or(NotAnAlert::InvalidSpan)?),
        Some(Scalar::Number(_) | Scalar::Other) => return Err(NotAnAlert::InvalidSpan),
    };
    Ok(alert(
        Judged {
            body,
            path,
            level: level(decision.kind.as_ref()),
            decision,
            span,
        },
        shared,
    ))
}

/// A scenario has fired, and nobody has decided anything.
fn undecided<'a>(
    body: &'a str,
    source: Source<'a>,
    shared: &Shared,
) -> Result<Alert<'a>, NotAnAlert> {
    Ok(alert(
        Judged {
            body,
            path: "source.value".to_owned(),
            decision: Decision {
                scope: source.scope,
                ..Decision::default()
            },
            level: 5,
            span: None,
        },
        shared,
    ))
}

/// There is no severity. What lets somebody pass asks for no response.
fn level(kind: Option<&Scalar<'_>>) -> u8 {
    let Some(Scalar::Text(kind)) = kind else {
        return 5;
    };
    match kind.to_ascii_lowercase().as_str() {
        "" => 5,
        "ban" => 10,
        "allow" | "bypass" | "whitelist" => 0,
        _ => 7,
    }
}

fn alert<'a>(judged: Judged<'a>, shared: &Shared) -> Alert<'a> {
    let Judged { decision, .. } = judged;
    let mut groups = Groups::of("crowdsec");
    let scope = decision
        .scope
        .and_then(Scalar::into_text)
        .unwrap_or_default();
    if let Some(kind) = decision.kind.and_then(Scalar::into_text) {
        groups.push_words(&kind);
    }
    groups.push_words(&scope);
    if let Some(origin) = decision.origin.and_then(Scalar::into_text) {
        groups.push_label(&origin);
    }
    let is_simulated = shared.is_simulated || is_set(decision.simulated);
    let level = if is_simulated {
        groups.push_words("simulated");
        Level::ZERO
    } else {
        Level::new(judged.level).expect("it is no more than 20")
    };
    Alert {
        rule: groups.into_rule(shared.scenario.clone(), level),
        // Machines are those of CrowdSec, under names that it makes up.
        origin: Origin::Absent,
        id: shared.id.clone(),
        timestamp: shared.timestamp.clone(),
        body: judged.body.as_bytes().into(),
        fields: fields(&scope, &judged.path),
        span: judged.span,
    }
}

/// A country, a number of a network or a scope of somebody's own is nothing to
/// act upon, although there may be an address beside it: that is one of many.
fn fields(scope: &str, path: &str) -> Option<Arc<FieldMap>> {
    let field = match scope.to_ascii_lowercase().as_str() {
        "ip" | "range" => Field::Srcip,
        "user" | "username" => Field::User,
        _ => return None,
    };
    let path = FieldPath::parse(path).expect("numbers and names make a path");
    let mut fields = FieldMap::default();
    fields.push(field, path);
    Some(Arc::new(fields))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_CONTEXT, parse};
    use crate::alert::{Alert, NotAnAlert};
    use crate::model::Field;

    fn one(line: &str) -> Result<Alert<'_>, NotAnAlert> {
        let [answer] = <[_; 1]>::try_from(parse(line.as_bytes())).unwrap();
        answer
    }

    fn path(alert: &Alert<'_>, field: Field) -> Option<String> {
        let paths = alert.fields.as_ref()?.paths(field)?;
        assert_eq!(paths.len(), 1);
        Some(paths[0].to_string())
    }

    fn decision(members: &str) -> String {
        format!(r#"{{"scenario":"crowdsecurity/ssh-bf","value":"192.0.2.1",{members}}}"#)
    }

    #[test]
    fn a_decision_has_the_level_of_its_type_and_groups_that_say_which() {
        for (members, level, groups) in [
            (
                r#""type":"ban","scope":"Ip","origin":"CAPI""#,
                10,
                "crowdsec,ban,ip,CAPI,",
            ),
            (r#""type":"BAN""#, 10, "crowdsec,ban,"),
            (
                r#""type":"captcha","origin":"cscli""#,
                7,
                "crowdsec,captcha,cscli,",
            ),
            (r#""type":"throttle""#, 7, "crowdsec,throttle,"),
            (r#""type":"allow""#, 0, "crowdsec,allow,"),
            (r#""type":7"#, 5, "crowdsec,7,"),
            (r#""scope":"Range""#, 5, "crowdsec,range,"),
            (
                r#""type":"ban","simulated":true"#,
                0,
                "crowdsec,ban,simulated,",
            ),
            (
                r#""type":"ban","simulated":"x""#,
                0,
                "crowdsec,ban,simulated,",
            ),
            (r#""type":"ban","simulated":null"#, 10, "crowdsec,ban,"),
            (
                r#""type":"a,sshd","origin":"b,sshd|c""#,
                7,
                "crowdsec,a_sshd,b_sshd_c,",
            ),
        ] {
            let line = decision(members);
            let alert = one(&line).unwrap();
            assert_eq!(alert.rule.level.number(), level, "{members}");
            assert_eq!(alert.rule.group_text, groups, "{members}");
            assert_eq!(alert.rule.id.as_str(), "crowdsecurity/ssh-bf");
        }
    }

    #[test]
    fn only_an_address_a_network_or_a_user_is_a_target() {
        for (scope, wanted) in [
            (r#""Ip""#, Some(Field::Srcip)),
            (r#""ip""#, Some(Field::Srcip)),
            (r#""RANGE""#, Some(Field::Srcip)),
            (r#""username""#, Some(Field::User)),
            (r#""Country""#, None),
            (r#""AS""#, None),
            (r#""""#, None),
            ("null", None),
            ("7", None),
        ] {
            let line = decision(&format!(r#""scope":{scope}"#));
            let alert = one(&line).unwrap();
            let found = Field::ALL
                .into_iter()
                .find(|field| path(&alert, *field).is_some());
            assert_eq!(found, wanted, "{scope}");
        }
    }

    #[test]
    fn a_decision_says_how_long_and_one_that_is_over_is_over() {
        for (duration, wanted) in [
            (
                r#""3h59m58.5s""#,
                Ok(Some(Duration::from_millis(14_398_500))),
            ),
            (r#""-2m3s""#, Ok(Some(Duration::ZERO))),
            ("null", Ok(None)),
            (r#""soon""#, Err(NotAnAlert::InvalidSpan)),
            ("[]", Err(NotAnAlert::InvalidSpan)),
            ("240", Err(NotAnAlert::InvalidSpan)),
        ] {
            let line = decision(&format!(r#""duration":{duration}"#));
            let found = one(&line).map(|alert| alert.span);
            assert_eq!(found, wanted, "{duration}");
        }
    }

    #[test]
    fn each_decision_of_an_alert_is_an_answer_that_leads_to_its_own_value() {
        let line = r#"{"id":9,"uuid":"u-1","scenario":"a/b","source":{"scope":"Ip","value":"192.0.2.9"},
            "DECISIONS":[{"scope":"Ip","value":"192.0.2.1","type":"ban","duration":"1h"},7,
            {"scope":"Country","value":"XY","type":"captcha"}],"decisions":[]}"#;
        let answers = parse(line.as_bytes());
        assert_eq!(answers.len(), 3);
        let first = answers[0].as_ref().unwrap();
        assert_eq!(path(first, Field::Srcip).unwrap(), "decisions.0.value");
        assert_eq!(first.span, Some(Duration::from_secs(3_600)));
        assert_eq!(*first.body, *line.as_bytes());
        assert_eq!(answers[1], Err(NotAnAlert::NotAnObject));
        let last = answers[2].as_ref().unwrap();
        assert_eq!((last.rule.level.number(), last.span), (7, None));
        assert_eq!(
            (path(last, Field::Srcip), path(last, Field::User)),
            (None, None)
        );
        assert_eq!(last.id.as_deref(), Some("u-1"));
    }

    #[test]
    fn an_alert_without_a_decision_names_its_source() {
        for decisions in ["null", "[]", "{}", r#""x""#] {
            let line = format!(
                r#"{{"id":0,"scenario":"a/b","decisions":{decisions},"created_at":"",
                "stop_at":"2026-11-20T10:00:00Z","source":{{"scope":"Range","value":"192.0.2.0/24"}}}}"#
            );
            let alert = one(&line).unwrap();
            assert_eq!(alert.rule.level.number(), 5);
            assert_eq!(alert.rule.group_text, "crowdsec,range,");
            assert_eq!(path(&alert, Field::Srcip).unwrap(), "source.value");
            assert_eq!((alert.id, alert.span), (None, None));
            assert_eq!(alert.timestamp.as_deref(), Some("2026-11-20T10:00:00Z"));
        }
    }

    #[test]
    fn a_simulated_alert_has_no_decision_that_acts() {
        let line = r#"{"scenario":"a/b","simulated":true,
            "decisions":[{"scope":"Ip","value":"192.0.2.1","type":"ban","simulated":false}]}"#;
        let alert = one(line).unwrap();
        assert_eq!(alert.rule.level.number(), 0);
        assert_eq!(alert.rule.group_text, "crowdsec,ban,ip,simulated,");
    }

    #[test]
    fn the_alert_of_the_plugin_is_the_one_within_it() {
        let inner = r#"{"scenario":"a/b","source":{"scope":"Ip","value":"192.0.2.1"}}"#;
        let line = format!(r#"{{"time":"t","program":"crowdsec","alert": {inner} }}"#);
        let alert = one(&line).unwrap();
        assert_eq!(*alert.body, *inner.as_bytes());
        assert_eq!(path(&alert, Field::Srcip).unwrap(), "source.value");
        for (line, why) in [
            (
                r#"{"alert":{"alert":{"scenario":"a/b"}}}"#,
                NotAnAlert::NoRuleId,
            ),
            (r#"{"alert":7}"#, NotAnAlert::NotAnObject),
            (r#"{"alert":{"scenario":[]}}"#, NotAnAlert::InvalidRuleId),
        ] {
            assert_eq!(one(line).unwrap_err(), why, "{line}");
        }
    }

    /// What is handed on with each of very many decisions must not be all of them.
    #[test]
    fn a_long_alert_gives_each_decision_alone() {
        let item = r#"{"scope":"Ip","value":"192.0.2.1","type":"ban","duration":"4h"}"#;
        let items = vec![item; 1_000].join(",");
        let line = format!(r#"{{"scenario":"a/b","decisions":[{items}]}}"#);
        assert!(line.len() > MAX_CONTEXT);
        let answers = parse(line.as_bytes());
        assert_eq!(answers.len(), 1_000);
        for answer in answers {
            let alert = answer.unwrap();
            assert_eq!(*alert.body, *item.as_bytes());
            assert_eq!(path(&alert, Field::Srcip).unwrap(), "value");
            assert_eq!(alert.rule.id.as_str(), "a/b");
        }
    }

    #[test]
    fn what_is_no_alert_says_why() {
        for (line, why) in [
            ("{", NotAnAlert::NotJson),
            ("[]", NotAnAlert::NotAnObject),
            ("{}", NotAnAlert::NoRuleId),
            (r#"{"scenario":""}"#, NotAnAlert::InvalidRuleId),
        ] {
            assert_eq!(one(line).unwrap_err(), why, "{line}");
        }
        assert_eq!(
            parse(b"{\"scenario\":\"a/b\",\"message\":\"\xff\"}"),
            [Err(NotAnAlert::NotJson)]
        );
    }
}
