//! Targets that are named by a text: hosts, users, processes, files, services.

use std::fmt;

use super::InvalidTarget;

/// The longest name of a host, in bytes (RFC 1035, 2.3.4).
const MAX_HOST: usize = 255;

/// The longest login name that 4.x takes, in bytes.
const MAX_USER: usize = 256;

/// What fits the limit of keys, one less than `PATH_MAX` without its NUL.
const MAX_PATH: usize = 4094;

/// `PID_MAX_LIMIT` of a 64-bit kernel (proc_sys_kernel(5)).
const MAX_PID: u32 = 1 << 22;

/// The name of a host, as an alert has it in the place of an address.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HostName(String);

impl HostName {
    /// What 4.x lets pass as the address of an alert and is none (Wazuh 4.14
    /// analysisd/alerts/exec.c: `^[a-zA-Z.:_0-9-]*$`); it has a letter, and does
    /// not begin as an option does.
    pub fn parse(text: &str) -> Option<Self> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte);
        let is_name = text.len() <= MAX_HOST
            && text.bytes().all(is_part)
            && text.bytes().any(|byte| byte.is_ascii_alphabetic())
            && !text.starts_with('-');
        is_name.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A login name. Whether there is such a user, and whether one may act on it, is
/// for the host to know.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UserName(String);

impl UserName {
    /// What 4.x refuses is refused (Wazuh 4.14 active_responses.c
    /// get_username_from_json): no root, nothing that a tool could take for an
    /// option or a path, no blanks. Nor are control characters taken.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let is_good = !text.is_empty()
            && text.len() <= MAX_USER
            && text != "root"
            && !text.starts_with(['-', '+', '~'])
            && !text.contains([':', ',', ' ', '/', '\\'])
            && !text.contains(char::is_control)
            && !text.contains("..");
        let name = is_good.then(|| Self(text.to_owned()));
        name.ok_or(InvalidTarget::NoUser)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Processes of a host.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Process {
    /// One, and its descendants. Number 1 is never one.
    Pid(u32),
    /// All that run this file.
    Executable(FilePath),
    /// All of a user.
    User(UserName),
}

impl Process {
    pub fn parse_pid(text: &str) -> Result<Self, InvalidTarget> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let pid = text.parse().ok().filter(|_| is_number);
        let pid = pid.filter(|pid| (2..=MAX_PID).contains(pid));
        pid.map(Self::Pid).ok_or(InvalidTarget::NoProcess)
    }
}

/// The absolute path of a file, as it was written: links in it are for whoever
/// opens it to judge.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FilePath(String);

impl FilePath {
    /// Paths that name a folder for certain, or need the file system to be
    /// understood (`..`), are refused.
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        let is_good = text.starts_with('/')
            && text.len() <= MAX_PATH
            && !text.ends_with('/')
            && !text.contains(char::is_control)
            && !text.split('/').any(|part| part == "..")
            && !text.ends_with("/.");
        let path = is_good.then(|| Self(text.to_owned()));
        path.ok_or(InvalidTarget::NoFile)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => pid.fmt(f),
            Self::Executable(path) => path.fmt(f),
            Self::User(user) => user.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FilePath, Process, UserName};

    /// What Wazuh 4.14.7 was observed to take and to refuse.
    #[test]
    fn a_user_is_what_4x_takes_and_no_control_characters() {
        let long = "x".repeat(256);
        for good in ["alice", "Root", "a;id", "$(id)", "a'b", "a*", "é", &long] {
            assert!(UserName::parse(good).is_ok(), "{good:?}");
        }
        let longer = "x".repeat(257);
        for bad in [
            "",
            "root",
            "-u",
            "+x",
            "~x",
            "a b",
            "a\tb",
            "a\nb",
            "alice\nroot",
            "a:b",
            "a,b",
            "a/b",
            "a\\b",
            "a..b",
            "\u{1}ctl",
            "\u{7f}",
            &longer,
        ] {
            assert!(UserName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_process_has_a_number_that_is_not_the_first() {
        assert_eq!(
            Process::parse_pid("4194304").unwrap().to_string(),
            "4194304"
        );
        for bad in [
            "",
            "0",
            "1",
            "-2",
            "+2",
            "2 ",
            "0x2",
            "4194305",
            "99999999999",
        ] {
            assert!(Process::parse_pid(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_has_an_absolute_path_that_needs_no_file_system() {
        for good in ["/a", "/a b/c;d", "//a", "/a/./b", "/.hidden", "/é"] {
            assert!(FilePath::parse(good).is_ok(), "{good:?}");
        }
        let long = format!("/{}", "x".repeat(4094));
        for bad in [
            "", "/", "a", "a/b", "/a/", "/a/../b", "/..", "/a/.", "/a\nb", &long,
        ] {
            assert!(FilePath::parse(bad).is_err(), "{bad:?}");
        }
    }
}
