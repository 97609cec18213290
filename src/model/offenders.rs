//! `<repeated_offenders>`: how much longer a target is held that comes again.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::span;

/// Why spans are no steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSteps {
    #[error("are more than {}", Steps::MAX)]
    TooMany,
    #[error("include one of no time at all")]
    Zero,
    #[error("include one that is longer than {} days", span::MAX.as_secs() / 86_400)]
    TooLong,
}

/// How long the first repeat lasts, the second, and so on; all further ones last
/// as long as the last step. None at all: switched off.
///
/// As text of others they are whole seconds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<u64>", into = "Vec<u64>")]
pub struct Steps(Arc<[Duration]>);

impl Steps {
    /// More than anybody writes: they travel with each action.
    pub const MAX: usize = 1_000;

    pub fn new(steps: Vec<Duration>) -> Result<Self, InvalidSteps> {
        if steps.len() > Self::MAX {
            return Err(InvalidSteps::TooMany);
        }
        if steps.iter().any(Duration::is_zero) {
            return Err(InvalidSteps::Zero);
        }
        if steps.iter().any(|step| *step > span::MAX) {
            return Err(InvalidSteps::TooLong);
        }
        Ok(Self(steps.into()))
    }

    /// How long a block lasts that comes after so many others; `None` for the
    /// first one, which lasts as long as its response says.
    pub fn after(&self, blocks: u32) -> Option<Duration> {
        let at = usize::try_from(blocks.checked_sub(1)?).unwrap_or(usize::MAX);
        self.0.get(at).or(self.0.last()).copied()
    }

    pub fn first(&self) -> Option<Duration> {
        self.0.first().copied()
    }

    pub fn longest(&self) -> Option<Duration> {
        self.0.iter().max().copied()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl TryFrom<Vec<u64>> for Steps {
    type Error = InvalidSteps;

    fn try_from(seconds: Vec<u64>) -> Result<Self, InvalidSteps> {
        Self::new(seconds.into_iter().map(Duration::from_secs).collect())
    }
}

impl From<Steps> for Vec<u64> {
    fn from(steps: Steps) -> Self {
        steps.0.iter().map(Duration::as_secs).collect()
    }
}

/// What a manager's file says them for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppliesTo {
    /// This response: they rule.
    Response,
    /// All responses: what the host's own file says rules.
    All,
}

/// What a manager says about repeats of an action. It travels with it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RepeatedOffenders {
    pub scope: AppliesTo,
    pub steps: Steps,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{InvalidSteps, Steps};

    #[test]
    fn each_repeat_takes_the_next_step_and_stays_at_the_last() {
        let steps = Steps::try_from(vec![60, 30, 90]).unwrap();
        let after = |blocks| steps.after(blocks).map(|step| step.as_secs());
        assert_eq!(after(0), None);
        assert_eq!(
            [1, 2, 3, 4, u32::MAX].map(after),
            [60, 30, 90, 90, 90].map(Some)
        );
        assert_eq!(steps.longest(), Some(Duration::from_secs(90)));
        assert_eq!(Steps::default().after(7), None);
    }

    #[test]
    fn what_comes_from_another_machine_is_no_less_valid() {
        let read = |text: &str| serde_json::from_str::<Steps>(text);
        assert_eq!(read("[60,90]").unwrap().count(), 2);
        assert!(read("[60,0]").is_err());
        assert!(read("[18446744073709551615]").is_err());
        assert_eq!(
            Steps::try_from(vec![1; Steps::MAX + 1]),
            Err(InvalidSteps::TooMany)
        );
    }
}
