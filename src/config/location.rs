//! `<location>` and what goes with it: where a response runs.

use crate::config::block::{Block, Value};
use crate::config::report::Report;
use crate::config::selectors::{self, List, Named};
use crate::model::{AgentGroup, AgentId, Location, Selector};

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

impl Where {
    /// Why the response runs on an agent, or `None` if it does not. Of several
    /// reasons it is the narrowest; `is_origin`: the alert came from there.
    pub fn covers(
        &self,
        id: &AgentId,
        name: &str,
        groups: &[AgentGroup],
        is_origin: bool,
    ) -> Option<Location> {
        let meant = |selector: &Selector| selector.is(id, name, groups);
        if self.exclude.iter().any(meant) {
            None
        } else if self.local && is_origin {
            Some(Location::Local)
        } else if self.server && *id == AgentId::MANAGER {
            Some(Location::Server)
        } else if self.agents.iter().any(meant) {
            Some(Location::DefinedAgent)
        } else {
            self.all.then_some(Location::All)
        }
    }

    /// All that is named or left out, for a daemon that knows which agents
    /// there are and warns of what is none of them.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.agents.iter().chain(&self.exclude)
    }

    /// The places, each once, in an order that does not depend on the file.
    pub(crate) fn places(&self) -> impl Iterator<Item = Location> {
        [
            (self.local, Location::Local),
            (self.server, Location::Server),
            (!self.agents.is_empty(), Location::DefinedAgent),
            (self.all, Location::All),
        ]
        .into_iter()
        .filter_map(|(wanted, place)| wanted.then_some(place))
    }
}

const WORDS: [(&str, Location); 8] = [
    ("local", Location::Local),
    ("server", Location::Server),
    ("analysis-server", Location::Server),
    ("analysisd", Location::Server),
    ("as", Location::Server),
    ("defined-agent", Location::DefinedAgent),
    ("all", Location::All),
    ("any", Location::All),
];

/// Reads the words, and the lists that stand in the block with them. `off`:
/// the block is switched off and need not be complete.
pub(crate) fn read(
    value: Value<'_>,
    block: &Block<'_>,
    off: bool,
    report: &mut Report<'_>,
) -> Option<Where> {
    let words = words(value, off, report);
    // Where it has no effect 4.x accepts anything in it.
    let agents = match &words {
        Some(words) if words.defined.is_none() => Some(Vec::new()),
        Some(_) | None => selectors::read(block, List::AgentId, report),
    };
    let groups = selectors::read(block, List::AgentGroup, report);
    let exclude = selectors::read(block, List::Exclude, report);
    let (words, mut agents, exclude) = (words?, agents?, exclude?);
    agents.extend(groups?);
    if !off {
        is_complete(&words, block, report)?;
        has_effect(&words, block, report)?;
        warn_of_contradictions(&words, &agents, &exclude, report);
        warn_of_one_place(&words, report);
        warn_of_one_agent(&words, block, report);
    }
    let bare = |list: Vec<Named>| list.into_iter().map(|named| named.selector).collect();
    Some(Where {
        local: words.local,
        server: words.server.is_some(),
        all: words.all,
        agents: bare(agents),
        exclude: bare(exclude),
    })
}

/// The words of one `<location>`; those that a problem may be about, as they
/// were written.
struct Words<'a> {
    value: Value<'a>,
    local: bool,
    all: bool,
    server: Option<&'a str>,
    defined: Option<&'a str>,
}

/// Words between blanks or commas. Wazuh looks for them anywhere in the text,
/// so that `last` is the server there (`as`) and `company` every agent (`any`).
fn words<'a>(value: Value<'a>, off: bool, report: &mut Report<'_>) -> Option<Words<'a>> {
    let mut found = Words {
        value,
        local: false,
        all: false,
        server: None,
        defined: None,
    };
    let mut wrong = false;
    let mut empty = true;
    let words = value.text.split(|c: char| c.is_whitespace() || c == ',');
    for word in words.filter(|word| !word.is_empty()) {
        empty = false;
        let folded = word.to_ascii_lowercase();
        match WORDS.iter().find(|(known, _)| *known == folded) {
            Some((_, Location::Local)) => found.local = true,
            Some((_, Location::Server)) => found.server = Some(word),
            Some((_, Location::DefinedAgent)) => found.defined = Some(word),
            Some((_, Location::All)) => found.all = true,
            None => {
                unknown_location(value, word, &folded, report);
                wrong = true;
            }
        }
    }
    if empty && !off {
        report.error(value.node.text_at, "<location> is empty", OFFER);
        wrong = true;
    }
    (!wrong).then_some(found)
}

const OFFER: &str = "write local for the agent the alert came from, server for the manager's \
                     host, defined-agent for agents that are named, or all";

fn unknown_location(value: Value<'_>, word: &str, folded: &str, report: &mut Report<'_>) {
    let taken_for = WORDS.iter().find(|(known, _)| folded.contains(known));
    let hint = match taken_for {
        Some((known, place)) => {
            let place = place.as_str();
            format!("Wazuh 4.x takes it for {place}, as it contains `{known}`; write what is meant")
        }
        None => OFFER.into(),
    };
    let message = format!("`{word}` is no location");
    report.error(value.place_of(word), message, hint);
}

/// `defined-agent` says which agents.
fn is_complete(words: &Words<'_>, block: &Block<'_>, report: &mut Report<'_>) -> Option<()> {
    let Some(word) = words.defined else {
        return Some(());
    };
    let (ids, groups) = (List::AgentId.element(), List::AgentGroup.element());
    if [ids, groups]
        .iter()
        .any(|name| block.all(name).next().is_some())
    {
        return Some(());
    }
    if block.lacks(ids) && block.lacks(groups) {
        report.error(
            words.value.place_of(word),
            format!("{word} needs an <agent_id> or <agent_group>"),
            "write <agent_id>007</agent_id> (ids, ranges such as 010-019, names), or \
             <agent_group>web</agent_group>",
        );
    }
    None
}

/// Lists that change nothing. In `<agent_id>` that is usual in files of 4.x;
/// who writes one of ours means something by it.
fn has_effect(words: &Words<'_>, block: &Block<'_>, report: &mut Report<'_>) -> Option<()> {
    let first = |list: List| block.all(list.element()).next();
    let mut fine = Some(());
    if words.defined.is_none() {
        let message = |name| format!("<{name}> has no effect without defined-agent in <location>");
        let hint = "write <location>defined-agent</location> to run there, or remove it";
        if let Some(node) = first(List::AgentId) {
            report.warning(node.name_at, message("agent_id"), hint);
        }
        if let Some(node) = first(List::AgentGroup) {
            report.error(node.name_at, message("agent_group"), hint);
            fine = None;
        }
    }
    let server_only = !words.local && !words.all && words.defined.is_none();
    if let (true, Some(node)) = (server_only, first(List::Exclude)) {
        let message = "<exclude> has no use here: the response runs on the manager's host alone";
        let hint = "remove it; it names hosts on which nothing runs, not hosts whose alerts do \
                    not count";
        report.error(node.name_at, message, hint);
        fine = None;
    }
    fine
}

/// 4.x takes several words and then heeds one (analysisd/alerts/exec.c).
fn warn_of_one_place(words: &Words<'_>, report: &mut Report<'_>) {
    let at = words.value.node.text_at;
    let alone = match (words.server, words.defined) {
        (Some(_), defined) if words.local || words.all || defined.is_some() => {
            "on the manager's own host"
        }
        (None, Some(_)) if words.local && !words.all => "on the agent that is named",
        _ => return,
    };
    if report.is_of_others(at) {
        let message =
            format!("Wazuh 4.x and OSSEC run this {alone} only; here it runs in all places");
        report.warning(at, message, "remove the other words if only that is meant");
    }
}

/// 4.x reads the number at the start of the last `<agent_id>`.
fn warn_of_one_agent(words: &Words<'_>, block: &Block<'_>, report: &mut Report<'_>) {
    let Some(last) = block.all(List::AgentId.element()).last() else {
        return;
    };
    if words.defined.is_none() || !report.is_of_others(last.text_at) {
        return;
    }
    let text = last.text.as_str();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let is_one = block.all(List::AgentId.element()).count() == 1 && digits == text.len();
    let number: u64 = text[..digits].parse().unwrap_or_default();
    let message = match number {
        0 => format!("Wazuh 4.x finds no agent in `{text}` and leaves this response out"),
        _ if is_one => return,
        _ => format!("Wazuh 4.x runs this on agent {number:03} alone; here on all that are named"),
    };
    let hint = match number {
        0 => "write <location>server</location> for the manager's own host, and ids for agents",
        _ => "remove the others if only that agent is meant",
    };
    report.warning(last.text_at, message, hint);
}

fn warn_of_contradictions(
    words: &Words<'_>,
    agents: &[Named],
    exclude: &[Named],
    report: &mut Report<'_>,
) {
    let excluded = |selector: &Selector| exclude.iter().any(|e| e.selector.includes(selector));
    let twice = |what: &str| format!("{what} is named and excluded: nothing runs there");
    let hint = "remove it here, or from <exclude>";
    let server = Selector::Id(AgentId::MANAGER);
    if let Some(word) = words.server
        && excluded(&server)
    {
        let at = words.value.place_of(word);
        report.warning(at, twice(&format!("{word} (agent {server})")), hint);
    }
    for named in agents.iter().filter(|named| excluded(&named.selector)) {
        report.warning(named.at, twice(&named.selector.to_string()), hint);
    }
    if words.local || words.all {
        return;
    }
    let may_be_named = |selector: &Selector| {
        let server = words.server.is_some() && selector.may_meet(&server);
        server || agents.iter().any(|named| named.selector.may_meet(selector))
    };
    for useless in exclude.iter().filter(|e| !may_be_named(&e.selector)) {
        let message = format!("{} is excluded, but not named either", useless.selector);
        report.warning(useless.at, message, "remove it, or correct the id");
    }
}

#[cfg(test)]
mod tests {
    use super::Where;
    use crate::model::{AgentGroup, AgentId, Location, Selector};

    fn place(words: &str, agents: &str, exclude: &str) -> Where {
        let list = |text: &str| {
            let items = text.split_whitespace();
            items.map(|item| Selector::parse(item).unwrap()).collect()
        };
        Where {
            local: words.contains("local"),
            server: words.contains("server"),
            all: words.contains("all"),
            agents: list(agents),
            exclude: list(exclude),
        }
    }

    #[test]
    fn an_agent_is_covered_for_the_narrowest_reason_unless_it_is_excluded() {
        use Location::{All, DefinedAgent, Local, Server};
        // words, agents, exclude; the answer for 000 "siem", for 007 "web-7"
        // in group web which the alert came from, and for 008 "db-8".
        let cases: &[(&str, &str, &str, [Option<Location>; 3])] = &[
            ("local", "", "", [None, Some(Local), None]),
            ("server", "", "", [Some(Server), None, None]),
            ("all local", "", "", [Some(All), Some(Local), Some(All)]),
            ("all server", "", "", [Some(Server), Some(All), Some(All)]),
            (
                "",
                "007 db-8",
                "",
                [None, Some(DefinedAgent), Some(DefinedAgent)],
            ),
            (
                "",
                "000-007",
                "",
                [Some(DefinedAgent), Some(DefinedAgent), None],
            ),
            ("", "group:web", "", [None, Some(DefinedAgent), None]),
            (
                "local",
                "007 008",
                "",
                [None, Some(Local), Some(DefinedAgent)],
            ),
            ("all", "008", "", [Some(All), Some(All), Some(DefinedAgent)]),
            ("all", "", "group:web", [Some(All), None, Some(All)]),
            ("all", "", "server db-8", [None, Some(All), None]),
            ("local server", "", "007", [Some(Server), None, None]),
            ("local server", "", "000", [None, Some(Local), None]),
            ("", "007 008", "001-007", [None, None, Some(DefinedAgent)]),
        ];
        let web = [AgentGroup::parse("web").unwrap()];
        for (words, agents, exclude, answers) in cases {
            let place = place(words, agents, exclude);
            let asked = [
                ("000", "siem", &web[..0]),
                ("007", "web-7", &web),
                ("008", "db-8", &[]),
            ];
            for ((id, name, groups), answer) in asked.iter().zip(answers) {
                let id = AgentId::parse(id).unwrap();
                let origin = place.local && *name == "web-7";
                let found = place.covers(&id, name, groups, origin);
                assert_eq!(found, *answer, "{words} +{agents} -{exclude}: {id}");
            }
        }
    }

    #[test]
    fn all_that_is_named_can_be_looked_up() {
        let place = place("local", "007 group:web", "web-9");
        let named: Vec<String> = place.selectors().map(ToString::to_string).collect();
        assert_eq!(named, ["007", "group:web", "web-9"]);
    }
}
