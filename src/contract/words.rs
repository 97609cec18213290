//! The words behind the name of a script, as OSSEC and Wazuh before 4.2 gave
//! them (ossec-hids os_execd/execd.c; wazuh 4.1 analysisd/alerts/exec.c):
//! `add|delete USER IP TIME.ID RULEID LOCATION FILENAME`, and behind them what
//! `<extra_args>` says. `-` stands for what there is not, and for what the
//! command does not expect.
//!
//! Each value is one word, whatever is in it. OSSEC split at every blank, also
//! within a location and a file name, and put a backslash before what a shell
//! would heed in a file name; nothing here is split, so nothing is escaped.
//!
//! A value from an alert that begins with `-` is never passed on: a script that
//! hands it to a tool would have the tool take it for an option.

use super::field;
use super::json::{InvalidJson, Value, parse};
use super::target::shown;
use crate::model::action::{Want, Wanted};
use crate::model::target::HostName;
use crate::model::{Action, Field, FieldMap, FieldPath, Keys, Mode, Places, Target};

/// What stands for nothing.
const NONE: &str = "-";

/// What OSSEC's agent_control says in place of the alert and of the rule where a
/// person asked (ossec-hids util/agent_control.c).
const BY_HAND: [&str; 2] = ["(from_the_server)", "(no_rule_id)"];

/// `dstuser` before `srcuser`, as OSSEC 4.3 (analysisd/analysisd_stages.c); where
/// Wazuh has them, then where OSSEC's own JSON has them.
static USER: [FieldPath; 4] = [
    FieldPath::known("data.dstuser"),
    FieldPath::known("dstuser"),
    FieldPath::known("data.srcuser"),
    FieldPath::known("srcuser"),
];

static SRCIP: [FieldPath; 2] = [FieldPath::known("data.srcip"), FieldPath::known("srcip")];

static FILENAME: [FieldPath; 2] = [
    FieldPath::known("syscheck.path"),
    FieldPath::known("SyscheckFile.path"),
];

/// The longest of each, in bytes.
const MAX_NAME: usize = 256;
const MAX_FILENAME: usize = 4_094;
const MAX_LOCATION: usize = 1_024;
const MAX_ID: usize = 64;

/// Host names that mean this host wherever they are looked up.
const THIS_HOST: [&str; 3] = ["localhost", "ip6-localhost", "ip6-loopback"];

/// Why a script gets no words, and so does not run.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoWords {
    #[error("has no {what}, which the command expects: no text in {}", .fields.join(", "))]
    Missing {
        what: &'static str,
        /// Where it was looked for.
        fields: Vec<String>,
    },
    /// OSSEC's errors 1271 and 1272, "possible logging attack".
    #[error("has in {field} what {why}: \"{text}\"")]
    Unfit {
        /// The field, as a path with dots.
        field: String,
        /// Its text, escaped and cut.
        text: String,
        why: Unfit,
    },
    #[error(transparent)]
    Malformed(InvalidJson),
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    #[error("is no user name that a script may be given")]
    User,
    #[error("is no address and no host name that a script may be given")]
    Srcip,
    #[error("is no file name that a script may be given")]
    Filename,
}

/// The words of one action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Words {
    user: Option<String>,
    srcip: Option<String>,
    alert: String,
    rule: String,
    location: String,
    filename: Option<String>,
    extra: Vec<String>,
}

impl Words {
    /// `alert` is the alert's own JSON object.
    pub fn new(action: &Action, wanted: Wanted, alert: &[u8]) -> Result<Self, NoWords> {
        let alert = parse(alert).map_err(NoWords::Malformed)?;
        let fields = action.fields.as_deref();
        let (by_alert, by_rule) = match &action.rule {
            Some(rule) => (
                action.alert.as_deref().map_or(NONE, id),
                id(rule.id.as_str()),
            ),
            None => (BY_HAND[0], BY_HAND[1]),
        };
        Ok(Self {
            user: Kind::USER.word(wanted.user, &alert, fields)?,
            srcip: Kind::SRCIP.word(wanted.srcip, &alert, fields)?,
            filename: Kind::FILENAME.word(wanted.filename, &alert, fields)?,
            alert: by_alert.to_owned(),
            rule: by_rule.to_owned(),
            location: match action.rule {
                Some(_) => location(&alert),
                None => NONE.into(),
            },
            extra: action.extra_args.clone(),
        })
    }

    /// What stands behind the name of the script.
    pub fn arguments(&self, mode: Mode) -> Vec<&str> {
        let command = match mode {
            Mode::Add => "add",
            Mode::Delete => "delete",
        };
        fn or_none(word: &Option<String>) -> &str {
            word.as_deref().unwrap_or(NONE)
        }
        let mut words = vec![
            command,
            or_none(&self.user),
            or_none(&self.srcip),
            &self.alert,
            &self.rule,
            &self.location,
            or_none(&self.filename),
        ];
        words.extend(self.extra.iter().map(String::as_str));
        words
    }

    /// What names the target: the address, else the user, else the file. OSSEC
    /// knows the address only and takes the accounts of two users for one. Where
    /// the script is told of none, all its runs are the same to it.
    pub fn keys(&self) -> Keys {
        let srcip = self.srcip.as_ref().map(|srcip| {
            let address = Target::parse_address(srcip);
            address.map_or_else(|_| srcip.clone(), |address| address.to_string())
        });
        let key = srcip.or_else(|| self.user.clone());
        let key = key.or_else(|| self.filename.clone());
        Keys::new(vec![key.unwrap_or_else(|| NONE.to_owned())])
            .expect("no value is longer than keys may be")
    }

    /// The address, or the name of a host, that the script is told of.
    pub fn target(&self) -> Option<Target> {
        target(self.srcip.as_ref()?)
    }
}

/// The address, or the name of a host, of which a script would be told that is
/// given what is wanted.
pub fn address(wanted: Wanted, fields: Option<&FieldMap>, alert: &[u8]) -> Option<Target> {
    let alert = parse(alert).ok()?;
    target(&Kind::SRCIP.word(wanted.srcip, &alert, fields).ok()??)
}

fn target(srcip: &str) -> Option<Target> {
    let address = Target::parse_address(srcip).ok();
    address.or_else(|| HostName::parse(srcip).map(Target::Name))
}

/// A word that comes from an alert.
struct Kind {
    field: Field,
    /// For people.
    what: &'static str,
    /// Where OSSEC and Wazuh have it.
    usual: &'static [FieldPath],
    unfit: Unfit,
    read: fn(&str) -> Option<String>,
}

impl Kind {
    const USER: Self = Self {
        field: Field::User,
        what: "user",
        usual: &USER,
        unfit: Unfit::User,
        read: read_user,
    };

    const SRCIP: Self = Self {
        field: Field::Srcip,
        what: "source address",
        usual: &SRCIP,
        unfit: Unfit::Srcip,
        read: read_srcip,
    };

    const FILENAME: Self = Self {
        field: Field::File,
        what: "file name",
        usual: &FILENAME,
        unfit: Unfit::Filename,
        read: read_filename,
    };

    /// `None` where the script is not to have it, or there is none and it can do
    /// without. What says nothing is as good as no field, which here holds for the
    /// usual ones too.
    fn word(
        &self,
        want: Want,
        alert: &Value<'_>,
        fields: Option<&FieldMap>,
    ) -> Result<Option<String>, NoWords> {
        let places = match fields.and_then(|fields| fields.paths(self.field)) {
            Some(paths) => Places::Said(paths.into()),
            None => Places::Said(self.usual.into()),
        };
        let found = field::find(alert, self.field, &places);
        let found = found.filter(|found| !found.says_nothing());
        match (want, found) {
            (Want::No, _) | (Want::Maybe, None) => Ok(None),
            (Want::Needed, None) => Err(NoWords::Missing {
                what: self.what,
                fields: places.listed(),
            }),
            (Want::Maybe | Want::Needed, Some(found)) => {
                let read = str::from_utf8(&found.text).ok().and_then(self.read);
                read.map(Some).ok_or_else(|| NoWords::Unfit {
                    field: found.path.to_string(),
                    text: shown(&found.text),
                    why: self.unfit,
                })
            }
        }
    }
}

fn text<'a>(alert: &'a Value<'_>, field: &str) -> Option<&'a [u8]> {
    let path: Vec<_> = field.split('.').collect();
    alert.lookup(&path)?.as_bytes()
}

/// A text of these characters that no tool takes for an option.
fn of_characters(text: &str, more: &str, most: usize) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    let is_good = text.len() <= most && !text.starts_with('-') && text.chars().all(fits);
    is_good.then(|| text.to_owned())
}

/// The characters of OSSEC's error 1272.
fn read_user(text: &str) -> Option<String> {
    of_characters(text, "._@?-", MAX_NAME)
}

/// The characters of OSSEC's error 1271, and no more than an address or the name
/// of a host: tools read `127.1` and `0x7f000001` as addresses too, which no
/// guard has judged then.
fn read_srcip(text: &str) -> Option<String> {
    let text = text.strip_prefix("::ffff:").unwrap_or(text);
    let text = of_characters(text, ".:_-", MAX_NAME)?;
    let is_good = Target::parse_address(&text).is_ok() || is_host_name(&text);
    is_good.then_some(text)
}

/// Whether no tool takes it for an address, and nobody for this host.
fn is_host_name(text: &str) -> bool {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let first = name.split('.').next().unwrap_or_default();
    let is_this_host = [first, last].iter().any(|part| THIS_HOST.contains(part));
    let is_name = HostName::parse(text).is_some() && !name.contains(':');
    is_name && last.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_this_host
}

fn read_filename(text: &str) -> Option<String> {
    let is_good = text.len() <= MAX_FILENAME && !text.starts_with('-') && is_quiet(text);
    is_good.then(|| text.to_owned())
}

/// No control characters: a script writes such a word into its log.
fn is_quiet(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// An id, if it looks like one.
fn id(text: &str) -> &str {
    match of_characters(text, "._:-", MAX_ID) {
        Some(_) => text,
        None => NONE,
    }
}

/// Where the event came from, as analysisd names it: for an agent
/// `(name) address->location`. Nothing acts on it, so what is not fit to be
/// passed on is left out.
fn location(alert: &Value<'_>) -> String {
    let text = |field| text(alert, field).and_then(|text| str::from_utf8(text).ok());
    let Some(place) = text("location").filter(|place| !place.is_empty()) else {
        return NONE.to_owned();
    };
    let is_agent = |id: &&str| !id.chars().all(|c| c == '0');
    let of_agent = text("agent.id").filter(is_agent);
    let location = match (of_agent, text("agent.name")) {
        (Some(_), Some(name)) if !place.starts_with('(') => {
            let address = text("agent.ip").unwrap_or("any");
            format!("({name}) {address}->{place}")
        }
        _ => place.to_owned(),
    };
    let is_short = location.len() <= MAX_LOCATION;
    match is_short && !location.starts_with('-') && is_quiet(&location) {
        true => location,
        false => NONE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{FILENAME as FILENAMES, NoWords, SRCIP as SRCIPS, USER as USERS};
    use super::{Unfit, Words};
    use crate::model::action::{Want, Wanted, sample};
    use crate::model::{Action, Field, FieldMap, FieldPath, Mode, Target};

    const USER: Wanted = Wanted {
        user: Want::Needed,
        ..Wanted::NOTHING
    };
    const SRCIP: Wanted = Wanted {
        srcip: Want::Needed,
        ..Wanted::NOTHING
    };
    const FILENAME: Wanted = Wanted {
        filename: Want::Needed,
        ..Wanted::NOTHING
    };

    fn action() -> Action {
        sample::action(1, "x.sh", Some(600))
    }

    fn words(wanted: Wanted, alert: &str) -> Result<Words, NoWords> {
        Words::new(&action(), wanted, alert.as_bytes())
    }

    fn line(wanted: Wanted, alert: &str) -> Vec<String> {
        let words = words(wanted, alert).unwrap();
        let words = words.arguments(Mode::Add).into_iter();
        words.map(str::to_owned).collect()
    }

    const ALERT: &str = r#"{"agent":{"id":"007","name":"web-7","ip":"198.51.100.7"},"data":{"srcip":"203.0.113.9","dstuser":"alice","srcuser":"bob"},"syscheck":{"path":"/tmp/a b;$(id)"},"location":"/var/log/auth log"}"#;

    #[test]
    fn the_words_stand_in_ossecs_order_and_each_value_is_one() {
        assert_eq!(
            line(Wanted::ANYTHING, ALERT),
            [
                "add",
                "alice",
                "203.0.113.9",
                "1772600767.41231",
                "5763",
                "(web-7) 198.51.100.7->/var/log/auth log",
                "/tmp/a b;$(id)",
            ]
        );
        let delete = words(SRCIP, ALERT).unwrap();
        assert_eq!(
            delete.arguments(Mode::Delete)[..3],
            ["delete", "-", "203.0.113.9"]
        );
    }

    #[test]
    fn what_is_not_expected_is_a_dash_and_what_is_expected_must_be_there() {
        let of = |wanted| {
            let line = line(wanted, ALERT);
            [line[1].clone(), line[2].clone(), line[6].clone()]
        };
        assert_eq!(of(Wanted::NOTHING), ["-", "-", "-"]);
        assert_eq!(of(USER), ["alice", "-", "-"]);
        assert_eq!(of(SRCIP), ["-", "203.0.113.9", "-"]);
        assert_eq!(of(FILENAME), ["-", "-", "/tmp/a b;$(id)"]);
        let absent = r#"{"data":{"srcip":"-","dstuser":"","srcuser":7}}"#;
        for wanted in [USER, SRCIP, FILENAME] {
            let error = words(wanted, absent).unwrap_err();
            assert!(matches!(error, NoWords::Missing { .. }), "{error}");
        }
        assert_eq!(line(Wanted::ANYTHING, absent)[1..3], ["-", "-"]);
        assert!(words(SRCIP, "{").is_err());
    }

    #[test]
    fn extra_args_stand_behind_the_file_name() {
        let mut action = action();
        action.extra_args = vec!["--zone".to_owned(), "a;b".to_owned()];
        let words = Words::new(&action, Wanted::NOTHING, b"{}").unwrap();
        let words = words.arguments(Mode::Add);
        assert_eq!(words[5..], ["-", "-", "--zone", "a;b"]);
    }

    #[test]
    fn fields_are_looked_for_where_wazuh_and_ossec_have_them() {
        for (alert, user, srcip) in [
            (ALERT, "alice", "203.0.113.9"),
            (r#"{"data":{"srcuser":"bob","dstuser":"-"}}"#, "bob", "-"),
            (
                r#"{"dstuser":"eve","srcip":"192.0.2.1"}"#,
                "eve",
                "192.0.2.1",
            ),
            (r#"{"data":{"srcip":"::ffff:192.0.2.1"}}"#, "-", "192.0.2.1"),
        ] {
            assert_eq!(
                line(Wanted::ANYTHING, alert)[1..3],
                [user, srcip],
                "{alert}"
            );
        }
        let line = line(FILENAME, r#"{"SyscheckFile":{"path":"C:\\x y"}}"#);
        assert_eq!(line[6], "C:\\x y");
    }

    #[test]
    fn what_stands_in_the_sources_are_paths() {
        for path in USERS.iter().chain(&SRCIPS).chain(&FILENAMES) {
            assert_eq!(FieldPath::parse(path.as_str()).as_ref(), Ok(path));
        }
    }

    #[test]
    fn fields_of_an_action_are_looked_for_where_it_says() {
        let mut map = FieldMap::default();
        for (field, path) in [
            (Field::Srcip, "aws.ip"),
            (Field::Srcip, "data.srcip"),
            (Field::User, "aws.user"),
            (Field::File, "aws.files.0"),
        ] {
            map.push(field, FieldPath::parse(path).unwrap());
        }
        let mut action = action();
        action.fields = Some(map.into());
        for (aws, wanted) in [
            (
                r#"{"ip":"192.0.2.1","user":"eve","files":["/x y"]}"#,
                ["eve", "192.0.2.1", "/x y"],
            ),
            // No other field is asked for a user than is said.
            (r#"{"ip":"-","user":"-"}"#, ["-", "203.0.113.9", "-"]),
        ] {
            let alert = ALERT.replacen('{', &format!(r#"{{"aws":{aws},"#), 1);
            let words = Words::new(&action, Wanted::ANYTHING, alert.as_bytes()).unwrap();
            let words = words.arguments(Mode::Add);
            assert_eq!([words[1], words[2], words[6]], wanted, "{aws}");
        }
        let error = Words::new(&action, USER, ALERT.as_bytes()).unwrap_err();
        assert!(
            error.to_string().ends_with("no text in aws.user"),
            "{error}"
        );
        let unfit = ALERT.replacen('{', r#"{"aws":{"ip":"127.1"},"#, 1);
        let error = Words::new(&action, SRCIP, unfit.as_bytes()).unwrap_err();
        assert!(
            error.to_string().starts_with("has in aws.ip what"),
            "{error}"
        );
    }

    #[test]
    fn what_a_tool_could_take_for_something_else_is_refused() {
        let of_user = |text: &str| words(USER, &data("dstuser", text)).map(drop);
        let of_srcip = |text: &str| words(SRCIP, &data("srcip", text)).map(drop);
        for text in [
            "-l",
            "--",
            "a b",
            "a;b",
            "$(id)",
            "a/b",
            "a\nb",
            "m\u{fc}ller",
            "a'b",
        ] {
            assert!(is_unfit(of_user(text), Unfit::User), "{text:?}");
        }
        for text in ["alice", "www-data", "svc.web_1@example.org", "a?"] {
            assert_eq!(of_user(text), Ok(()), "{text:?}");
        }
        for text in [
            "-j",
            "--help",
            "1.2.3.4;id",
            "1.2.3.4 -j",
            "1.2.3.0/24",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "1.2.3.4.5",
            "fe80::1%lo",
            "::zz",
            "localhost",
            "LOCALHOST.",
            "localhost.localdomain",
            "a.localhost",
            "ip6-loopback",
            "é.example",
        ] {
            assert!(is_unfit(of_srcip(text), Unfit::Srcip), "{text:?}");
        }
        for text in ["192.0.2.1", "2001:db8::1", "scan.example.org", "host_1"] {
            assert_eq!(of_srcip(text), Ok(()), "{text:?}");
        }
        for text in ["-rf", "/tmp/a\nb", "/tmp/\u{1b}[2J"] {
            let alert = serde_json::json!({"syscheck": {"path": text}}).to_string();
            let found = words(FILENAME, &alert).map(drop);
            assert!(is_unfit(found, Unfit::Filename), "{text:?}");
        }
        // What the script is not to have does not matter.
        assert!(words(SRCIP, r#"{"data":{"srcip":"192.0.2.1","dstuser":"-l"}}"#).is_ok());
    }

    fn data(field: &str, text: &str) -> String {
        serde_json::json!({"data": {field: text}}).to_string()
    }

    fn is_unfit(found: Result<(), NoWords>, wanted: Unfit) -> bool {
        matches!(found, Err(NoWords::Unfit { why, .. }) if why == wanted)
    }

    #[test]
    fn a_location_that_is_not_fit_is_left_out() {
        for (alert, wanted) in [
            (r#"{"location":"/var/log/x"}"#, "/var/log/x"),
            (r#"{"location":"-x"}"#, "-"),
            (r#"{"location":"a\nb"}"#, "-"),
            (r#"{"agent":{"id":"000","name":"m"},"location":"/x"}"#, "/x"),
            (
                r#"{"agent":{"id":"1","name":"w"},"location":"/x"}"#,
                "(w) any->/x",
            ),
            (
                r#"{"agent":{"id":"1","name":"w"},"location":"(w) any->/x"}"#,
                "(w) any->/x",
            ),
            ("{}", "-"),
        ] {
            assert_eq!(line(Wanted::NOTHING, alert)[5], wanted, "{alert}");
        }
    }

    #[test]
    fn a_target_is_what_the_script_is_told_of() {
        let key = |wanted, alert: &str| words(wanted, alert).unwrap().keys().to_string();
        assert_eq!(key(Wanted::ANYTHING, ALERT), "203.0.113.9");
        assert_eq!(key(USER, ALERT), "alice");
        assert_eq!(key(FILENAME, ALERT), "/tmp/a b;$(id)");
        assert_eq!(key(Wanted::NOTHING, ALERT), "-");
        assert_eq!(key(SRCIP, &data("srcip", "2001:DB8::0:1")), "2001:db8::1");
        assert_eq!(key(SRCIP, &data("srcip", "scan.example")), "scan.example");
        let target = |alert: &str| words(SRCIP, alert).unwrap().target();
        assert_eq!(target(ALERT).unwrap().to_string(), "203.0.113.9");
        let host = target(&data("srcip", "scan.example")).unwrap();
        assert!(matches!(&host, Target::Name(_)) && host.to_string() == "scan.example");
        assert_eq!(words(USER, ALERT).unwrap().target(), None);
    }

    #[test]
    fn what_a_person_asked_for_has_neither_alert_nor_rule() {
        let mut action = action();
        action.rule = None;
        let words = Words::new(&action, SRCIP, ALERT.as_bytes()).unwrap();
        let words = words.arguments(Mode::Add);
        assert_eq!(words[3..], ["(from_the_server)", "(no_rule_id)", "-", "-"]);
    }

    proptest! {
        #[test]
        fn no_word_from_an_alert_is_an_option_or_hides_a_control_character(
            user in any::<String>(),
            srcip in "[-0-9a-f.:;x ]{0,12}",
            path in any::<String>(),
            place in any::<String>(),
        ) {
            let alert = serde_json::json!({
                "data": {"dstuser": user, "srcip": srcip},
                "syscheck": {"path": path},
                "location": place,
            });
            if let Ok(words) = words(Wanted::ANYTHING, &alert.to_string()) {
                prop_assert!(!words.keys().is_empty());
                for word in words.arguments(Mode::Add) {
                    prop_assert!(word == "-" || !word.starts_with('-'), "{word:?}");
                    prop_assert!(!word.contains(char::is_control), "{word:?}");
                }
            }
        }
    }
}
