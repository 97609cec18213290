//! Which field of an alert names the target. The daemons ask here before they
//! act and the bundled executables when they do, so that what a guard has
//! judged is what is done.

use std::borrow::Cow;

use super::field;
use super::json::{InvalidJson, Value, parse};
use super::words::{NoWords, Words};
use crate::model::action::Contract;
use crate::model::bundled::{self, Bundled, FIELD, InvalidOptions, Options, TargetKind};
use crate::model::target::{FilePath, HostName, InvalidTarget, Process, UserName};
use crate::model::{Action, ExeName, Field, FieldMap, FieldPath, Places, Target};

/// How much of a text from an alert is shown, in bytes after escaping.
const SHOWN_BYTES: usize = 80;

/// Why an alert names no target.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoTarget {
    #[error("does not name {what}: no text in {}", .fields.join(", "))]
    NoField {
        /// What it should name.
        what: &'static str,
        /// Where that was looked for.
        fields: Vec<String>,
    },
    /// The field that decides holds something else. No other field is asked:
    /// it might name a bystander.
    #[error("has in {field} what {why}: \"{text}\"")]
    Unusable {
        /// The field, as a path with dots.
        field: String,
        /// Its text, escaped and cut.
        text: String,
        why: InvalidTarget,
    },
    #[error(transparent)]
    Malformed(InvalidJson),
}

/// Why it is not known what an executable would act on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unclear {
    #[error("the alert {0}")]
    Alert(#[from] NoTarget),
    #[error("extra_args: {0}")]
    Options(#[from] InvalidOptions),
    /// A script does not get its words.
    #[error("the alert {0}")]
    Words(#[from] NoWords),
}

/// The words that a bundled executable is told as `extra_args`: its `own` ones,
/// and before them where the alert names its target.
///
/// That is said by the first of these that speaks of what it acts on:
/// 1. `--field` among its own words, which is for one executable;
/// 2. `<field_map>` of the response;
/// 3. the format of the alert, for pipelines other than Wazuh;
/// 4. the executable itself, which then looks where those of Wazuh 4.x do.
///
/// The manager has put 2 over 3 when it made the action: that is `fields`.
/// Guards and executables read the result of this with the same eyes, and the
/// alert itself is never changed.
pub fn extra_args<'a>(
    row: &Bundled,
    own: &'a [String],
    fields: Option<&FieldMap>,
) -> Cow<'a, [String]> {
    // What is wrong with them is said by whoever reads them.
    let Ok(options) = Options::parse(row.options, own) else {
        return Cow::Borrowed(own);
    };
    let is_said = options.get(FIELD).is_some() || row.options.iter().all(|o| o.name != FIELD);
    let field = row.target.field(&options).filter(|_| !is_said);
    let paths = field.and_then(|field| fields?.paths(field));
    let Some(paths) = paths else {
        return Cow::Borrowed(own);
    };
    let paths: Vec<_> = paths.iter().map(FieldPath::as_str).collect();
    let said = format!("{FIELD}={}", paths.join(","));
    Cow::Owned([&[said], own].concat())
}

/// What a bundled executable is told for an action, as far as it is the same on
/// each host.
pub fn options(row: &Bundled, action: &Action) -> Result<Options, InvalidOptions> {
    let args = extra_args(row, &action.extra_args, action.fields.as_deref());
    Options::parse(row.options, &args)
}

/// What an action would act on for `alert`, on a host where its executable is a
/// bundled one or not.
pub fn of_action(
    action: &Action,
    is_bundled: bool,
    alert: &[u8],
) -> Result<Option<Target>, Unclear> {
    let (args, fields) = (&action.extra_args, action.fields.as_deref());
    match action.contract {
        Contract::Argv(wanted) if !is_bundled => Ok(Words::new(action, wanted, alert)?.target()),
        Contract::Json | Contract::Argv(_) | Contract::V5 => {
            of(&action.executable, is_bundled, (args, fields), alert)
        }
    }
}

/// What the executable `name`, or what stands in for it, would act on for
/// `alert`, the bytes of the alert's own JSON object, with these `extra_args` and
/// fields. Of a script it is known before it runs only which address, or name of
/// a host, it would be shown.
pub fn of(
    name: &ExeName,
    is_bundled: bool,
    (args, fields): (&[String], Option<&FieldMap>),
    alert: &[u8],
) -> Result<Option<Target>, Unclear> {
    match bundled::find_or_stand_in(name.as_str()).filter(|_| is_bundled) {
        None => Ok(shown_to_script(alert, fields)),
        Some(row) => {
            let options = Options::parse(row.options, &extra_args(row, args, fields))?;
            let alert = parse(alert).map_err(NoTarget::Malformed)?;
            Ok(named(row, &options, &alert)?)
        }
    }
}

/// What a bundled executable acts on; `None` where its row says that it is
/// nothing.
pub fn named(
    row: &Bundled,
    options: &Options,
    alert: &Value<'_>,
) -> Result<Option<Target>, NoTarget> {
    match row.target {
        TargetKind::Nothing => Ok(None),
        TargetKind::Host => Ok(Some(Target::Host)),
        TargetKind::Service => Ok(options
            .get("--service")
            .map(|name| Target::Service(name.to_owned()))),
        TargetKind::Address
        | TargetKind::Network
        | TargetKind::User
        | TargetKind::Process
        | TargetKind::File => {
            let places = row.target.places(options);
            in_places(row.target, options, &places, alert).map(Some)
        }
    }
}

/// Reads a target as an alert names it.
pub fn read(kind: TargetKind, options: &Options, text: &str) -> Result<Target, InvalidTarget> {
    match kind {
        TargetKind::Address => Target::parse_address(text),
        TargetKind::Network => {
            let target = Target::parse_network(text)?;
            match options.ipv6_prefix() {
                Some(prefix) => target.widened(prefix),
                None => Ok(target),
            }
        }
        TargetKind::User => UserName::parse(text).map(Target::User),
        TargetKind::Process => Ok(Target::Process(match options.get("--by") {
            Some("exe") => Process::Executable(FilePath::parse(text)?),
            Some("user") => Process::User(UserName::parse(text)?),
            Some(_) | None => Process::parse_pid(text)?,
        })),
        TargetKind::File => FilePath::parse(text).map(Target::File),
        TargetKind::Service | TargetKind::Host | TargetKind::Nothing => {
            Err(InvalidTarget::Needless)
        }
    }
}

/// The alert of an action in which [`named`] finds this text, with its id, its
/// rule and nothing else: for what has to be put back, of which there may be very
/// much. `None` where no field names a target.
pub fn naming(row: &Bundled, options: &Options, text: &str, action: &Action) -> Option<Vec<u8>> {
    let places = row.target.places(options);
    let path = match &places {
        // Where it stands alone any of them decides; the last is the usual one.
        Places::Usual(paths) => paths.last(),
        // Another one may be that of the id or of the rule.
        Places::Said(paths) => paths.first(),
    };
    let names: Vec<_> = path?.names().collect();
    let value = serde_json::Value::from(text);
    let mut alert = names
        .iter()
        .rev()
        .fold(value, |value, name| serde_json::json!({ &**name: value }));
    let members = alert.as_object_mut()?;
    let mut add = |name: &str, value| {
        // Names have no case, and the first of several would count.
        if !members.keys().any(|known| known.eq_ignore_ascii_case(name)) {
            members.insert(name.to_owned(), value);
        }
    };
    if let Some(id) = &action.alert {
        add("id", serde_json::json!(id.as_ref()));
    }
    if let Some(rule) = &action.rule {
        let rule = serde_json::json!({ "level": rule.level, "id": rule.id });
        add("rule", rule);
    }
    Some(alert.to_string().into_bytes())
}

/// The address that an executable of Wazuh 4.x would use for `alert`, the bytes
/// of the alert's own JSON object. The first field that is a text decides.
pub fn address(alert: &[u8]) -> Result<Target, NoTarget> {
    address_in(alert, None)
}

/// As [`address`], where these fields say what names it.
pub fn address_in(alert: &[u8], fields: Option<&FieldMap>) -> Result<Target, NoTarget> {
    let alert = parse(alert).map_err(NoTarget::Malformed)?;
    let places = Places::of(Field::Srcip, fields, bundled::usual(Field::Srcip));
    in_places(TargetKind::Address, &Options::default(), &places, &alert)
}

/// The address, or the name of a host, that a script would be shown.
fn shown_to_script(alert: &[u8], fields: Option<&FieldMap>) -> Option<Target> {
    let alert = parse(alert).ok()?;
    let places = Places::of(Field::Srcip, fields, bundled::usual(Field::Srcip));
    let found = field::find(&alert, Field::Srcip, &places)?;
    let text = str::from_utf8(&found.text).ok()?;
    Target::parse_address(text)
        .ok()
        .or_else(|| HostName::parse(text).map(Target::Name))
}

/// What decides is not passed over where it is of no use.
fn in_places(
    kind: TargetKind,
    options: &Options,
    places: &Places<'_>,
    alert: &Value<'_>,
) -> Result<Target, NoTarget> {
    let field = kind.field(options);
    let Some(found) = field.and_then(|field| field::find(alert, field, places)) else {
        return Err(NoTarget::NoField {
            what: kind.label(),
            fields: places.listed(),
        });
    };
    let unusable = |why| NoTarget::Unusable {
        field: found.path.to_string(),
        text: shown(&found.text),
        why,
    };
    str::from_utf8(&found.text)
        .map_err(|_| InvalidTarget::NotText)
        .and_then(|text| read(kind, options, text))
        .map_err(unusable)
}

/// Text from outside, made fit for logs and terminals.
pub(super) fn shown(text: &[u8]) -> String {
    let mut shown = String::new();
    for &byte in text {
        let escaped = byte.escape_ascii();
        if shown.len() + escaped.len() > SHOWN_BYTES {
            shown.push_str("...");
            break;
        }
        shown.extend(escaped.map(char::from));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{NoTarget, Unclear, address, extra_args, naming, of_action, options};
    use crate::contract::json::{InvalidJson, parse};
    use crate::model::action::{Contract, Wanted, sample};
    use crate::model::bundled::{Bundled, Effect, OptionSpec, Options, TargetKind, ValueKind};
    use crate::model::target::InvalidTarget;
    use crate::model::{ExeName, Field, FieldMap, FieldPath, Target};

    fn of(alert: &str) -> Result<String, NoTarget> {
        address(alert.as_bytes()).map(|target| target.to_string())
    }

    /// What the executables of Wazuh 4.14.7 were observed to take, row by row.
    #[test]
    fn the_first_field_that_is_a_text_names_the_address() {
        for (alert, wanted) in [
            (r#"{"data":{"srcip":"192.0.2.1"}}"#, "192.0.2.1"),
            (r#"{"DATA":{"SrcIP":"192.0.2.1"}}"#, "192.0.2.1"),
            (
                r#"{"data":{"srcip":"192.0.2.1","srcip":"192.0.2.2"}}"#,
                "192.0.2.1",
            ),
            (
                r#"{"data":{"srcip":"192.0.2.1"},"data":{"srcip":"192.0.2.2"}}"#,
                "192.0.2.1",
            ),
            (
                r#"{"data":{"srcip":"192.0.2.1","win":{"eventdata":{"ipAddress":"192.0.2.2","destinationIp":"192.0.2.3"}}}}"#,
                "192.0.2.2",
            ),
            (
                r#"{"data":{"srcip":"192.0.2.1","win":{"eventdata":{"destinationIp":"192.0.2.3"}}}}"#,
                "192.0.2.3",
            ),
            // What is no text does not decide.
            (
                r#"{"data":{"srcip":"192.0.2.1","win":{"eventdata":{"ipAddress":7,"destinationIp":null}}}}"#,
                "192.0.2.1",
            ),
            (r#"{"data":{"srcip":"192.0.2.1","win":"x"}}"#, "192.0.2.1"),
            (r#"{"data":{"srcip":"192.0.2.1\u0000;id"}}"#, "192.0.2.1"),
            (r#"{"data":{"srcip":"::ffff:192.0.2.1"}}"#, "192.0.2.1"),
            (r#"{"data":{"srcip":"2001:DB8::0:1"}}"#, "2001:db8::1"),
        ] {
            assert_eq!(of(alert).as_deref(), Ok(wanted), "{alert}");
        }
    }

    #[test]
    fn what_decides_and_is_no_address_is_not_passed_over() {
        for (alert, wanted_field, wanted_text) in [
            (r#"{"data":{"srcip":"-"}}"#, "data.srcip", "-"),
            (r#"{"data":{"srcip":""}}"#, "data.srcip", ""),
            (
                r#"{"data":{"srcip":"1.2.3.4; rm -rf /\u001b"}}"#,
                "data.srcip",
                r"1.2.3.4; rm -rf /\x1b",
            ),
            (
                r#"{"data":{"srcip":"192.0.2.1","win":{"eventdata":{"ipAddress":"-"}}}}"#,
                "data.win.eventdata.ipAddress",
                "-",
            ),
            (
                r#"{"data":{"srcip":"192.0.2.0/24"}}"#,
                "data.srcip",
                "192.0.2.0/24",
            ),
        ] {
            let wanted = NoTarget::Unusable {
                field: wanted_field.to_owned(),
                text: wanted_text.to_owned(),
                why: InvalidTarget::NoAddress,
            };
            assert_eq!(of(alert), Err(wanted), "{alert}");
        }
    }

    #[test]
    fn an_alert_without_such_a_field_has_no_target() {
        for alert in [
            "{}",
            "[]",
            r#"{"srcip":"192.0.2.1"}"#,
            r#"{"data":{"srcip":7}}"#,
            r#"{"data":{"srcip":["192.0.2.1"]}}"#,
            // The first `data` counts although it has none.
            r#"{"data":{},"data":{"srcip":"192.0.2.1"}}"#,
        ] {
            assert!(
                matches!(of(alert), Err(NoTarget::NoField { .. })),
                "{alert}"
            );
        }
        assert_eq!(
            of(r#"{"data":{"srcip":"192.0.2.1"}"#),
            Err(NoTarget::Malformed(InvalidJson::Truncated))
        );
    }

    #[test]
    fn bad_bytes_matter_only_in_the_field_itself() {
        let alert = b"{\"full_log\":\"\xff\xfe\",\"data\":{\"srcip\":\"192.0.2.1\"}}";
        assert!(address(alert).is_ok());
        let alert = b"{\"data\":{\"srcip\":\"192.0.2.1\xff\"}}";
        assert!(
            matches!(address(alert), Err(NoTarget::Unusable { text, .. }) if text == r"192.0.2.1\xff")
        );
    }

    fn of_route_null(args: &[&str], srcip: &str) -> Result<String, Unclear> {
        let name = ExeName::parse("route-null").unwrap();
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let alert = format!(r#"{{"data":{{"srcip":"{srcip}"}}}}"#);
        let target = super::of(&name, true, (&args, None), alert.as_bytes())?;
        Ok(target.unwrap().to_string())
    }

    #[test]
    fn a_bundled_executable_acts_on_what_its_row_and_its_options_say() {
        for (args, srcip, wanted) in [
            (&[][..], "192.0.2.1", "192.0.2.1"),
            (&[], "192.0.2.7/24", "192.0.2.0/24"),
            (&["--ipv6-prefix", "64"], "2001:db8::1", "2001:db8::/64"),
            (&["--ipv6-prefix=64"], "192.0.2.1", "192.0.2.1"),
            // 4.x ignores such words.
            (&["whatever"], "192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(
                of_route_null(args, srcip).as_deref(),
                Ok(wanted),
                "{args:?}"
            );
        }
        for (args, srcip, wanted) in [
            (
                &[][..],
                "0.0.0.0/0",
                "the alert has in data.srcip what is a network of more",
            ),
            (
                &[],
                "192.0.2.0/33",
                "the alert has in data.srcip what is not a numeric",
            ),
            (
                &["--ipv6-prefix", "16"],
                "2001:db8::1",
                "extra_args: --ipv6-prefix",
            ),
            (
                &["--prefix"],
                "192.0.2.1",
                "extra_args: --prefix is not an option",
            ),
        ] {
            let error = of_route_null(args, srcip).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{args:?} {srcip}: {error}");
        }
    }

    #[test]
    fn a_script_of_the_same_name_is_shown_an_address_or_a_name_or_nothing() {
        let name = ExeName::parse("route-null").unwrap();
        let of = |srcip: &str| {
            let alert = format!(r#"{{"data":{{"srcip":"{srcip}"}}}}"#);
            super::of(&name, false, (&["--x".to_owned()], None), alert.as_bytes()).unwrap()
        };
        assert_eq!(of("192.0.2.1").unwrap().to_string(), "192.0.2.1");
        assert_eq!(of("web-7.example").unwrap().to_string(), "web-7.example");
        for none in ["192.0.2.0/24", "-", "-h", "a;b", "7", ""] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn each_kind_of_target_is_read_from_its_fields() {
        let user = r#"{"data":{"dstuser":"alice","srcuser":"bob"}}"#;
        let process = r#"{"data":{"process":{"pid":77,"executable":"/x"},"dstuser":"alice"}}"#;
        let fim = r#"{"syscheck":{"path":"/tmp/x y"}}"#;
        let cases: &[(TargetKind, &[&str], &str, &str)] = &[
            (TargetKind::User, &[], user, "alice"),
            (TargetKind::User, &["--field=data.srcuser"], user, "bob"),
            (TargetKind::Process, &[], process, "77"),
            (TargetKind::Process, &["--by", "exe"], process, "/x"),
            (TargetKind::Process, &["--by", "user"], process, "alice"),
            (TargetKind::Process, &[], r#"{"data":{"pid":"78"}}"#, "78"),
            (TargetKind::File, &[], fim, "/tmp/x y"),
            (TargetKind::Host, &[], "{}", "host"),
            (TargetKind::Service, &["--service=nginx"], "{}", "nginx"),
        ];
        for (kind, args, alert, wanted) in cases {
            let target = named_by(*kind, args, alert).unwrap().unwrap();
            assert_eq!(target.to_string(), *wanted, "{kind:?} {args:?}");
        }
        assert_eq!(named_by(TargetKind::Nothing, &[], user), Ok(None));
        for (kind, alert, wanted) in [
            (
                TargetKind::User,
                "{}",
                "does not name a user: no text in data.dstuser",
            ),
            (
                TargetKind::User,
                r#"{"data":{"dstuser":"root"}}"#,
                "is no login name",
            ),
            (
                TargetKind::Process,
                r#"{"data":{"pid":1.5}}"#,
                "does not name processes",
            ),
            (
                TargetKind::Process,
                r#"{"data":{"pid":1}}"#,
                "no number of a process",
            ),
            (
                TargetKind::File,
                r#"{"syscheck":{"path":"x"}}"#,
                "no absolute path",
            ),
        ] {
            let error = named_by(kind, &[], alert).unwrap_err().to_string();
            assert!(error.contains(wanted), "{kind:?} {alert}: {error}");
        }
    }

    fn named_by(kind: TargetKind, args: &[&str], alert: &str) -> Result<Option<Target>, NoTarget> {
        const OPTIONS: &[OptionSpec] = &[
            option("--field", ValueKind::Field),
            option("--by", ValueKind::OneOf(&["pid", "exe", "user"])),
            option("--service", ValueKind::Service),
        ];
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let options = Options::parse(OPTIONS, &args).unwrap();
        let row = Bundled {
            name: "x",
            aliases: &[],
            about: "",
            target: kind,
            options: OPTIONS,
            word: None,
            backends: &[],
            effect: Effect::Kernel,
            reverts: true,
            libraries: &[],
            serves: false,
        };
        super::named(&row, &options, &parse(alert.as_bytes()).unwrap())
    }

    const fn option(name: &'static str, value: ValueKind) -> OptionSpec {
        OptionSpec {
            name,
            value,
            required: false,
            about: "",
        }
    }

    #[test]
    fn what_is_shown_of_a_text_is_bounded() {
        let alert = format!(r#"{{"data":{{"srcip":"{}"}}}}"#, "\u{7f}".repeat(1_000));
        let why = of(&alert).unwrap_err().to_string();
        assert!(why.len() < 200 && why.contains("..."), "{why}");
    }

    #[test]
    fn the_alert_that_puts_an_effect_back_names_what_was_blocked_and_why() {
        let action = sample::action(1, "firewall-drop", Some(600));
        for (name, key) in [
            ("firewall-drop", "203.0.113.0/24"),
            ("route-null", "2001:db8::1"),
            ("host-deny", "203.0.113.9"),
        ] {
            let row = crate::model::bundled::find(name).unwrap();
            let alert = naming(row, &Options::default(), key, &action).unwrap();
            let exe = ExeName::parse(name).unwrap();
            let target = super::of(&exe, true, (&[], None), &alert).unwrap().unwrap();
            assert_eq!(target.to_string(), key);
            let alert: serde_json::Value = serde_json::from_slice(&alert).unwrap();
            assert_eq!(
                alert["rule"],
                serde_json::json!({"level": 10, "id": "5763"})
            );
        }
    }

    /// A map of addresses.
    fn map(paths: &str) -> FieldMap {
        let mut map = FieldMap::default();
        for path in FieldPath::parse_list(paths).unwrap() {
            map.push(Field::Srcip, path);
        }
        map
    }

    #[test]
    fn what_is_put_back_is_named_where_its_executable_looks() {
        let mut action = sample::action(1, "firewall-drop", Some(600));
        let row = crate::model::bundled::find("firewall-drop").unwrap();
        for paths in [
            "data.aws.sourceIPAddress,id,rule.id",
            r"output_fields.fd\.rip",
            "decisions.0.value",
            // Beside the id and the rule that the alert has too.
            "ID",
            "Rule.Id",
            "rule.0",
        ] {
            action.fields = Some(map(paths).into());
            let options = options(row, &action).unwrap();
            let alert = naming(row, &options, "203.0.113.0/24", &action).unwrap();
            let target = of_action(&action, true, &alert).unwrap().unwrap();
            assert_eq!(target.to_string(), "203.0.113.0/24", "{paths}");
        }
    }

    #[test]
    fn where_a_target_is_named_is_said_by_the_first_that_speaks_of_it() {
        let both = {
            let mut map = map("a.ip,b.ip");
            map.push(Field::User, FieldPath::parse("a.user").unwrap());
            map.push(Field::File, FieldPath::parse("a.file").unwrap());
            map
        };
        for (name, own, wanted) in [
            ("firewall-drop", &[][..], &["--field=a.ip,b.ip"][..]),
            ("host-deny", &[], &["--field=a.ip,b.ip"]),
            (
                "disable-account",
                &["--expire"],
                &["--field=a.user", "--expire"],
            ),
            (
                "kill-process",
                &["--by", "user"],
                &["--field=a.user", "--by", "user"],
            ),
            // Of this the map does not speak.
            ("kill-process", &[], &[]),
            ("kill-process", &["--by=exe"], &["--by=exe"]),
            // The command says it itself.
            ("firewall-drop", &["--field=c"], &["--field=c"]),
            ("firewall-drop", &["--field", "c"], &["--field", "c"]),
            // Nothing in an alert names it.
            ("isolate-host", &["192.0.2.1"], &["192.0.2.1"]),
            ("slack", &["https://x"], &["https://x"]),
            // What it refuses it refuses as it is.
            ("firewall-drop", &["--no-such"], &["--no-such"]),
            ("quarantine-file", &["--store"], &["--store"]),
        ] {
            let row = crate::model::bundled::find(name).unwrap();
            let own: Vec<_> = own.iter().map(|&word| word.to_owned()).collect();
            let told = extra_args(row, &own, Some(&both));
            assert_eq!(*told, *wanted, "{name} {own:?}");
            assert_eq!(*extra_args(row, &own, None), *own);
        }
    }

    #[test]
    fn a_guard_sees_what_the_fields_of_an_action_lead_to() {
        let cloud = r#"{"data":{"aws":{"sourceIPAddress":"198.51.100.7"},"srcip":"192.0.2.1"}}"#;
        let console = r#"{"data":{"aws":{"sourceIPAddress":"-"},"srcip":"192.0.2.1"}}"#;
        let service = r#"{"data":{"aws":{"sourceIPAddress":"ec2.example"},"srcip":"192.0.2.1"}}"#;
        let paths = "data.aws.sourceIPAddress,data.srcip";
        let of = |is_bundled, contract, alert: &str| {
            let mut action = sample::action(1, "firewall-drop", None);
            action.contract = contract;
            action.fields = Some(map(paths).into());
            let target = of_action(&action, is_bundled, alert.as_bytes());
            target.map(|target| target.unwrap().to_string())
        };
        let words = Contract::Argv(Wanted::ANYTHING);
        for (is_bundled, contract) in [
            (true, Contract::Json),
            (false, Contract::Json),
            (false, Contract::V5),
            (false, words),
        ] {
            let of = |alert| of(is_bundled, contract, alert);
            assert_eq!(of(cloud).as_deref(), Ok("198.51.100.7"), "{contract:?}");
            assert_eq!(of(console).as_deref(), Ok("192.0.2.1"), "{contract:?}");
        }
        // A text of another kind is not passed over.
        let error = of(true, Contract::Json, service).unwrap_err().to_string();
        assert!(error.contains("data.aws.sourceIPAddress"), "{error}");
        assert_eq!(of(false, words, service).as_deref(), Ok("ec2.example"));
        let error = of(true, Contract::Json, "{}").unwrap_err().to_string();
        let wanted = "no text in data.aws.sourceIPAddress, data.srcip";
        assert!(error.ends_with(wanted), "{error}");
        // From the wire.
        let mut action = sample::action(1, "firewall-drop", None);
        action.fields = Some(
            serde_json::from_str::<FieldMap>(r#"{"srcip":[]}"#)
                .unwrap()
                .into(),
        );
        let error = of_action(&action, true, cloud.as_bytes()).unwrap_err();
        assert!(matches!(error, Unclear::Options(_)), "{error}");
    }
}
