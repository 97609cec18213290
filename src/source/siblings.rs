//! Earlier generations of a followed file, found next to it by the names that
//! rotation gives them. No time is compared: the order is that of the names,
//! and it counts only from a file that is known by its identity.
//!
//! Known: `NAME.1`, `NAME.2`, … (the highest number is the oldest);
//! `NAME-20261120`, `NAME.2026-11-20`, also before the extension
//! (`alerts-20261120.json`); and Wazuh's `YYYY/Mon/ossec-NAME-DD[-NNN].json`
//! below the directory of the file (Wazuh 4.14 analysisd/getloglocation.c).
//! Compressed ones cannot be read.

use std::fs;
use std::path::{Path, PathBuf};

use super::life::{self, Opened, identity, same};
use crate::model::position::FileIdentity;

/// More files than this in one directory are not looked through.
const MAX_ENTRIES: usize = 10_000;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Where a name stands among those of its scheme; smaller is older.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    Numbered(std::cmp::Reverse<u32>),
    /// The text before and after the date, and the date.
    Dated(String, String),
    Wazuh {
        year: u16,
        month: usize,
        day: u8,
        part: u16,
    },
}

impl Rank {
    fn same_scheme(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dated(a, _), Self::Dated(b, _)) => a == b,
            (Self::Numbered(_), Self::Numbered(_)) | (Self::Wazuh { .. }, Self::Wazuh { .. }) => {
                true
            }
            (Self::Numbered(_) | Self::Dated(..) | Self::Wazuh { .. }, _) => false,
        }
    }
}

#[derive(Debug)]
struct Sibling {
    rank: Rank,
    path: PathBuf,
    identity: FileIdentity,
}

/// The file of this identity, wherever it lies now.
pub(super) fn find(path: &Path, wanted: &FileIdentity) -> Option<Opened> {
    let found = list(path)
        .into_iter()
        .find(|sibling| same(&sibling.identity, wanted))?;
    let opened = life::open(&found.path).ok()?;
    same(&opened.identity, wanted).then_some(opened)
}

/// The generations that followed `older` and preceded `newer`, oldest first.
/// Empty also when `older` is no longer to be found.
pub(super) fn between(path: &Path, older: &FileIdentity, newer: &FileIdentity) -> Vec<Opened> {
    // A rotation while the list is made moves the names on: the files that were
    // listed are then not those that are opened, and the list is made again.
    (0..3)
        .find_map(|_| try_between(path, older, newer))
        .unwrap_or_default()
}

fn try_between(path: &Path, older: &FileIdentity, newer: &FileIdentity) -> Option<Vec<Opened>> {
    let mut siblings = list(path);
    let anchor = siblings
        .iter()
        .find(|sibling| same(&sibling.identity, older))
        .map(|sibling| sibling.rank.clone());
    let Some(anchor) = anchor else {
        return Some(Vec::new());
    };
    siblings.retain(|sibling| sibling.rank.same_scheme(&anchor) && sibling.rank > anchor);
    siblings.sort_by(|a, b| a.rank.cmp(&b.rank));
    siblings
        .into_iter()
        .take_while(|sibling| !same(&sibling.identity, newer))
        .map(|sibling| {
            life::open(&sibling.path)
                .ok()
                .filter(|opened| same(&opened.identity, &sibling.identity))
        })
        .collect()
}

fn list(path: &Path) -> Vec<Sibling> {
    let mut found = Vec::new();
    look_around(path, &mut found);
    // Where the path is a link, rotation may name the files next to its target.
    match fs::canonicalize(path) {
        Ok(target) if target.file_name() != path.file_name() || is_link(path) => {
            look_around(&target, &mut found);
        }
        Ok(_) | Err(_) => {}
    }
    found
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn look_around(path: &Path, found: &mut Vec<Sibling>) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let directory = match directory == Path::new("") {
        true => Path::new("."),
        false => directory,
    };
    let Some(name) = name.to_str() else { return };
    for entry in names(directory) {
        if let Some(rank) = rank(name, &entry) {
            add(found, rank, directory.join(&entry));
        } else if entry.len() == 4
            && let Ok(year) = entry.parse()
        {
            look_into_year(&directory.join(&entry), year, name, found);
        }
    }
}

fn look_into_year(directory: &Path, year: u16, name: &str, found: &mut Vec<Sibling>) {
    for (month, word) in MONTHS.iter().enumerate() {
        let directory = directory.join(word);
        for entry in names(&directory) {
            if let Some((day, part)) = wazuh_day(name, &entry) {
                let rank = Rank::Wazuh {
                    year,
                    month,
                    day,
                    part,
                };
                add(found, rank, directory.join(&entry));
            }
        }
    }
}

fn add(found: &mut Vec<Sibling>, rank: Rank, path: PathBuf) {
    // What is gone or may not be looked at cannot be read either.
    if let Ok(metadata) = fs::metadata(&path)
        && metadata.is_file()
    {
        found.push(Sibling {
            rank,
            path,
            identity: identity(&metadata),
        });
    }
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

/// What a name says of a rotated `name`. `None`: nothing.
fn rank(name: &str, entry: &str) -> Option<Rank> {
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, extension),
        Some(_) | None => (name, ""),
    };
    let (place, suffix) = match entry.strip_prefix(name) {
        Some(suffix) => ("behind", suffix),
        None => (
            "inside",
            entry
                .strip_prefix(stem)?
                .strip_suffix(extension)?
                .strip_suffix('.')?,
        ),
    };
    let separator = suffix.chars().next().filter(|c| "-._".contains(*c))?;
    let text = &suffix[1..];
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits == text.len() && (1..=4).contains(&digits) {
        return text
            .parse()
            .ok()
            .map(|number| Rank::Numbered(std::cmp::Reverse(number)));
    }
    let dated = digits >= 6
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-_:.TZ".contains(&byte));
    dated.then(|| Rank::Dated(format!("{place}{separator}"), text.to_owned()))
}

/// Day and part of `ossec-alerts-20-001.json`, for `alerts.json`.
fn wazuh_day(name: &str, entry: &str) -> Option<(u8, u16)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let text = entry
        .strip_prefix("ossec-")?
        .strip_prefix(stem)?
        .strip_prefix('-')?
        .strip_suffix(extension)?
        .strip_suffix('.')?;
    let (day, part) = match text.split_once('-') {
        Some((day, part)) => (day, part.parse().ok()?),
        None => (text, 0),
    };
    Some((day.parse().ok()?, part))
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::{Rank, rank, wazuh_day};

    #[test]
    fn names_that_rotation_gives_are_told_from_others() {
        let dated = |scheme: &str, date: &str| Rank::Dated(scheme.to_owned(), date.to_owned());
        let cases = [
            ("alerts.json.1", Some(Rank::Numbered(Reverse(1)))),
            ("alerts.1.json", Some(Rank::Numbered(Reverse(1)))),
            ("alerts.json-20261120", Some(dated("behind-", "20261120"))),
            (
                "alerts.json.2026-11-20",
                Some(dated("behind.", "2026-11-20")),
            ),
            ("alerts-20261120.json", Some(dated("inside-", "20261120"))),
            ("alerts.json", None),
            ("alerts.json.1.gz", None),
            ("alerts.json.bak", None),
            ("alerts.json~", None),
            ("alerts.log", None),
            ("alerts-old.json", None),
            ("my-alerts.json.1", None),
        ];
        for (entry, wanted) in cases {
            assert_eq!(rank("alerts.json", entry), wanted, "{entry}");
        }
    }

    #[test]
    fn a_higher_number_and_an_earlier_date_are_older() {
        let order = |older: &str, newer: &str| {
            let (older, newer) = (rank("a.json", older), rank("a.json", newer));
            assert!(older.unwrap() < newer.unwrap());
        };
        order("a.json.10", "a.json.9");
        order("a.json-20261120", "a.json-20261121");
        order("a.json-2026112023", "a.json-2026112100");
    }

    #[test]
    fn the_days_of_wazuh_are_told_with_their_parts() {
        let cases = [
            ("ossec-alerts-20.json", Some((20, 0))),
            ("ossec-alerts-05-012.json", Some((5, 12))),
            ("ossec-alerts-20.json.gz", None),
            ("ossec-alerts-20.log", None),
            ("ossec-archive-20.json", None),
        ];
        for (entry, wanted) in cases {
            assert_eq!(wazuh_day("alerts.json", entry), wanted, "{entry}");
        }
    }
}
