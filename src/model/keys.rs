use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a list of texts cannot name a target.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidKeys {
    #[error("are more than {}", Keys::MAX_COUNT)]
    TooMany,
    #[error("are longer than {} bytes in all", Keys::MAX_BYTES)]
    TooLong,
}

/// The strings that name a target (`check_keys` of the contract). Together
/// with the executable they are what is in force once.
///
/// Wazuh 4.14 cuts them at 4,095 bytes, so that two long keys which differ
/// behind the cut collide; here longer ones are refused.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "Vec<String>")]
pub struct Keys(Arc<[String]>);

impl Keys {
    pub const MAX_COUNT: usize = 64;
    pub const MAX_BYTES: usize = 4095;

    pub fn new(keys: Vec<String>) -> Result<Self, InvalidKeys> {
        if keys.len() > Self::MAX_COUNT {
            return Err(InvalidKeys::TooMany);
        }
        if keys.iter().map(|key| key.len() + 1).sum::<usize>() > Self::MAX_BYTES {
            return Err(InvalidKeys::TooLong);
        }
        Ok(Self(keys.into()))
    }

    /// Whether nothing is named: no keys, or only empty ones.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(String::is_empty)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl TryFrom<Vec<String>> for Keys {
    type Error = InvalidKeys;

    fn try_from(keys: Vec<String>) -> Result<Self, InvalidKeys> {
        Self::new(keys)
    }
}

impl From<Keys> for Vec<String> {
    fn from(keys: Keys) -> Self {
        keys.0.to_vec()
    }
}
