use std::fmt;

use serde::{Deserialize, Serialize};

/// A text or number that is no level.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not a level (0 to {})", Level::MAX)]
pub struct InvalidLevel;

/// The level of a rule, 0 to 20. Rules stop at 16; Wazuh 4.14 accepts up to 20
/// in a response (config/active-response.c).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Level(u8);

impl Level {
    pub const MAX: u8 = 20;

    /// The level of a rule that does not state one.
    pub const ZERO: Level = Level(0);

    pub fn new(number: u8) -> Result<Self, InvalidLevel> {
        if number > Self::MAX {
            return Err(InvalidLevel);
        }
        Ok(Self(number))
    }

    /// Decimal digits only: no sign, no blanks.
    pub fn parse(text: &str) -> Result<Self, InvalidLevel> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidLevel);
        }
        text.parse().map_err(|_| InvalidLevel).and_then(Self::new)
    }

    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u8> for Level {
    type Error = InvalidLevel;

    fn try_from(number: u8) -> Result<Self, InvalidLevel> {
        Self::new(number)
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level.0
    }
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn a_level_is_digits_up_to_twenty() {
        assert_eq!(Level::parse("10").map(Level::number), Ok(10));
        for bad in ["", "21", "-1", "+3", " 3", "256", "ten"] {
            assert!(Level::parse(bad).is_err(), "{bad:?}");
        }
    }
}
