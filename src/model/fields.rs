//! Where in an alert something stands, and what is looked for where.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest path, in bytes.
const MAX_PATH: usize = 512;

/// The most names in a path.
const MAX_DEPTH: usize = 32;

/// The most paths that are looked at for one thing.
pub const MAX_PATHS: usize = 32;

/// Members of an alert that a message goes without if it would be too long, in
/// this order.
pub const EXPENDABLE: [&str; 2] = ["previous_output", "full_log"];

/// The way to a value in an alert: names of members with dots between. `\.` is
/// a dot within a name, as Falco has them, and a number is also the item of a
/// list, counted from 0.
///
/// ```
/// use ripost::model::FieldPath;
///
/// let path = FieldPath::parse(r"output_fields.fd\.rip")?;
/// let names: Vec<_> = path.names().collect();
/// assert_eq!(names, ["output_fields", "fd.rip"]);
/// # Ok::<(), ripost::model::InvalidFieldPath>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldPath(Cow<'static, str>);

/// Why a text is no path.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidFieldPath {
    #[error("is empty")]
    Empty,
    #[error("is longer than {MAX_PATH} bytes")]
    TooLong,
    #[error("has more than {MAX_DEPTH} names")]
    TooDeep,
    #[error("has an empty name in it: names are separated by one dot")]
    EmptyName,
    #[error("has a character in it that cannot be printed, or a blank or comma")]
    Character,
    #[error(r"has a `\` that no dot or `\` follows")]
    Escape,
}

/// What is wrong with a part of a list of paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidFieldList {
    #[error(transparent)]
    Path(#[from] InvalidFieldPath),
    #[error("stands there twice")]
    Twice,
    /// Where it is gone another path would be asked, and not by all.
    #[error("leads to what a long message goes without ({})", EXPENDABLE.join(", "))]
    Expendable,
    #[error("is one more than the {MAX_PATHS} that can be looked at")]
    TooMany,
}

impl FieldPath {
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, InvalidFieldPath> {
        if text.is_empty() {
            return Err(InvalidFieldPath::Empty);
        }
        if text.len() > MAX_PATH {
            return Err(InvalidFieldPath::TooLong);
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == ',')
        {
            return Err(InvalidFieldPath::Character);
        }
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c == '\\' && !matches!(chars.next(), Some('.' | '\\')) {
                return Err(InvalidFieldPath::Escape);
            }
        }
        let path = Self(Cow::Owned(text.to_owned()));
        if path.names().any(|name| name.is_empty()) {
            return Err(InvalidFieldPath::EmptyName);
        }
        if path.names().count() > MAX_DEPTH {
            return Err(InvalidFieldPath::TooDeep);
        }
        Ok(path)
    }

    /// Reads paths with commas between, blanks around them or not: at least one,
    /// none of them twice, none to what is [`EXPENDABLE`], no more than
    /// [`MAX_PATHS`].
    ///
    /// # Errors
    /// Each part that is wrong, and what is wrong with it.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, Vec<(&str, InvalidFieldList)>> {
        let mut paths: Vec<Self> = Vec::new();
        let mut wrong = Vec::new();
        for part in text.split(',').map(str::trim) {
            if paths.len() + wrong.len() == MAX_PATHS {
                wrong.push((part, InvalidFieldList::TooMany));
                break;
            }
            match Self::parse(part) {
                Err(why) => wrong.push((part, why.into())),
                Ok(path) if path.is_expendable() => {
                    wrong.push((part, InvalidFieldList::Expendable));
                }
                Ok(path) if paths.iter().any(|known| known.is_same(&path)) => {
                    wrong.push((part, InvalidFieldList::Twice));
                }
                Ok(path) => paths.push(path),
            }
        }
        match wrong.as_slice() {
            [] => Ok(paths),
            [..] => Err(wrong),
        }
    }

    /// A path that stands in the sources.
    pub(crate) const fn known(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_expendable(&self) -> bool {
        let first = self.names().next().unwrap_or_default();
        EXPENDABLE
            .iter()
            .any(|name| first.eq_ignore_ascii_case(name))
    }

    /// Whether both lead to the same member: their names have no case.
    fn is_same(&self, other: &Self) -> bool {
        self.names()
            .map(|name| name.to_ascii_lowercase())
            .eq(other.names().map(|name| name.to_ascii_lowercase()))
    }

    /// The names, from the outermost member.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = Some(&*self.0);
        std::iter::from_fn(move || {
            let text = rest?;
            let end = end_of_name(text);
            rest = text.get(end + 1..);
            Some(plain(&text[..end]))
        })
    }
}

/// Where the first dot stands that no backslash precedes.
fn end_of_name(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'.' => return at,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len()
}

/// A name without its backslashes.
fn plain(name: &str) -> Cow<'_, str> {
    if !name.contains('\\') {
        return Cow::Borrowed(name);
    }
    let mut chars = name.chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FieldPath {
    type Error = InvalidFieldPath;

    fn try_from(text: String) -> Result<Self, InvalidFieldPath> {
        Self::parse(&text)
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> Self {
        path.0.into_owned()
    }
}

/// Where in an alert one thing is looked for, in order.
#[derive(Clone, Debug)]
pub enum Places<'a> {
    /// Where Wazuh 4.x or OSSEC have it. As there the first text decides, whatever
    /// it says.
    Usual(&'static [FieldPath]),
    /// Where somebody has said. The first text that says anything decides. An
    /// empty one, `-` and `<NA>` say nothing: that is how the pipelines for which
    /// such lists are made write "not known" (a logon at the console of a Windows
    /// host has `-` for its address), so another path is asked. All else decides,
    /// usable or not: behind a text that names something in a way that is of no
    /// use, the next path might name a bystander.
    Said(Cow<'a, [FieldPath]>),
}

impl<'a> Places<'a> {
    /// Where a map says that `field` is, else the usual ones.
    pub fn of(field: Field, map: Option<&'a FieldMap>, usual: &'static [FieldPath]) -> Self {
        match map.and_then(|map| map.paths(field)) {
            Some(paths) => Self::Said(Cow::Borrowed(paths)),
            None => Self::Usual(usual),
        }
    }

    pub fn paths(&self) -> &[FieldPath] {
        match self {
            Self::Usual(paths) => paths,
            Self::Said(paths) => paths,
        }
    }

    /// For people.
    pub fn listed(&self) -> Vec<String> {
        self.paths().iter().map(ToString::to_string).collect()
    }
}

/// What an alert can name for somebody to act upon.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// An address, a network or the name of a host.
    Srcip,
    /// The name of an account.
    User,
    /// The number of a process.
    Pid,
    /// The path of an executable whose processes are meant.
    Exe,
    /// The path of a file.
    File,
}

impl Field {
    /// The one with this word.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.word() == word)
    }

    pub const ALL: [Self; 5] = [Self::Srcip, Self::User, Self::Pid, Self::Exe, Self::File];

    /// The word for it in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Srcip => "srcip",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Exe => "exe",
            Self::File => "file",
        }
    }
}

/// For what an alert can name, where that is looked for, in order. What is not
/// in it is looked for where Wazuh 4.x has it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct FieldMap(BTreeMap<Field, Vec<FieldPath>>);

impl FieldMap {
    /// Looks for `field` there, too, after what there is.
    pub fn push(&mut self, field: Field, path: FieldPath) {
        let paths = self.0.entry(field).or_default();
        if !paths.iter().any(|known| known.is_same(&path)) {
            paths.push(path);
        }
    }

    /// Where `field` is looked for; none if where Wazuh 4.x has it.
    pub fn paths(&self, field: Field) -> Option<&[FieldPath]> {
        self.0.get(&field).map(Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this map says and, of what it does not speak of, what `other` says.
    pub fn over(&self, other: &Self) -> Self {
        let mut both = other.0.clone();
        both.extend(self.0.clone());
        Self(both)
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, FieldMap, FieldPath, InvalidFieldList, InvalidFieldPath, MAX_PATHS};

    #[test]
    fn a_path_is_cut_at_dots_that_stand_alone() {
        for (text, names) in [
            ("srcip", vec!["srcip"]),
            ("data.win.eventdata", vec!["data", "win", "eventdata"]),
            (r"output_fields.fd\.rip", vec!["output_fields", "fd.rip"]),
            (r"a\\.b\.c.0", vec![r"a\", "b.c", "0"]),
        ] {
            let path = FieldPath::parse(text).unwrap();
            assert_eq!(path.names().collect::<Vec<_>>(), names, "{text}");
            assert_eq!(path.as_str(), text);
        }
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (text, why) in [
            ("", InvalidFieldPath::Empty),
            (".a", InvalidFieldPath::EmptyName),
            ("a.", InvalidFieldPath::EmptyName),
            ("a..b", InvalidFieldPath::EmptyName),
            ("a b", InvalidFieldPath::Character),
            ("a,b", InvalidFieldPath::Character),
            ("a\u{7}", InvalidFieldPath::Character),
            (r"a\b", InvalidFieldPath::Escape),
            (r"a\", InvalidFieldPath::Escape),
            (&"a.".repeat(40), InvalidFieldPath::EmptyName),
            (&["a"; 40].join("."), InvalidFieldPath::TooDeep),
            (&"a".repeat(600), InvalidFieldPath::TooLong),
        ] {
            assert_eq!(FieldPath::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_list_says_what_is_wrong_with_each_of_its_parts() {
        use InvalidFieldList::{Expendable, Path, TooMany, Twice};
        let paths = FieldPath::parse_list(r"a.b , fd\.rip,c").unwrap();
        let paths: Vec<_> = paths.iter().map(FieldPath::as_str).collect();
        assert_eq!(paths, ["a.b", r"fd\.rip", "c"]);
        for (text, wrong) in [
            ("", vec![("", Path(InvalidFieldPath::Empty))]),
            ("a,", vec![("", Path(InvalidFieldPath::Empty))]),
            (
                "a..b, c d,e",
                vec![
                    ("a..b", Path(InvalidFieldPath::EmptyName)),
                    ("c d", Path(InvalidFieldPath::Character)),
                ],
            ),
            ("a.b,A.B", vec![("A.B", Twice)]),
            (
                "Full_Log,x.full_log,previous_output.0",
                vec![("Full_Log", Expendable), ("previous_output.0", Expendable)],
            ),
        ] {
            assert_eq!(FieldPath::parse_list(text), Err(wrong), "{text}");
        }
        let most: Vec<_> = (0..MAX_PATHS).map(|number| format!("a{number}")).collect();
        let most = most.join(",");
        assert_eq!(FieldPath::parse_list(&most).unwrap().len(), MAX_PATHS);
        let more = format!("{most},b,c");
        assert_eq!(FieldPath::parse_list(&more), Err(vec![("b", TooMany)]));
    }

    #[test]
    fn every_field_is_found_by_its_word() {
        for field in Field::ALL {
            assert_eq!(Field::find(field.word()), Some(field));
        }
        assert_eq!(Field::find("SRCIP"), None);
    }

    #[test]
    fn a_map_goes_over_another_one_field_by_field() {
        let path = |text: &str| FieldPath::parse(text).unwrap();
        let (mut ours, mut theirs) = (FieldMap::default(), FieldMap::default());
        ours.push(Field::Srcip, path("a"));
        ours.push(Field::Srcip, path("b"));
        ours.push(Field::Srcip, path("A"));
        theirs.push(Field::Srcip, path("c"));
        theirs.push(Field::User, path("d"));
        let both = ours.over(&theirs);
        assert_eq!(both.paths(Field::Srcip), Some(&[path("a"), path("b")][..]));
        assert_eq!(both.paths(Field::User), Some(&[path("d")][..]));
        assert_eq!(both.paths(Field::File), None);
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(text, r#"{"srcip":["a","b"],"user":["d"]}"#);
        assert_eq!(serde_json::from_str::<FieldMap>(&text).unwrap(), both);
    }
}
