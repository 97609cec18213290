//! How a host becomes an agent: the token it is given, and the one question it
//! asks with it. The connection is TLS to the manager whose CA has the pin of
//! the token; the question is the first frame and the answer the only other.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{AgentGroup, AgentId, AgentName, Pin};
use crate::wire::hello::Denial;

/// What the token begins with, so that people and scanners for leaked secrets
/// know it.
const PREFIX: &str = "ripost1";

const KEY: usize = 65;

/// A public key on the curve P-256 as an uncompressed point (SEC 1, 2.3.3):
/// the private one never leaves the host. Written as hexadecimal digits.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; KEY]);

impl PublicKey {
    pub fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        read_hex(&text).map(Self)
    }
}

/// A text that is not the expected number of bytes in hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not {0} bytes in hexadecimal digits")]
pub struct NotHex(usize);

/// What lets a host enroll: `ripost1_PIN_ID_SECRET`, each part in hexadecimal
/// digits. The manager keeps the id and a hash of the secret.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    /// Of the CA the host may enroll with.
    pub pin: Pin,
    pub id: TokenId,
    pub secret: Secret,
}

/// Names a token.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId([u8; 8]);

/// Proves that somebody was given a token.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret([u8; 16]);

impl TokenId {
    /// Reads the sixteen hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, NotHex> {
        read_hex(text).map(Self)
    }

    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl Secret {
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TokenId {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        read_hex(&text).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Secret {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        read_hex(&text).map(Self)
    }
}

/// A text that is no token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "this is no enrollment token\n(it begins with {PREFIX}_ and is one word; `ripostctl enroll token` on the manager prints one)"
)]
pub struct NotAToken;

impl Token {
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        let parts: Vec<_> = text.trim().split('_').collect();
        let [PREFIX, pin, id, secret] = parts[..] else {
            return Err(NotAToken);
        };
        Ok(Self {
            pin: Pin::parse(pin).map_err(|_| NotAToken)?,
            id: TokenId(read_hex(id).map_err(|_| NotAToken)?),
            secret: Secret(read_hex(secret).map_err(|_| NotAToken)?),
        })
    }

    /// The whole token with its secret: for the person who asked for it.
    pub fn reveal(&self) -> String {
        let secret = String::from(self.secret);
        format!("{PREFIX}_{}_{}_{secret}", self.pin, self.id)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

/// The question of a host that wants to become an agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct EnrollRequest {
    pub protocol: u32,
    /// For people: the version of the package.
    pub version: String,
    pub token: TokenId,
    pub secret: Secret,
    pub key: PublicKey,
    /// The name it wishes, unless the token gives one.
    pub name: AgentName,
}

/// The answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrollAnswer {
    Enrolled {
        id: AgentId,
        name: AgentName,
        groups: Vec<AgentGroup>,
        /// PEM.
        certificate: String,
        /// PEM.
        ca: String,
    },
    Denied {
        denial: Denial,
        /// For people: what was wrong and what to do.
        text: String,
    },
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn read_hex<const N: usize>(text: &str) -> Result<[u8; N], NotHex> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(NotHex(N));
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| NotHex(N))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Secret, Token, TokenId};
    use crate::model::Pin;

    fn token() -> Token {
        Token {
            pin: Pin::from_bytes([0xab; 32]),
            id: TokenId::from_bytes([0x01; 8]),
            secret: Secret::from_bytes([0xfe; 16]),
        }
    }

    #[test]
    fn a_token_is_one_word_that_survives_being_pasted() {
        let text = token().reveal();
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        assert_eq!(Token::parse(&format!(" {text}\n")), Ok(token()));
    }

    #[test]
    fn a_token_that_is_cut_or_has_a_part_too_many_is_none() {
        let text = token().reveal();
        for bad in [
            "",
            "ripost1",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}_00"),
        ] {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_logged_of_a_token_has_no_secret() {
        let said = format!("{:?} {:?}", token(), token().secret);
        assert!(!said.contains("fefe"), "{said}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            if let Ok(token) = Token::parse(&text) {
                prop_assert_eq!(Token::parse(&token.reveal()), Ok(token));
            }
        }
    }
}
