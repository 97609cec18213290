//! What an executable is told in `<extra_args>`: `--name value`,
//! `--name=value`, `--switch`, in any order.

use serde::Serialize;

/// One option of an executable.
#[derive(Debug, Serialize)]
pub struct OptionSpec {
    /// With its dashes.
    pub name: &'static str,
    pub value: ValueKind,
    /// One line for people.
    pub about: &'static str,
}

/// What stands behind the name of an option.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueKind {
    /// Nothing: it is given or it is not.
    Switch,
    /// The length of an IPv6 prefix, from [`MIN_IPV6_PREFIX`] to 128.
    Ipv6Prefix,
}

/// A network that is shorter holds whole providers.
const MIN_IPV6_PREFIX: u8 = 32;

impl ValueKind {
    /// How a person is told what to write; empty for a switch.
    pub fn label(self) -> &'static str {
        match self {
            Self::Switch => "",
            Self::Ipv6Prefix => "LENGTH",
        }
    }

    /// What is wrong with a value.
    fn objection(self, value: &str) -> Option<&'static str> {
        match self {
            Self::Switch => Some("it takes no value"),
            Self::Ipv6Prefix => {
                let length = value.parse();
                let is_good = length.is_ok_and(|length| (MIN_IPV6_PREFIX..=128).contains(&length));
                (!is_good).then_some("write a number from 32 to 128")
            }
        }
    }
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
        why: &'static str,
    },
    #[error("{0} is given twice")]
    Twice(&'static str),
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
        Ok(options)
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
            about: "",
        },
        OptionSpec {
            name: "--loud",
            value: ValueKind::Switch,
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
