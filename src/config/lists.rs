//! The files that `<white_list list="etc/lists/x"/>` names: an address, a network
//! or a name of hosts in each line, with `#` before what is a comment. A CDB list
//! of Wazuh (`key:value`) is one, too; its keys count.

use std::path::{Component, Path, PathBuf};

use crate::config::Checked;
use crate::config::files::Text;
use crate::config::protected::{Entries, List, Protected};
use crate::config::report::{Report, Span, count};

/// Where lists lie, below the home.
const FOLDER: &str = "etc/lists";

/// A host takes no more than that from its manager.
const MOST: usize = 1_000_000;

/// The path of a list as a file names it: it stays below `etc/lists`.
pub(crate) fn path(written: &str) -> Option<PathBuf> {
    let path = Path::new(written.trim());
    let name = path.strip_prefix(FOLDER).ok()?;
    let plain = |part| matches!(part, Component::Normal(_));
    let is_below = name.components().next().is_some() && name.components().all(plain);
    is_below.then(|| path.to_owned())
}

/// Reads the lists of a white list again. There is a value only if all of them
/// can be read and have no errors, so that nothing is protected less by a slip.
pub fn relist(protected: &Protected, home: &Path) -> Checked<Protected> {
    let mut report = Report::default();
    let lists: Vec<List> = protected
        .lists
        .iter()
        .map(|list| read(home, &list.path, &mut report))
        .collect();
    let entries = lists.iter().map(|list| list.entries.len()).sum();
    let value = Protected {
        own: protected.own.clone(),
        lists,
    };
    let value = Some(value).filter(|_| !report.has_errors());
    let (diagnostics, sources) = report.finish();
    Checked {
        value,
        diagnostics,
        summary: count(entries, "entry in lists", "entries in lists"),
        sources,
    }
}

/// Reads one list; what is wrong with it is reported in it.
pub(crate) fn read(home: &Path, path: &Path, report: &mut Report<'_>) -> List {
    let mut list = List {
        path: path.to_owned(),
        entries: Entries::default(),
    };
    let file = home.join(path);
    if leads_out(home, &file) {
        let message = format!("leads out of {FOLDER}");
        report.unreadable(&file, message, "put the file itself there");
        return list;
    }
    let bytes = match Text::read(&file).bytes {
        Ok(bytes) => bytes,
        Err(why) => {
            let hint = "make it, or remove the <white_list> that names it";
            report.unreadable(&file, why.message, hint);
            return list;
        }
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let base = report.begin(&file, text.clone());
    report.parsed();
    for line in text.lines() {
        let offset = line.as_ptr().addr() - text.as_ptr().addr();
        if let Some(key) = key(line) {
            let start = base + offset + (key.as_ptr().addr() - line.as_ptr().addr());
            let at = Span::new(start, start + key.len());
            list.entries.add(key, at, report);
        }
        if list.entries.len() > MOST {
            let message = format!("has more than {MOST} entries");
            report.unreadable(&file, message, "write networks instead of addresses");
            break;
        }
    }
    list.entries.once();
    list
}

/// A link may lead anywhere; a file that is not there leads nowhere.
fn leads_out(home: &Path, file: &Path) -> bool {
    match (home.join(FOLDER).canonicalize(), file.canonicalize()) {
        (Ok(folder), Ok(file)) => !file.starts_with(folder),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// What a line names; nothing, if it is empty or a comment.
fn key(line: &str) -> Option<&str> {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    let text = match line.find('#') {
        Some(0) => "",
        Some(at) if line[..at].ends_with(char::is_whitespace) => &line[..at],
        Some(_) | None => line,
    };
    let text = text.trim();
    // Keys with a colon stand in quotes, in a CDB list.
    if let Some((quoted, _)) = text.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return Some(quoted);
    }
    let key = match text.split_once(':') {
        Some((key, value)) if !value.contains(':') => key.trim_end(),
        Some(_) | None => text,
    };
    Some(key).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{key, path};

    #[test]
    fn a_line_names_one_key() {
        for (line, wanted) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("  192.0.2.0/24  # the office", Some("192.0.2.0/24")),
            ("192.0.2.1:", Some("192.0.2.1")),
            ("192.0.2.1:printer", Some("192.0.2.1")),
            ("192.0.2.0/24: office", Some("192.0.2.0/24")),
            ("\"2001:db8::1\":router", Some("2001:db8::1")),
            ("\"192.0.2.1\":a:b", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::1", Some("::1")),
            ("^web-7$:x", Some("^web-7$")),
            ("\u{feff}192.0.2.1\r", Some("192.0.2.1")),
            ("# 192.0.2.1", None),
            ("   ", None),
            ("", None),
            (" # x", None),
        ] {
            assert_eq!(key(line), wanted, "{line:?}");
        }
    }

    #[test]
    fn a_list_stays_below_its_folder() {
        for good in ["etc/lists/x", "etc/lists/office/printers", " etc/lists/x "] {
            assert!(path(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "x",
            "etc/lists",
            "etc/lists/",
            "etc/lists/../manager.conf",
            "etc/lists/x/../../shadow",
            "/etc/lists/x",
            "/var/ripost/etc/lists/x",
            "etc/listsx",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
