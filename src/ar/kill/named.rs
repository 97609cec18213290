//! Whether a process is the one that an alert speaks of. Its number may have
//! been given out again between the event and now.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::ar::Job;
use crate::clock::{self, Wall};
use crate::contract::field;
use crate::contract::json::Value;
use crate::model::bundled::TargetKind;
use crate::model::target::Process;
use crate::sys::kill::{Exe, Held};

/// How far two writings of the same start may be apart: one may be cut to the
/// second, and the kernel counts in ticks of 10 ms.
const SAME: Duration = Duration::from_millis(1_100);

/// How far the clock of whoever judged the event may be behind ours, or the
/// event be stamped before the process that led to it was seen.
const SLACK: Duration = Duration::from_secs(2);

/// An epoch with more is one of milliseconds: as seconds it would lie beyond
/// the year 5000.
const SECONDS_LIMIT: f64 = 1e11;

/// What an alert says of a process besides its number. The fields stand beside
/// the one with the number.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Claims {
    /// When it started: `start`.
    start: Claim<Wall>,
    /// What it runs: `executable`, or `exe` of an audit event.
    executable: Claim<String>,
    /// When the event was judged: `timestamp` of Wazuh, `@timestamp` of ECS.
    judged: Option<Wall>,
}

#[derive(Debug, Default, PartialEq)]
enum Claim<T> {
    #[default]
    None,
    Unreadable,
    Is(T),
}

/// Why a process is not ended.
#[derive(Debug)]
pub(super) enum NotIt {
    /// It is another one, or may be.
    Another(String),
    Ended,
    Unseen(io::Error),
}

impl Claims {
    pub(super) fn of(job: &Job<'_, Process>) -> Self {
        let Some(alert) = &job.alert else {
            return Self::default();
        };
        let places = TargetKind::Process.places(&job.options);
        let field = TargetKind::Process.field(&job.options);
        let named = field.and_then(|field| field::find(alert, field, &places));
        let beside = |name: &str| named.as_ref()?.around.member(name);
        let judged = ["timestamp", "@timestamp"];
        Self {
            start: Claim::read(beside("start"), moment),
            executable: Claim::read(beside("executable").or_else(|| beside("exe")), |value| {
                let path = value.as_str().filter(|path| path.starts_with('/'));
                path.map(str::to_owned)
            }),
            judged: judged
                .iter()
                .find_map(|name| moment(alert.lookup(&[name])?)),
        }
    }

    /// Whether this is the process meant. Answers what to tell where the alert
    /// says too little to be sure.
    pub(super) fn check(&self, held: &Held) -> Result<Option<String>, NotIt> {
        let exe = match (&self.executable, held.exe()) {
            (Claim::None, _) => None,
            (_, Ok(exe)) => Some(exe),
            (_, Err(_)) if held.has_ended() => return Err(NotIt::Ended),
            // A thread of the kernel, which is refused for that.
            (_, Err(why)) if why.kind() == io::ErrorKind::NotFound => None,
            (_, Err(why)) => return Err(NotIt::Unseen(why)),
        };
        self.runs(exe.as_ref()).map_err(NotIt::Another)?;
        self.began(held.started(), clock::wall())
            .map_err(NotIt::Another)
    }

    fn runs(&self, exe: Option<&Exe>) -> Result<(), String> {
        match (&self.executable, exe) {
            (Claim::None, _) => Ok(()),
            (Claim::Is(path), Some(exe)) if exe.is(Path::new(path)) => Ok(()),
            (Claim::Is(path), Some(exe)) => Err(format!(
                "it runs {}, and the alert speaks of {}",
                exe.path.display().to_string().escape_debug(),
                path.escape_debug()
            )),
            (Claim::Is(path), None) => Err(format!(
                "it runs no file, and the alert speaks of {}",
                path.escape_debug()
            )),
            (Claim::Unreadable, _) => {
                Err("what the alert says it runs is no absolute path".to_owned())
            }
        }
    }

    fn began(&self, started: Wall, now: Wall) -> Result<Option<String>, String> {
        match (&self.start, self.judged) {
            (Claim::Unreadable, _) => Err(
                "when the alert says it started is neither RFC 3339 nor seconds since 1970"
                    .to_owned(),
            ),
            (Claim::Is(said), _) => {
                let apart = said.until(started).max(started.until(*said));
                (apart <= SAME).then_some(None).ok_or_else(|| {
                    format!("it started at {started}, and the alert speaks of one that did at {said}")
                })
            }
            (Claim::None, None) => Ok(Some(
                "the alert says neither when it started nor when itself was made".to_owned(),
            )),
            // By that clock everything here would be older than the alert.
            (Claim::None, Some(judged)) if judged > now.plus(SLACK) => Ok(Some(format!(
                "the alert is of {judged}, which is still to come here"
            ))),
            (Claim::None, Some(judged)) if started > judged.plus(SLACK) => Err(format!(
                "it started at {started}, after the alert of {judged}; the number was another's then"
            )),
            (Claim::None, Some(_)) => Ok(None),
        }
        .map(|doubt| doubt.map(|doubt| format!("{} alone was trusted: {doubt}", self.trusted())))
    }

    fn trusted(&self) -> &'static str {
        match self.executable {
            Claim::Is(_) => "its number and what it runs",
            Claim::None | Claim::Unreadable => "its number",
        }
    }
}

impl<T> Claim<T> {
    fn read(value: Option<&Value<'_>>, read: impl Fn(&Value<'_>) -> Option<T>) -> Self {
        match value {
            None | Some(Value::Null) => Self::None,
            Some(value) => read(value).map_or(Self::Unreadable, Self::Is),
        }
    }
}

/// RFC 3339, or seconds or milliseconds since 1970, as a number or a text.
fn moment(value: &Value<'_>) -> Option<Wall> {
    let epoch = |number: f64| {
        let is_millis = number >= SECONDS_LIMIT;
        let millis = if is_millis { number } else { number * 1e3 };
        (number > 0.0 && millis.is_finite()).then(|| Wall::from_millis(millis as i64))
    };
    match value {
        Value::Number(number) => epoch(*number),
        value => {
            let text = value.as_str()?;
            Wall::of_alert(text).or_else(|| epoch(text.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Claims, moment};
    use crate::ar::Job;
    use crate::clock::Wall;
    use crate::contract::json::{Value, parse};
    use crate::model::bundled::{Options, find};
    use crate::model::target::Process;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn at(text: &str) -> Wall {
        Wall::of_alert(text).unwrap()
    }

    fn claims(args: &[&str], alert: &str) -> Claims {
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let row = find("kill-process").unwrap();
        Claims::of(&Job {
            target: Process::Pid(77),
            lasts: None,
            options: Options::parse(row.options, &args).unwrap(),
            alert: Some(parse(alert.as_bytes()).unwrap()),
        })
    }

    #[test]
    fn a_moment_is_written_in_many_ways() {
        let text = |text: &str| Value::String(text.as_bytes().to_vec().into());
        for value in [
            text("2026-11-20T11:00:00.000Z"),
            text("2026-11-20T12:00:00.000+0100"),
            text("1795172400"),
            Value::Number(1_795_172_400.0),
            Value::Number(1_795_172_400_000.0),
        ] {
            assert_eq!(
                moment(&value),
                Some(at("2026-11-20T11:00:00Z")),
                "{value:?}"
            );
        }
        for value in [text(""), text("soon"), text("nan"), Value::Bool(true)] {
            assert_eq!(moment(&value), None, "{value:?}");
        }
        assert_eq!(moment(&Value::Number(-5.0)), None);
    }

    #[test]
    fn claims_stand_beside_the_number() {
        let ecs = r#"{"timestamp":"2026-11-20T11:00:00Z","data":{"process":{"pid":77,
            "start":"2026-11-20T10:00:00Z","executable":"/x","parent":{"pid":78}},
            "audit":{"exe":"/y"}}}"#;
        let found = claims(&[], ecs);
        assert_eq!(found.start, Claim::Is(at("2026-11-20T10:00:00Z")));
        assert_eq!(found.executable, Claim::Is("/x".to_owned()));
        assert_eq!(found.judged, Some(at("2026-11-20T11:00:00Z")));
        // What stands elsewhere is said of another process.
        let parent = ecs.replace("78", "77").replace(r#""pid":77,"#, "");
        let found = claims(&["--field", "data.process.parent.pid"], &parent);
        assert_eq!((found.start, found.executable), (Claim::None, Claim::None));
        let audit = r#"{"data":{"audit":{"pid":"77","exe":"/y"}}}"#;
        assert_eq!(claims(&[], audit).executable, Claim::Is("/y".to_owned()));
        let bad = r#"{"data":{"process":{"pid":77,"start":"noon","executable":"sh"}}}"#;
        let found = claims(&[], bad);
        assert_eq!(found.start, Claim::Unreadable);
        assert_eq!(found.executable, Claim::Unreadable);
        assert!(found.runs(None).unwrap_err().contains("no absolute path"));
    }

    #[test]
    fn a_process_that_may_be_another_one_is_refused() {
        let started = "2026-11-20T10:00:00.990Z";
        let began = |start: Option<&str>, judged: Option<&str>| {
            let claims = Claims {
                start: start.map_or(Claim::None, |text| Claim::Is(at(text))),
                judged: judged.map(at),
                ..Claims::default()
            };
            claims.began(at(started), at(NOW))
        };
        // Cut to the second, and to the tick.
        assert_eq!(began(Some("2026-11-20T10:00:00Z"), None), Ok(None));
        assert_eq!(began(Some("2026-11-20T10:00:01.000Z"), None), Ok(None));
        for other in ["2026-11-20T09:59:59Z", "2026-11-20T10:00:03Z"] {
            let why = began(Some(other), None).unwrap_err();
            assert!(why.contains("speaks of one that did at"), "{why}");
        }
        assert_eq!(began(None, Some("2026-11-20T11:00:00Z")), Ok(None));
        assert_eq!(began(None, Some("2026-11-20T09:59:59Z")), Ok(None));
        let why = began(None, Some("2026-11-20T09:59:58Z")).unwrap_err();
        assert!(why.contains("the number was another's"), "{why}");
        for (judged, wanted) in [
            (None, "nor when itself was made"),
            (Some("2026-11-20T12:00:03Z"), "still to come"),
        ] {
            let doubt = began(None, judged).unwrap().unwrap();
            assert!(doubt.starts_with("its number alone was trusted"), "{doubt}");
            assert!(doubt.contains(wanted), "{doubt}");
        }
    }
}
