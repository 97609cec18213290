//! One line of /etc/shadow (shadow(5)), of which the lock and the end are
//! changed, and nothing else.

use sha2::{Digest, Sha256};

/// Fields of a line, counted from 0.
const PASSWORD: usize = 1;
const EXPIRES: usize = 7;

/// Before a password it makes that match nothing (passwd(1), `-l`).
const LOCK: u8 = b'!';

/// The first day after 1970-01-01, which is long over. Day 0 is not to be used,
/// as some take it for "never" (shadow(5)).
pub const OVER: &str = "1";

/// The two fields that matter here, as they stand in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    password: Vec<u8>,
    expires: Vec<u8>,
}

impl Entry {
    /// The first line with this name, as getspnam(3) finds it; none also where
    /// the line does not have the nine fields.
    pub fn find(text: &[u8], name: &str) -> Option<Self> {
        let fields = lines(text).find_map(|line| fields(line, name))?;
        Some(Self {
            password: fields[PASSWORD].to_vec(),
            expires: fields[EXPIRES].to_vec(),
        })
    }

    /// The whole file with this entry in the place of that of the same name.
    pub fn put(&self, text: &[u8], name: &str) -> Vec<u8> {
        let mut is_first = true;
        let lines: Vec<_> = lines(text)
            .map(|line| match fields(line, name) {
                Some(mut fields) if std::mem::take(&mut is_first) => {
                    fields[PASSWORD] = &self.password;
                    fields[EXPIRES] = &self.expires;
                    fields.join(&b':')
                }
                Some(_) | None => line.to_vec(),
            })
            .collect();
        lines.join(&b'\n')
    }

    pub fn is_locked(&self) -> bool {
        self.password.first() == Some(&LOCK)
    }

    #[must_use]
    pub fn locked(&self) -> Self {
        let password = [&[LOCK], self.password.as_slice()].concat();
        Self {
            password,
            ..self.clone()
        }
    }

    /// Without one lock.
    #[must_use]
    pub fn unlocked(&self) -> Self {
        let password = self.password.strip_prefix(&[LOCK]);
        Self {
            password: password.unwrap_or(&self.password).to_vec(),
            ..self.clone()
        }
    }

    /// When the account ends, in days since 1970-01-01; empty for never.
    pub fn expires(&self) -> String {
        String::from_utf8_lossy(&self.expires).into_owned()
    }

    #[must_use]
    pub fn expiring(&self, expires: &str) -> Self {
        Self {
            expires: expires.into(),
            ..self.clone()
        }
    }

    /// Tells this password from any other without giving it away.
    pub fn fingerprint(&self) -> String {
        hexadecimal(&self.password)
    }
}

/// The SHA-256 of some bytes.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

fn fields<'a>(line: &'a [u8], name: &str) -> Option<Vec<&'a [u8]>> {
    let fields: Vec<_> = line.split(|byte| *byte == b':').collect();
    (fields[0] == name.as_bytes() && fields.len() == 9).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::Entry;

    const TEXT: &[u8] = b"root:*:1:0:9:7:::\nalice2:$6$b:1::::::\nalice:$6$a:19000:0:99999:7:::\n\
        alice:second:1::::::\nshort:x:1\nend:!:1:::::30:";

    #[test]
    fn only_the_two_fields_of_the_one_line_change_and_change_back() {
        let entry = Entry::find(TEXT, "alice").unwrap();
        assert!(!entry.is_locked());
        let locked = entry.locked().expiring("1");
        let text = locked.put(TEXT, "alice");
        let wanted = String::from_utf8_lossy(TEXT).replace(
            "alice:$6$a:19000:0:99999:7:::",
            "alice:!$6$a:19000:0:99999:7::1:",
        );
        assert_eq!(String::from_utf8_lossy(&text), wanted);
        assert_eq!(Entry::find(&text, "alice"), Some(locked.clone()));
        assert_eq!(entry.put(&text, "alice"), TEXT);
        assert_eq!(locked.unlocked().expiring(""), entry);
    }

    #[test]
    fn a_lock_is_an_exclamation_mark_before_whatever_stands_there() {
        let end = Entry::find(TEXT, "end").unwrap();
        assert!(end.is_locked());
        assert_eq!(end.expires(), "30");
        assert!(!Entry::find(TEXT, "root").unwrap().is_locked());
        let twice = Entry::find(TEXT, "alice").unwrap().locked().locked();
        assert!(twice.unlocked().is_locked());
        assert_ne!(twice.fingerprint(), twice.unlocked().fingerprint());
    }

    #[test]
    fn a_line_that_is_none_is_nobodys() {
        for name in ["short", "bob", "", "alic", "Alice"] {
            assert_eq!(Entry::find(TEXT, name), None, "{name}");
        }
    }
}
