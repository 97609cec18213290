//! Which field of an alert names the target. The daemons ask here before they
//! act and the bundled executables when they do, so that what a guard has
//! judged is what is done.

use super::json::{InvalidJson, Value, parse};
use crate::model::bundled::{self, Bundled, InvalidOptions, Options, TargetKind};
use crate::model::target::InvalidTarget;
use crate::model::{ExeName, Target};

/// The fields that can name an address, in the order in which they are looked
/// for (Wazuh 4.14 active_responses.c get_srcip_from_json).
const ADDRESS_FIELDS: [&[&str]; 3] = [
    &["data", "win", "eventdata", "ipAddress"],
    &["data", "win", "eventdata", "destinationIp"],
    &["data", "srcip"],
];

/// How much of a text from an alert is shown, in bytes after escaping.
const SHOWN_BYTES: usize = 80;

/// Why an alert names no target.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoTarget {
    #[error(
        "has no address: none of data.win.eventdata.ipAddress, data.win.eventdata.destinationIp and data.srcip is a text"
    )]
    NoField,
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

/// Why it is not known what a bundled executable would act on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unclear {
    #[error("the alert {0}")]
    Alert(#[from] NoTarget),
    #[error("extra_args: {0}")]
    Options(#[from] InvalidOptions),
}

/// What the executable `name` would act on for `alert`, the bytes of the
/// alert's own JSON object. Of a script it is known before it runs only which
/// address it would be shown.
pub fn of(
    name: &ExeName,
    is_bundled: bool,
    extra_args: &[String],
    alert: &[u8],
) -> Result<Option<Target>, Unclear> {
    match bundled::find(name.as_str()).filter(|_| is_bundled) {
        None => Ok(address(alert).ok()),
        Some(row) => {
            let options = Options::parse(row.options, extra_args)?;
            let alert = parse(alert).map_err(NoTarget::Malformed)?;
            Ok(Some(named(row, &options, &alert)?))
        }
    }
}

/// What a bundled executable acts on.
pub fn named(row: &Bundled, options: &Options, alert: &Value<'_>) -> Result<Target, NoTarget> {
    match row.target {
        TargetKind::Address => address_in(alert, Target::parse_address),
        TargetKind::Network => address_in(alert, |text| {
            let target = Target::parse_network(text)?;
            options
                .ipv6_prefix()
                .map_or(Ok(target), |prefix| target.widened(prefix))
        }),
    }
}

/// The address that an executable acting on addresses would use for `alert`,
/// the bytes of the alert's own JSON object. The first field that is a text
/// decides.
pub fn address(alert: &[u8]) -> Result<Target, NoTarget> {
    let alert = parse(alert).map_err(NoTarget::Malformed)?;
    address_in(&alert, Target::parse_address)
}

/// The first field that is a text decides, whatever it says.
fn address_in(
    alert: &Value<'_>,
    parse: impl Fn(&str) -> Result<Target, InvalidTarget>,
) -> Result<Target, NoTarget> {
    let (field, text) = ADDRESS_FIELDS
        .iter()
        .find_map(|path| Some((path, alert.lookup(path)?.as_bytes()?)))
        .ok_or(NoTarget::NoField)?;
    str::from_utf8(text)
        .map_err(|_| InvalidTarget::NoAddress)
        .and_then(parse)
        .map_err(|why| NoTarget::Unusable {
            field: field.join("."),
            text: shown(text),
            why,
        })
}

/// Text from outside, made fit for logs and terminals.
fn shown(text: &[u8]) -> String {
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
    use super::{NoTarget, Unclear, address};
    use crate::contract::json::InvalidJson;
    use crate::model::ExeName;
    use crate::model::target::InvalidTarget;

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
            assert_eq!(of(alert), Err(NoTarget::NoField), "{alert}");
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
        let target = super::of(&name, true, &args, alert.as_bytes())?;
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
    fn a_script_of_the_same_name_is_shown_an_address_or_nothing() {
        let name = ExeName::parse("route-null").unwrap();
        let of = |srcip: &str| {
            let alert = format!(r#"{{"data":{{"srcip":"{srcip}"}}}}"#);
            super::of(&name, false, &["--x".to_owned()], alert.as_bytes()).unwrap()
        };
        assert_eq!(of("192.0.2.1").unwrap().to_string(), "192.0.2.1");
        assert_eq!(of("192.0.2.0/24"), None);
    }

    #[test]
    fn what_is_shown_of_a_text_is_bounded() {
        let alert = format!(r#"{{"data":{{"srcip":"{}"}}}}"#, "\u{7f}".repeat(1_000));
        let why = of(&alert).unwrap_err().to_string();
        assert!(why.len() < 200 && why.contains("..."), "{why}");
    }
}
