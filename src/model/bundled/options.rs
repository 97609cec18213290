//! What an executable is told in `<extra_args>`: `--name value`,
//! `--name=value`, `--switch`, in any order.

use std::fmt::Display;
use std::path::{Component, Path};

use serde::Serialize;

use crate::model::{FieldPath, InvalidFieldList, Url};

/// One option of an executable.
#[derive(Debug, Serialize)]
pub struct OptionSpec {
    /// With its dashes.
    pub name: &'static str,
    pub value: ValueKind,
    /// Whether nothing can be done without it.
    pub required: bool,
    /// One line for people.
    pub about: &'static str,
}

/// What stands behind the name of an option.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueKind {
    /// Nothing: it is given or it is not.
    Switch,
    /// The length of an IPv6 prefix, from 32 to 128.
    Ipv6Prefix,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Fields of an alert, as paths with dots: the first that says anything
    /// decides.
    Field,
    /// The name of a unit of the service manager.
    Service,
    /// A path that begins with a slash, or one below the home.
    Path,
    /// The number of a user other than root.
    Uid,
    /// Any text that is not empty.
    Text,
    /// The path of a file below the folder `etc` of the home.
    EtcFile,
    /// Where a service is.
    Url,
    /// Where an HTTP proxy is.
    Proxy,
    /// What Cloudflare calls a zone or an account by: 32 hexadecimal digits.
    CloudflareId,
}

/// The longest name of a unit, in bytes (`UNIT_NAME_MAX`, systemd.unit(5)).
const MAX_NAME: usize = 255;

/// A network that is shorter holds whole providers.
const MIN_IPV6_PREFIX: u8 = 32;

impl ValueKind {
    /// How a person is told what to write; empty for a switch.
    pub fn label(self) -> String {
        match self {
            Self::Switch => String::new(),
            Self::Ipv6Prefix => "LENGTH".to_owned(),
            Self::OneOf(words) => words.join("|"),
            Self::Field => "FIELD[,FIELD...]".to_owned(),
            Self::Service => "NAME".to_owned(),
            Self::Path => "PATH".to_owned(),
            Self::Uid => "UID".to_owned(),
            Self::Text => "TEXT".to_owned(),
            Self::EtcFile => "FILE".to_owned(),
            Self::Url | Self::Proxy => "URL".to_owned(),
            Self::CloudflareId => "ID".to_owned(),
        }
    }

    /// What is wrong with a value.
    fn objection(self, value: &str) -> Option<String> {
        let (is_good, wanted) = match self {
            Self::Switch => (false, "it takes no value".to_owned()),
            Self::Ipv6Prefix => {
                let length = value.parse();
                let is_good = length.is_ok_and(|length| (MIN_IPV6_PREFIX..=128).contains(&length));
                (is_good, "write a number from 32 to 128".to_owned())
            }
            Self::OneOf(words) => (
                words.contains(&value),
                format!("write {}", words.join(" or ")),
            ),
            Self::Field => match FieldPath::parse_list(value) {
                Ok(_) => (true, String::new()),
                Err(wrong) => (false, wrong_fields(&wrong)),
            },
            Self::Service => (
                is_unit_name(value),
                "write the name of a unit, such as nginx or sshd@2.service".to_owned(),
            ),
            Self::Path => (
                !value.is_empty() && !value.split('/').any(|part| part == ".."),
                "write a path without `..`".to_owned(),
            ),
            Self::Uid => (
                value.parse::<u32>().is_ok_and(|uid| uid > 0),
                "write the number of a user, from 1 on".to_owned(),
            ),
            Self::Text => (!value.is_empty(), "it is empty".to_owned()),
            Self::EtcFile => (
                is_below_etc(value),
                "write the path of a file below etc, as etc/NAME".to_owned(),
            ),
            Self::Url => judged(Url::parse(value)),
            Self::Proxy => judged(Url::parse_proxy(value)),
            Self::CloudflareId => (
                value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "write the 32 hexadecimal digits of its id".to_owned(),
            ),
        };
        (!is_good).then_some(wanted)
    }
}

/// What is wrong with the first part of a list that is no good.
fn wrong_fields(wrong: &[(&str, InvalidFieldList)]) -> String {
    let write =
        "write names with dots between them, such as data.srcuser, and commas between several";
    match wrong {
        [] => write.to_owned(),
        [(part, why), ..] => format!("{part:?} {why}; {write}"),
    }
}

fn judged<T, E: Display>(parsed: Result<T, E>) -> (bool, String) {
    match parsed {
        Ok(_) => (true, String::new()),
        Err(why) => (false, why.to_string()),
    }
}

/// Whether a path leads to a file below `etc` by its own words.
fn is_below_etc(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::Normal("etc".as_ref()))
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// systemd.unit(5): letters, digits and `:-_.\@`.
fn is_unit_name(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    !text.is_empty()
        && text.len() <= MAX_NAME
        && !text.starts_with('-')
        && text.bytes().all(is_good)
}

/// Why words are not what an executable takes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidOptions {
    #[error("{given} is not an option of it\n({known})")]
    Unknown { given: String, known: String },
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{name} does not take {value:?}: {why}")]
    Value {
        name: &'static str,
        value: String,
        why: String,
    },
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("{name} is missing\n(add {name} {label})")]
    Missing { name: &'static str, label: String },
}

/// The options that were given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// A switch has an empty value.
    given: Vec<(&'static str, String)>,
    words: Vec<String>,
}

impl Options {
    /// Reads the words of `<extra_args>`. What does not begin with two dashes
    /// and belongs to no option is a word of its own.
    pub fn parse(specs: &'static [OptionSpec], args: &[String]) -> Result<Self, InvalidOptions> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if !arg.starts_with("--") {
                options.words.push(arg.clone());
                continue;
            }
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (arg.as_str(), None),
            };
            let spec = find(specs, name)?;
            let value = match (spec.value, inline) {
                (ValueKind::Switch, None) => String::new(),
                (_, Some(value)) => checked(spec, value)?,
                (_, None) => {
                    let value = args.next().ok_or(InvalidOptions::NoValue(spec.name))?;
                    checked(spec, value)?
                }
            };
            if options.get(spec.name).is_some() {
                return Err(InvalidOptions::Twice(spec.name));
            }
            options.given.push((spec.name, value));
        }
        let mut missing = specs
            .iter()
            .filter(|spec| spec.required && options.get(spec.name).is_none());
        match missing.next() {
            Some(spec) => Err(InvalidOptions::Missing {
                name: spec.name,
                label: spec.value.label(),
            }),
            None => Ok(options),
        }
    }

    /// The value of an option; empty for a switch that is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut given = self.given.iter();
        let found = given.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// To which length an IPv6 address is to be widened.
    pub fn ipv6_prefix(&self) -> Option<u8> {
        self.get("--ipv6-prefix")?.parse().ok()
    }

    /// Whether what is open with a blocked address is to stay so.
    pub fn keeps_connections(&self) -> bool {
        self.get("--keep-connections").is_some()
    }

    /// What belongs to no option, as 4.x passes it to any executable.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

fn find(specs: &'static [OptionSpec], name: &str) -> Result<&'static OptionSpec, InvalidOptions> {
    specs.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let known: Vec<_> = specs.iter().map(|spec| spec.name).collect();
        InvalidOptions::Unknown {
            given: name.to_owned(),
            known: match known.as_slice() {
                [] => "it has none".to_owned(),
                known => format!("it has {}", known.join(", ")),
            },
        }
    })
}

fn checked(spec: &'static OptionSpec, value: &str) -> Result<String, InvalidOptions> {
    match spec.value.objection(value) {
        None => Ok(value.to_owned()),
        Some(why) => Err(InvalidOptions::Value {
            name: spec.name,
            value: value.to_owned(),
            why,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidOptions, OptionSpec, Options, ValueKind};

    const SPECS: &[OptionSpec] = &[
        OptionSpec {
            name: "--ipv6-prefix",
            value: ValueKind::Ipv6Prefix,
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--loud",
            value: ValueKind::Switch,
            required: false,
            about: "",
        },
    ];

    fn parse(text: &str) -> Result<Options, InvalidOptions> {
        let args: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        Options::parse(SPECS, &args)
    }

    #[test]
    fn options_stand_in_any_order_and_in_both_forms() {
        for text in ["--ipv6-prefix 64 a --loud b", "a --loud b --ipv6-prefix=64"] {
            let options = parse(text).unwrap();
            assert_eq!(options.ipv6_prefix(), Some(64), "{text}");
            assert_eq!(options.get("--loud"), Some(""), "{text}");
            assert_eq!(options.words(), ["a", "b"], "{text}");
        }
        let options = parse("").unwrap();
        assert_eq!((options.ipv6_prefix(), options.get("--loud")), (None, None));
    }

    const NEEDED: &[OptionSpec] = &[
        OptionSpec {
            name: "--service",
            value: ValueKind::Service,
            required: true,
            about: "",
        },
        OptionSpec {
            name: "--by",
            value: ValueKind::OneOf(&["pid", "exe"]),
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--field",
            value: ValueKind::Field,
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--store",
            value: ValueKind::Path,
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--file",
            value: ValueKind::EtcFile,
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--to",
            value: ValueKind::Url,
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--through",
            value: ValueKind::Proxy,
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--zone",
            value: ValueKind::CloudflareId,
            required: false,
            about: "",
        },
        OptionSpec {
            name: "--min-uid",
            value: ValueKind::Uid,
            required: false,
            about: "",
        },
    ];

    #[test]
    fn each_kind_of_value_takes_what_it_says() {
        for (text, wanted) in [
            ("--service nginx", None),
            ("--service getty@tty1.service", None),
            ("--service=x --by exe --field data.a.b --store /srv/x", None),
            ("--by pid", Some("--service is missing")),
            ("--service --now", Some("name of a unit")),
            ("--service a/b", Some("name of a unit")),
            ("--service=", Some("name of a unit")),
            ("--service x --by name", Some("write pid or exe")),
            ("--service x --field a..b", Some("names with dots")),
            (r"--service x --field a.b,c\.d.0", None),
            ("--service x --field a,", Some("is empty; write")),
            (
                "--service x --field a,b,A",
                Some("\"A\" stands there twice"),
            ),
            ("--service x --store a/../b", Some("without `..`")),
            ("--service x --file etc/slack-url", None),
            ("--service x --file etc/a/b.pem", None),
            ("--service x --file /etc/shadow", Some("below etc")),
            ("--service x --file etc", Some("below etc")),
            ("--service x --file etc/../x", Some("below etc")),
            ("--service x --file queue/x", Some("below etc")),
            ("--service x --to https://192.0.2.1/x", None),
            ("--service x --to http://192.0.2.1/x", Some("in the clear")),
            ("--service x --through http://192.0.2.1:3128", None),
            (
                "--service x --through https://192.0.2.1",
                Some("http://HOST:PORT"),
            ),
            ("--service x --zone 0123456789abcdef0123456789ABCDEF", None),
            (
                "--service x --zone 0123456789abcdef0123456789abcdeg",
                Some("hexadecimal"),
            ),
            ("--service x --zone 0123", Some("hexadecimal")),
            ("--service x --min-uid 500", None),
            ("--service x --min-uid 0", Some("from 1 on")),
            ("--service x --min-uid=-5", Some("from 1 on")),
        ] {
            let args: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            let error = Options::parse(NEEDED, &args).err();
            match (error.map(|error| error.to_string()), wanted) {
                (None, None) => {}
                (Some(error), Some(wanted)) => assert!(error.contains(wanted), "{text}: {error}"),
                (error, _) => panic!("{text}: {error:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_option_or_no_value_of_one_is_refused() {
        for (text, wanted) in [
            ("--lod", "--lod is not an option of it"),
            ("--ipv6-prefix", "--ipv6-prefix needs a value"),
            ("--ipv6-prefix 0", "from 32 to 128"),
            ("--ipv6-prefix=31", "from 32 to 128"),
            ("--ipv6-prefix 129", "from 32 to 128"),
            ("--ipv6-prefix /64", "from 32 to 128"),
            ("--loud=yes", "it takes no value"),
            ("--loud --loud", "--loud is given twice"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
