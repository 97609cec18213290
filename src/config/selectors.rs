//! Which agents a response names or leaves out: `<agent_id>`, `<agent_group>`
//! and `<exclude>`.

use std::collections::HashSet;

use crate::config::block::{Block, Value};
use crate::config::report::{Report, Span};
use crate::model::{AgentGroup, InvalidSelector, Selector};

/// The most that one list of a block names. Each alert is held against all of
/// them; a range or a group says more with one.
const MOST: usize = 1_000;

/// One of the lists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum List {
    AgentId,
    AgentGroup,
    Exclude,
}

impl List {
    pub(crate) fn element(self) -> &'static str {
        match self {
            Self::AgentId => "agent_id",
            Self::AgentGroup => "agent_group",
            Self::Exclude => "exclude",
        }
    }

    /// Reads one item; the error is what to say of it, and the hint.
    fn parse(self, item: &str) -> Result<Selector, (String, String)> {
        match self {
            Self::AgentId => match selector(item)? {
                Selector::Group(group) => Err((
                    format!("`{item}` in <agent_id> is a group"),
                    format!("write <agent_group>{group}</agent_group>"),
                )),
                agent @ (Selector::Id(_) | Selector::Range(..) | Selector::Name(_)) => Ok(agent),
            },
            Self::AgentGroup => group(item),
            Self::Exclude => selector(item),
        }
    }
}

/// A selector, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) selector: Selector,
    pub(crate) at: Span,
}

/// All that a list names, each once; `None` if something in it is wrong and
/// has been reported.
pub(crate) fn read(block: &Block<'_>, list: List, report: &mut Report<'_>) -> Option<Vec<Named>> {
    let mut found: Vec<Named> = Vec::new();
    let mut seen = HashSet::new();
    let mut wrong = false;
    for node in block.all(list.element()) {
        let Some(value) = block.text(node, report) else {
            wrong = true;
            continue;
        };
        wrong |= is_empty(value, report);
        for item in items(value) {
            let at = value.place_of(item);
            match list.parse(item) {
                Ok(selector) if seen.insert(selector.clone()) => found.push(Named { selector, at }),
                Ok(_) => {}
                Err((message, hint)) => {
                    report.error(at, message, hint);
                    wrong = true;
                }
            }
            if found.len() > MOST {
                let message = format!("<{}> names more than {MOST}", list.element());
                report.error(at, message, "write ranges (010-019) or groups instead");
                return None;
            }
        }
    }
    (!wrong).then_some(found)
}

fn items(value: Value<'_>) -> impl Iterator<Item = &str> {
    value
        .text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|item| !item.is_empty())
}

fn is_empty(value: Value<'_>, report: &mut Report<'_>) -> bool {
    if items(value).next().is_some() {
        return false;
    }
    let name = &value.node.name;
    let message = format!("<{name}> names nothing");
    let hint = match name.as_str() {
        "agent_group" => "write the name of a group, such as web; or remove it",
        _ => "write ids (007), ranges (010-019) or names (web-7); or remove it",
    };
    report.error(value.node.text_at, message, hint);
    true
}

fn selector(item: &str) -> Result<Selector, (String, String)> {
    // Names of agents may look like these, but who writes them means places.
    let place = ["all", "any", "local", "defined-agent"]
        .into_iter()
        .find(|place| item.eq_ignore_ascii_case(place));
    if let Some(place) = place {
        return Err((
            format!("`{item}` is a location, not an agent"),
            format!("write it into <location>; an agent called {place} is named by its id"),
        ));
    }
    Selector::parse(item).map_err(|error| match error {
        InvalidSelector::Unknown(_) => (
            format!("`{item}` is no agent"),
            "write an id (007), a range (010-019) or a name (web-7), with commas or blanks \
             between"
                .to_owned(),
        ),
        InvalidSelector::EmptyRange(_) => {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            (
                format!("the range {item} is empty: its second id is the smaller one"),
                format!("write {last}-{first}"),
            )
        }
    })
}

fn group(item: &str) -> Result<Selector, (String, String)> {
    AgentGroup::parse(item)
        .map(Selector::Group)
        .map_err(|error| {
            let bare = item.strip_prefix("group:").unwrap_or_default();
            let hint = match AgentGroup::parse(bare) {
                Ok(group) => format!("write {group}"),
                Err(_) => "names of groups have letters, digits, `.`, `_` and `-`; write them \
                           with commas or blanks between"
                    .to_owned(),
            };
            (format!("`{item}` is no group: it {error}"), hint)
        })
}
