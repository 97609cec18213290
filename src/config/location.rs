//! `<location>`: where a response runs.

use crate::config::block::Value;
use crate::config::report::Report;
use crate::model::{Location, Selector};

/// Where a response runs: the union of what is named here, less `exclude`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Where {
    /// On the agent the alert came from.
    pub local: bool,
    /// On the manager's own host.
    pub server: bool,
    /// On every agent, the manager's host included.
    pub all: bool,
    /// On these agents (`defined-agent`).
    pub agents: Vec<Selector>,
    /// On none of these, whatever names them.
    pub exclude: Vec<Selector>,
}

const WORDS: [(&str, Option<Location>); 8] = [
    ("local", Some(Location::Local)),
    ("server", Some(Location::Server)),
    ("analysis-server", Some(Location::Server)),
    ("analysisd", Some(Location::Server)),
    ("as", Some(Location::Server)),
    ("defined-agent", None),
    ("all", None),
    ("any", None),
];

/// Words between blanks or commas; `off`: the block is switched off. Wazuh looks for them anywhere in the text,
/// so that `last` is the server there (`as`) and `company` every agent (`any`).
pub(crate) fn read(value: Value<'_>, off: bool, report: &mut Report<'_>) -> Option<Where> {
    let mut found = Where::default();
    let mut wrong = false;
    let words = value.text.split(|c: char| c.is_whitespace() || c == ',');
    for word in words.filter(|word| !word.is_empty()) {
        let folded = word.to_ascii_lowercase();
        match WORDS.iter().find(|(known, _)| *known == folded) {
            Some((_, Some(Location::Local))) => found.local = true,
            Some((_, Some(Location::Server))) => found.server = true,
            Some((_, None | Some(Location::DefinedAgent | Location::All))) if off => {}
            Some((_, None | Some(Location::DefinedAgent | Location::All))) => {
                let message = format!("the location {word} is not in this version");
                let hint = "write local or server; this version serves one host";
                report.error(value.place_of(word), message, hint);
                wrong = true;
            }
            None => {
                unknown_location(value, word, &folded, report);
                wrong = true;
            }
        }
    }
    if wrong {
        return None;
    }
    if !off && !found.local && !found.server {
        let hint = "write local for the agent the alert came from, or server for this host";
        report.error(value.node.text_at, "<location> is empty", hint);
        return None;
    }
    Some(found)
}

fn unknown_location(value: Value<'_>, word: &str, folded: &str, report: &mut Report<'_>) {
    let taken_for = WORDS.iter().find(|(known, _)| folded.contains(known));
    let hint = match taken_for {
        Some((known, place)) => {
            let place = place.map_or("a place this version lacks", Location::as_str);
            format!("Wazuh 4.x takes it for {place}, as it contains `{known}`; write what is meant")
        }
        None => "write local for the agent the alert came from, or server for this host".into(),
    };
    let message = format!("`{word}` is no location");
    report.error(value.place_of(word), message, hint);
}
