//! Names and identifiers. All are short, printable and free of path
//! separators, so they can be logged, stored and compared without thought.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Why a text is not a valid name or identifier.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidName {
    #[error("is empty")]
    Empty,
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    #[error("contains {0:?}")]
    Character(char),
    #[error("starts with {0:?}")]
    Start(char),
    #[error("means something else where agents are named")]
    Reserved,
    #[error("is not an agent id (digits, such as 007)")]
    NotAnAgentId,
    #[error("is not {0} bytes in hexadecimal digits")]
    NotHex(usize),
}

const MAX_NAME: usize = 256;

fn printable(text: &str, max: usize) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > max {
        return Err(InvalidName::TooLong(max));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(InvalidName::Character(c)),
        None => Ok(()),
    }
}

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        ///
        /// Clones share the text: as many actions as there are attackers have
        /// the same names.
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> Result<(), InvalidName> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(Self::parse, PhantomData))
            }
        }
    };
}

/// Reads a text by this function, without a copy of it in between.
struct Text<T, F: Fn(&str) -> Result<T, InvalidName>>(F, PhantomData<T>);

impl<T, F: Fn(&str) -> Result<T, InvalidName>> Visitor<'_> for Text<T, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

text_newtype!(
    /// The id of a rule as the pipeline writes it: digits for OSSEC and
    /// Wazuh 4, any printable text for others. Compared as text.
    RuleId,
    |text| printable(text, MAX_NAME)
);

text_newtype!(
    /// The name of a `<command>` block.
    ///
    /// A leading `!` is refused as Wazuh 4.14 does (config/active-response.c):
    /// there it marks a file that is run without being declared.
    CommandName,
    |text| {
        printable(text, MAX_NAME)?;
        match text.chars().next() {
            Some('!') => Err(InvalidName::Start('!')),
            _ => Ok(()),
        }
    }
);

text_newtype!(
    /// The file name of an executable below `active-response/bin`: one path
    /// component, never hidden, never something a tool could take for an option.
    ExeName,
    |text| {
        printable(text, 255)?;
        if let Some(c) = text.chars().find(|c| matches!(c, '/' | '\\')) {
            return Err(InvalidName::Character(c));
        }
        match text.chars().next() {
            Some(c @ ('.' | '-' | '!')) => Err(InvalidName::Start(c)),
            _ => Ok(()),
        }
    }
);

/// Letters, digits, `.`, `_` and `-`: what Wazuh allows in names of agents and
/// groups (Wazuh 4.14 shared/validate_op.c OS_IsValidName).
fn plain(text: &str) -> Result<(), InvalidName> {
    printable(text, 128)?;
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c))
    {
        Some(c) => Err(InvalidName::Character(c)),
        None => Ok(()),
    }
}

/// Words that stand for agents in `<location>`, `<agent_id>` or `--agent`.
const PLACES: [&str; 5] = ["all", "any", "local", "server", "defined-agent"];

text_newtype!(
    /// The name of an agent. It starts with a letter, so that it is never
    /// taken for an id or a range of them, and is no word for a place.
    AgentName,
    |text| {
        plain(text)?;
        if let Some(c) = text.chars().next().filter(|c| !c.is_ascii_alphabetic()) {
            return Err(InvalidName::Start(c));
        }
        match PLACES.iter().any(|word| word.eq_ignore_ascii_case(text)) {
            true => Err(InvalidName::Reserved),
            false => Ok(()),
        }
    }
);

text_newtype!(
    /// A group of agents.
    AgentGroup,
    plain
);

text_newtype!(
    /// One group of a rule. Wazuh keeps leading blanks (`" attack"`), so they stay.
    GroupName,
    |text| printable(text, 4096)
);

/// The id of an agent as OSSEC writes it: decimal digits, at least three,
/// without superfluous zeros in front. `1` and `001` are the same agent
/// (Wazuh 4.14 config/active-response.c).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AgentId(u32);

impl AgentId {
    /// The agent on the manager's own host.
    pub const MANAGER: AgentId = AgentId(0);

    /// The agent with this number; `None` beyond nine digits.
    pub fn from_number(number: u32) -> Option<Self> {
        (number <= 999_999_999).then_some(Self(number))
    }

    pub fn number(&self) -> u32 {
        self.0
    }

    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidName::NotAnAgentId);
        }
        text.parse()
            .map(AgentId)
            .map_err(|_| InvalidName::NotAnAgentId)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

impl Serialize for AgentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::parse, PhantomData))
    }
}

macro_rules! hex_newtype {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; $bytes]);

        impl $name {
            pub fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            pub fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let mut bytes = [0; $bytes];
                hex(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 2 * $bytes];
                f.write_str(to_hex(&self.0, &mut digits))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut digits = [0; 2 * $bytes];
                serializer.serialize_str(to_hex(&self.0, &mut digits))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(Self::parse, PhantomData))
            }
        }
    };
}

/// Writes `bytes` into `digits`, which has room for two of each.
fn to_hex<'a>(bytes: &[u8], digits: &'a mut [u8]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    std::str::from_utf8(digits).expect("digits are ASCII")
}

fn hex(text: &str, bytes: &mut [u8]) -> Result<(), InvalidName> {
    let wrong = InvalidName::NotHex(bytes.len());
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return Err(wrong);
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16);
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return Err(wrong);
        };
        *byte = u8::try_from(high * 16 + low).expect("two hexadecimal digits fit a byte");
    }
    Ok(())
}

hex_newtype!(
    /// The id of an action: 128 bits derived from where its alert stands, from
    /// the response's own text and from the agent, written as 32 hexadecimal
    /// digits. The same alert read twice gives the same id.
    ActionId,
    16
);

hex_newtype!(
    /// Names one journal for as long as it lives: made at random with it, so
    /// that whoever remembers one notices that it was removed and begun anew.
    JournalId,
    16
);

hex_newtype!(
    /// Names one run of an agentd: made at random at each start.
    Instance,
    8
);

hex_newtype!(
    /// The SHA-256 of a certificate (of its DER form, as `openssl x509
    /// -fingerprint -sha256` shows it). It is what tells agents apart.
    Fingerprint,
    32
);

hex_newtype!(
    /// The SHA-256 of the public key of a manager's CA (of its
    /// SubjectPublicKeyInfo, RFC 5280 4.1.2.7): what an agent is told of its
    /// manager before it has ever spoken to it.
    Pin,
    32
);

#[cfg(test)]
mod tests {
    use super::{ActionId, AgentId, AgentName, CommandName, ExeName, InvalidName};

    #[test]
    fn an_executable_name_is_one_visible_path_component() {
        for good in ["firewall-drop", "block.sh", "a b", "route-null.exe"] {
            assert!(ExeName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "../x", ".hidden", "-rf", "!x", "a\\b", "a\nb"] {
            assert!(ExeName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn agent_ids_are_compared_by_number_and_written_with_three_digits() {
        assert_eq!(AgentId::parse("1"), AgentId::parse("001"));
        assert_eq!(AgentId::parse("7").unwrap().to_string(), "007");
        assert_eq!(AgentId::parse("12345").unwrap().to_string(), "12345");
        for bad in ["", "-1", "1,2", "web", "1 ", "9999999999"] {
            assert!(AgentId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_agent_name_is_never_an_id_or_a_range() {
        for good in ["web-7", "db.example.org", "A_1"] {
            assert!(AgentName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "", "7", "1-3", "-x", "a b", "a:b", "a,b", "ü", "all", "Server",
        ] {
            assert!(AgentName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_command_name_that_would_bypass_declaration_is_refused() {
        assert_eq!(CommandName::parse("!x"), Err(InvalidName::Start('!')));
        assert!(CommandName::parse("firewall-drop").is_ok());
    }

    #[test]
    fn an_action_id_survives_being_written_and_read() {
        let id = ActionId::from_bytes([0xab; 16]);
        assert_eq!(ActionId::parse(&id.to_string()), Ok(id));
        assert!(ActionId::parse("+1").is_err());
        assert!(ActionId::parse(&"g".repeat(32)).is_err());
    }
}
