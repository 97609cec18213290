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
    #[error(
        "read UID_MIN in {LOGIN_DEFS}: {0:?} is no number\n(correct it; where there is --min-uid, it goes before)"
    )]
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
        let uid = match Account::find(name)? {
            Account::OfHost(uid) => uid,
            Account::OfDirectory(_) => return Err(PersonError::Directory(name.clone())),
        };
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

/// Where the account of a name is, and its uid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Account {
    /// In /etc/passwd.
    OfHost(u32),
    /// In a directory that nsswitch.conf(5) leads to.
    OfDirectory(u32),
}

impl Account {
    fn find(name: &UserName) -> Result<Self, PersonError> {
        let passwd = fs::read(Path::new(PASSWD))?.unwrap_or_default();
        match uid_in(&passwd, name.as_str()) {
            Some(Some(uid)) => Ok(Self::OfHost(uid)),
            Some(None) => Err(PersonError::Uid(name.clone())),
            None => Ok(Self::OfDirectory(uid_elsewhere(name)?)),
        }
    }
}

/// The uid of a name, from whatever database the host has.
pub fn uid_of(name: &UserName) -> Result<u32, PersonError> {
    match Account::find(name)? {
        Account::OfHost(uid) | Account::OfDirectory(uid) => Ok(uid),
    }
}

/// The uid that the first line with this name has, as getpwnam(3) finds it; the
/// inner `None` if it is no number.
fn uid_in(passwd: &[u8], name: &str) -> Option<Option<u32>> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let is_it = fields.next() == Some(name.as_bytes());
        let uid = fields.nth(1).filter(|_| is_it)?;
        Some(str::from_utf8(uid).ok().and_then(|uid| uid.parse().ok()))
    })
}

/// `UID_MIN` of login.defs(5), of which the first counts.
pub fn first_person() -> Result<u32, PersonError> {
    let text = fs::read(Path::new(LOGIN_DEFS))?.unwrap_or_default();
    people_begin(&String::from_utf8_lossy(&text))
}

fn people_begin(text: &str) -> Result<u32, PersonError> {
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

/// The uid of a name that is not in /etc/passwd, if nsswitch.conf(5) leads to
/// somebody all the same.
fn uid_elsewhere(name: &UserName) -> Result<u32, PersonError> {
    let unknown = |why| PersonError::Elsewhere(name.clone(), why);
    let getent = Tool::find("getent", "it comes with the C library").map_err(unknown)?;
    let asked = getent.run(&["passwd", "--", name.as_str()], ASK);
    let said = asked.map_err(unknown)?.stdout;
    // A name of digits is taken for a uid (getent(1)), so the name must be there.
    match uid_in(said.as_bytes(), name.as_str()) {
        Some(Some(uid)) => Ok(uid),
        Some(None) | None => Err(PersonError::Unknown(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::{people_begin, uid_in};

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
            assert_eq!(uid_in(passwd, name), wanted, "{name}");
        }
    }

    #[test]
    fn people_begin_where_the_host_says() {
        for (text, wanted) in [
            ("", Some(1_000)),
            (
                "# UID_MIN 7\n#UID_MIN 8\nUID_MIN\t\t\t 500 # x\nUID_MIN 9",
                Some(500),
            ),
            ("SYS_UID_MIN 100\nUID_MINI 3\n", Some(1_000)),
            ("UID_MIN many", None),
            ("UID_MIN", None),
        ] {
            assert_eq!(people_begin(text).ok(), wanted, "{text:?}");
        }
    }
}
