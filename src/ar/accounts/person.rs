//! The account of a person: the only kind that is acted on. Never root under
//! whatever name, never an account of the system.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::ar::tool::{Tool, ToolError};
use crate::model::bundled::Options;
use crate::model::target::UserName;
use crate::sys::fs::{self, FsError};

const PASSWD: &str = "/etc/passwd";
const LOGIN_DEFS: &str = "/etc/login.defs";

/// Where login.defs(5) says nothing else.
const FIRST_PERSON: u32 = 1000;

/// What the kernel shows for users that it cannot name (overflowuid).
const NOBODY: u32 = 65534;

/// A directory that does not answer must not hold up everything else.
const ASK: Duration = Duration::from_secs(5);

/// Somebody whose account may be acted on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Person {
    pub name: UserName,
    pub uid: u32,
}

/// Who bears a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    Person(Person),
    /// Nobody that may be acted on.
    Other(Spared),
}

/// An account that is left alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spared {
    name: UserName,
    why: Why,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Why {
    Root,
    Nobody,
    System { uid: u32, first: u32 },
}

impl fmt::Display for Spared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused {}: it is ", self.name)?;
        match self.why {
            Why::Root => f.write_str("root by another name (uid 0)"),
            Why::Nobody => f.write_str("the account that stands for nobody"),
            Why::System { uid, first } => write!(
                f,
                "an account of the system (uid {uid}; people begin at {first}, or at what --min-uid says)"
            ),
        }
    }
}

/// Why it is not known who bears a name.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    #[error("find the account {0}: neither {PASSWD} nor any directory of this host has it")]
    Unknown(UserName),
    #[error(
        "find the account {0} in {PASSWD}: it comes from a directory, such as LDAP\n(act on it there: on this host alone it cannot be locked)"
    )]
    Directory(UserName),
    #[error("find the account {0} in {PASSWD}\n(whether a directory has it is not known: {1})")]
    Elsewhere(UserName, ToolError),
    #[error("read UID_MIN in {LOGIN_DEFS}: {0:?} is no number\n(correct it, or give --min-uid)")]
    UidMin(String),
    #[error("read the uid of {0} in {PASSWD}: it is no number\n(pwck finds such lines)")]
    Uid(UserName),
    #[error(transparent)]
    File(#[from] FsError),
}

impl Person {
    /// Looks in /etc/passwd who bears a name. `--min-uid` says where people
    /// begin, login.defs otherwise.
    pub fn find(name: &UserName, options: &Options) -> Result<Who, PersonError> {
        let passwd = fs::read(Path::new(PASSWD))?.unwrap_or_default();
        let Some(uid) = uid_of(&passwd, name.as_str()) else {
            return Err(elsewhere(name));
        };
        let uid = uid.ok_or_else(|| PersonError::Uid(name.clone()))?;
        let first = match options.get("--min-uid").and_then(|uid| uid.parse().ok()) {
            Some(first) => first,
            None => first_person()?,
        };
        let why = match uid {
            0 => Why::Root,
            NOBODY => Why::Nobody,
            _ if name.as_str() == "nobody" => Why::Nobody,
            _ if uid < first => Why::System { uid, first },
            _ => {
                let name = name.clone();
                return Ok(Who::Person(Self { name, uid }));
            }
        };
        let name = name.clone();
        Ok(Who::Other(Spared { name, why }))
    }
}

/// The uid that the first line with this name has, as getpwnam(3) finds it; the
/// inner `None` if it is no number.
fn uid_of(passwd: &[u8], name: &str) -> Option<Option<u32>> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let is_it = fields.next() == Some(name.as_bytes());
        let uid = fields.nth(1).filter(|_| is_it)?;
        Some(str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok()))
    })
}

/// `UID_MIN` of login.defs(5), of which the first counts.
fn first_person() -> Result<u32, PersonError> {
    let text = fs::read(Path::new(LOGIN_DEFS))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let found = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("UID_MIN")).then(|| words.next().unwrap_or_default())
    });
    match found {
        None => Ok(FIRST_PERSON),
        Some(number) => number
            .parse()
            .map_err(|_| PersonError::UidMin(number.to_owned())),
    }
}

/// Says of a name that is not in /etc/passwd whether nsswitch.conf(5) leads to
/// somebody all the same.
fn elsewhere(name: &UserName) -> PersonError {
    let asked = Tool::find("getent", "it comes with the C library")
        .and_then(|getent| getent.run(&["passwd", "--", name.as_str()], ASK));
    match asked {
        // A name of digits is taken for a uid (getent(1)).
        Ok(ended) if ended.stdout.split(':').next() == Some(name.as_str()) => {
            PersonError::Directory(name.clone())
        }
        Ok(_) => PersonError::Unknown(name.clone()),
        Err(why) => PersonError::Elsewhere(name.clone(), why),
    }
}

#[cfg(test)]
mod tests {
    use super::uid_of;

    #[test]
    fn the_first_line_with_a_name_counts_and_no_part_of_one() {
        let passwd = b"root:x:0:0::/:/bin/sh\nalice2:x:1:1::/:\nalice:x:1001:1::/:\nalice:x:0:0::/:\nbad:x:y:1::/:\nshort:x\n";
        for (name, wanted) in [
            ("root", Some(Some(0))),
            ("alice", Some(Some(1001))),
            ("alic", None),
            ("ALICE", None),
            ("bad", Some(None)),
            ("short", None),
            ("", None),
        ] {
            assert_eq!(uid_of(passwd, name), wanted, "{name}");
        }
    }
}
