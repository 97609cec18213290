//! The files in `active-response/bin` of the source: which are taken along, and
//! what takes the place of those that are not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirEntry};
use std::path::Path;

use crate::ctl::import::file::{self, Unreadable};
use crate::ctl::import::guess::{self, Guess};
use crate::ctl::import::report::{Row, What};
use crate::model::ExeName;
use crate::model::bundled;

/// The largest bundled ones of Wazuh have less than 2 MiB.
const MAX_SCRIPT: u64 = 32 << 20;
/// Of all of them together, since they are held in memory.
const MAX_SCRIPTS: usize = 256 << 20;
const MAX_ENTRIES: usize = 4096;

/// The bundled executable that is meant by the name of one of OSSEC or Wazuh.
pub(super) fn stock(name: &str) -> Option<&'static str> {
    let row = bundled::find(name).and_then(|row| row.names().find(|known| *known == name));
    row.or_else(|| bundled::stand_in(name).map(|row| row.name))
}

/// What became of the files, by their names.
#[derive(Default)]
pub(super) struct Scripts {
    own: BTreeMap<String, Own>,
    rows: Vec<Row>,
    bytes: usize,
    /// There was a folder to look into.
    pub(super) looked: bool,
}

/// A script that is taken along.
pub(super) struct Own {
    pub(super) bytes: Vec<u8>,
    pub(super) guess: Guess,
}

/// What a command finds under the name of its executable.
pub(super) enum Found<'a> {
    Own(&'a Guess),
    Bundled,
    Nothing,
}

impl Scripts {
    /// Looks through a folder, in the order of the names.
    pub(super) fn read(folder: &Path) -> Self {
        let mut scripts = Self::default();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return scripts,
            Err(error) => {
                let why = format!("the folder cannot be read: {error}");
                let name = "active-response/bin";
                let instead = "run this as root, or copy the scripts by hand";
                let row = Row::not_possible(What::Script, name, why, instead);
                scripts.rows.push(row);
                return scripts;
            }
        };
        scripts.looked = true;
        let mut entries: Vec<DirEntry> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(DirEntry::file_name);
        let more = entries.len().saturating_sub(MAX_ENTRIES);
        for entry in entries.iter().take(MAX_ENTRIES) {
            scripts.take(folder, entry);
        }
        if more > 0 {
            let why = format!("{more} more files lie there");
            let row = Row::not_possible(What::Script, "…", why, "copy them by hand");
            scripts.rows.push(row);
        }
        scripts
    }

    pub(super) fn find(&self, executable: &str) -> Found<'_> {
        match (self.own.get(executable), stock(executable)) {
            (Some(own), _) => Found::Own(&own.guess),
            (None, Some(_)) => Found::Bundled,
            (None, None) => Found::Nothing,
        }
    }

    /// Those that are taken along.
    pub(super) fn own(&self) -> impl Iterator<Item = (&str, &Own)> {
        self.own.iter().map(|(name, own)| (name.as_str(), own))
    }

    /// What is to be said of each. `named`: by commands that are taken over.
    pub(super) fn rows(&self, named: &BTreeSet<String>) -> Vec<Row> {
        let mut rows = self.rows.clone();
        for row in &mut rows {
            if self.own.contains_key(&row.name) && !named.contains(&row.name) {
                row.why = format!("no command that was taken over names it; {}", row.why);
            }
        }
        rows
    }

    fn take(&mut self, folder: &Path, entry: &DirEntry) {
        let shown = entry.file_name().to_string_lossy().into_owned();
        let name = entry.file_name().into_string().ok();
        let row = match name.as_deref().map(ExeName::parse) {
            Some(Ok(name)) => self.named(folder, &name),
            Some(Err(error)) => {
                let instead = "copy it under another name, if it is needed";
                Row::not_possible(What::Script, shown, format!("its name {error}"), instead)
            }
            None => {
                let (why, instead) = ("its name is not UTF-8", "copy it under another name");
                Row::not_possible(What::Script, shown, why, instead)
            }
        };
        self.rows.push(row);
    }

    fn named(&mut self, folder: &Path, name: &ExeName) -> Row {
        let not_possible = |why: String| {
            let instead = "copy what is meant into active-response/bin by hand";
            Row::not_possible(What::Script, name.as_str(), why, instead)
        };
        match content(folder, name) {
            Ok((_, bytes)) if self.bytes + bytes.len() > MAX_SCRIPTS => {
                not_possible("the scripts are larger than this can hold".to_owned())
            }
            Ok((led, bytes)) => {
                let row = self.judge(name.as_str(), bytes);
                match led {
                    Led::Here => row,
                    Led::ByLink => of_link(row),
                }
            }
            Err(why) => not_possible(why.to_string()),
        }
    }

    /// What is done with a file of this content.
    fn judge(&mut self, name: &str, bytes: Vec<u8>) -> Row {
        let is_compiled = guess::is_compiled(&bytes);
        let is_windows = bytes.starts_with(b"MZ") || name.ends_with(".cmd");
        match stock(name) {
            Some(bundled) if is_compiled || bundled != name || is_windows => {
                replaced(name, bundled, is_compiled || is_windows)
            }
            None if is_windows => {
                let instead = "it is of use in the home of a host with Windows only";
                Row::not_possible(What::Script, name, "it is of Windows", instead)
            }
            None if name == "restart.sh" || name == "kaspersky" && is_compiled => {
                let instead = "write a script for it, if it is needed";
                let why = "it is a part of Wazuh and works with that alone";
                Row::not_possible(What::Script, name, why, instead)
            }
            instead_of => {
                let guess = guess::guess(&bytes);
                let row = own_row(name, &guess, &bytes, instead_of.is_some());
                self.bytes += bytes.len();
                let own = Own { bytes, guess };
                self.own.insert(name.to_owned(), own);
                row
            }
        }
    }
}

/// How a name led to a content.
enum Led {
    Here,
    /// To another file of the same folder.
    ByLink,
}

/// A link is followed only to its neighbours: what it leads to would be run as
/// root.
fn content(folder: &Path, name: &ExeName) -> Result<(Led, Vec<u8>), Unreadable> {
    let path = folder.join(name.as_str());
    let metadata = path.symlink_metadata()?;
    if !metadata.is_symlink() {
        file::kind(&metadata)?;
        return Ok((Led::Here, file::read(&path, MAX_SCRIPT)?));
    }
    let target = path.canonicalize()?;
    let beside = target.parent() == folder.canonicalize().ok().as_deref();
    match beside {
        true => Ok((Led::ByLink, file::read(&target, MAX_SCRIPT)?)),
        false => Err(Unreadable::NotAFile("a symbolic link to another folder")),
    }
}

fn of_link(mut row: Row) -> Row {
    if row.outcome == crate::ctl::import::report::Outcome::TakenOver {
        row.outcome = crate::ctl::import::report::Outcome::Differs;
        row.why = format!("it was a link and is a copy here; {}", row.why);
    }
    row
}

fn replaced(name: &str, bundled: &str, is_program: bool) -> Row {
    let why = format!("Ripost's own {bundled} runs in its place");
    let instead = match is_program {
        true => String::new(),
        false => "if yours was changed, copy it under a name of its own".to_owned(),
    };
    Row::differs(What::Script, name, why, instead)
}

fn own_row(name: &str, guess: &Guess, bytes: &[u8], in_place_of_ours: bool) -> Row {
    let proposal = match guess.form {
        Some(form) => format!("{} proposed: it {}", form.word(), guess.why),
        None => format!("its contract is unclear: it {}", guess.why),
    };
    let first = bytes.split(|byte| *byte == b'\n').next();
    let has_crlf = first.is_some_and(|line| line.starts_with(b"#!") && line.ends_with(b"\r"));
    if has_crlf {
        let why = format!("its lines end as on Windows, so no host can start it; {proposal}");
        return Row::differs(What::Script, name, why, "save it with Unix line ends");
    }
    match in_place_of_ours {
        true => {
            let why = format!("it stands in the place of Ripost's own {name}; {proposal}");
            let instead = "to run that instead, give yours another name and run `ripostctl init \
                           --refresh`";
            Row::differs(What::Script, name, why, instead)
        }
        false => Row::taken(What::Script, name).saying(proposal),
    }
}

#[cfg(test)]
mod tests {
    use super::stock;

    #[test]
    fn a_name_of_a_predecessor_means_a_bundled_executable_or_none() {
        for (name, here) in [
            ("firewall-drop", Some("firewall-drop")),
            ("wazuh-slack", Some("wazuh-slack")),
            ("firewall-drop.sh", Some("firewall-drop")),
            // Written for one's own accounts, so they are one's own.
            ("cloudflare-ban.sh", None),
            ("ossec-slack.sh", None),
            ("block-ip.sh", None),
        ] {
            assert_eq!(stock(name), here, "{name}");
        }
    }
}
