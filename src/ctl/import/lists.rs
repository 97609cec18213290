//! What lies in `etc` of an installation besides its configuration.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{Part, outline};
use crate::ctl::import::file;
use crate::ctl::import::report::{Row, What};
use crate::model::ExeName;

const MAX_LIST: u64 = 16 << 20;
const MAX_LISTS: usize = 1000;
/// Wazuh has folders of lists, and none in those.
const MAX_DEPTH: usize = 3;
/// Groups of agents, of which each has a folder.
const MAX_SHARED: usize = 1000;

/// A list that is taken along.
pub(super) struct List {
    /// Below `etc/lists`.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// Reads the lists in `etc`, and tells of them and of what was pushed to agents.
pub(super) fn read(etc: &Path, rows: &mut Vec<Row>) -> Vec<List> {
    let mut lists = Vec::new();
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((below, depth)) = folders.pop() {
        for name in names(&etc.join("lists").join(&below)) {
            let path = below.join(&name);
            let whole = etc.join("lists").join(&path);
            let is_folder = whole.symlink_metadata().is_ok_and(|found| found.is_dir());
            if is_folder && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if !name.ends_with(".cdb") && lists.len() < MAX_LISTS {
                take(&whole, path, &mut lists, rows);
            }
        }
    }
    rows.extend(shared(&etc.join("shared")));
    lists
}

/// The entries of a folder whose names are plain, in order; none if it cannot be
/// read.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| ExeName::parse(name).is_ok()).collect();
    names.sort();
    names
}

fn take(whole: &Path, path: PathBuf, lists: &mut Vec<List>, rows: &mut Vec<Row>) {
    let name = path.display().to_string();
    // Not through a link, which may lead to anything.
    let content = whole
        .symlink_metadata()
        .map_err(Into::into)
        .and_then(|metadata| file::kind(&metadata))
        .and_then(|()| file::read(whole, MAX_LIST));
    match content {
        Ok(bytes) => {
            let why = "nothing uses it until a <white_list list=\"…\"/> names it";
            rows.push(Row::taken(What::List, name).saying(why));
            lists.push(List { path, bytes });
        }
        Err(why) => {
            let instead = "copy it into etc/lists by hand, if it is needed";
            rows.push(Row::not_possible(
                What::List,
                name,
                why.to_string(),
                instead,
            ));
        }
    }
}

/// `agent.conf` of each group: there is something to say only of those that
/// speak of active response.
fn shared(folder: &Path) -> Vec<Row> {
    let groups = names(folder).into_iter().take(MAX_SHARED);
    let files = groups.map(|group| match group.as_str() {
        "agent.conf" => group,
        _ => format!("{group}/agent.conf"),
    });
    files.filter_map(|name| pushed(folder, &name)).collect()
}

fn pushed(folder: &Path, name: &str) -> Option<Row> {
    let bytes = match file::read(&folder.join(name), MAX_LIST) {
        Ok(bytes) => bytes,
        Err(file::Unreadable::Missing) => return None,
        // A file of another name beside the groups.
        Err(file::Unreadable::Failed(error))
            if error.kind() == std::io::ErrorKind::NotADirectory =>
        {
            return None;
        }
        Err(why) => {
            return Some(Row::not_possible(
                What::SharedFile,
                name,
                why.to_string(),
                "",
            ));
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let Some(roots) = outline(&text, Path::new(name)).value else {
        let why = "its markup is broken";
        return Some(Row::not_possible(
            What::SharedFile,
            name,
            why,
            "mend it, and look again",
        ));
    };
    let is_ours = |part: &Part| ["active-response", "command"].contains(&part.name.as_str());
    let speaks = roots.iter().any(|root| root.parts.iter().any(is_ours));
    speaks.then(|| {
        let why = "what it says of active response has no effect in Wazuh or OSSEC either";
        let instead = "set it in the agent.conf of each host";
        Row::not_possible(What::SharedFile, name, why, instead)
    })
}
