//! `client.keys` of OSSEC and Wazuh: one agent in each line, `ID NAME IP KEY`,
//! one blank between two fields (OSSEC 3.7 os_crypto/shared/keys.c).
//!
//! A line that begins with `#` or a blank is a comment. An agent that was removed
//! keeps its line, so that its id is not used again; its name then begins with
//! `!` (Wazuh) or is overwritten by `#*#*#` (OSSEC). Here it is called
//! `removed-ID` where nothing is left of a name that we would take.
//!
//! Keys are looked at only to tell that this is the file it was taken for. No
//! message quotes what stands in a line beyond one character.

use std::collections::HashMap;

use crate::model::{AgentId, AgentName, InvalidName};
use crate::wire::control::KnownAgent;

/// What is wrong with one line.
#[derive(Debug, Eq, PartialEq)]
pub struct Problem {
    /// Counts from 1.
    pub line: usize,
    pub wrong: Wrong,
}

/// Why a line is no agent. What comes in parentheses says what to do.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Wrong {
    #[error("this is not UTF-8\n(the file is plain ASCII: was it damaged on the way?)")]
    NotText,
    #[error("this is not ID NAME IP KEY, with one blank between them\n(mend or remove the line)")]
    Fields,
    #[error("the first field {0}\n(mend or remove the line)")]
    Id(InvalidName),
    #[error("the id 000 is the manager's own host\n(remove the line)")]
    Manager,
    #[error(
        "the name of agent {id} {why}\n(a name has letters, digits, `.`, `_` and `-`, at most 128, and begins with a letter, so that it is never taken for an id: import a copy of the file in which it is another, such as one with `host-` in front; alerts are matched by id)"
    )]
    Name { id: AgentId, why: InvalidName },
    #[error("the address of agent {0} is neither `any` nor an address or network\n(mend the line)")]
    Address(AgentId),
    #[error("the key of agent {0} is not made of digits and letters\n(mend the line)")]
    Key(AgentId),
    #[error("the agent {id} stands in line {first}, too\n(remove one of the two)")]
    SameId { id: AgentId, first: usize },
    #[error(
        "the name of agent {id} stands in line {first}, too\n(names differ, whatever the case of their letters: remove or rename one of the two)"
    )]
    SameName { id: AgentId, first: usize },
}

/// The agents of a file, or everything that is wrong with it.
pub fn read(file: &[u8]) -> Result<Vec<KnownAgent>, Vec<Problem>> {
    let mut lines = Lines::default();
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let read = agent(line).and_then(|found| match found {
            Some(agent) => lines.take(number, agent),
            None => Ok(()),
        });
        if let Err(wrong) = read {
            let line = number;
            problems.push(Problem { line, wrong });
        }
    }
    match problems.is_empty() {
        true => Ok(lines.agents()),
        false => Err(problems),
    }
}

/// Whether a file of another name is one of these: its first line that is
/// neither empty nor a comment begins with an id and a blank.
pub fn looks_like(file: &[u8]) -> bool {
    let mut lines = file.split(|byte| *byte == b'\n');
    let first = lines.find(|line| !line.trim_ascii().is_empty() && !is_comment(line));
    first.is_some_and(|line| {
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && line.get(digits) == Some(&b' ')
    })
}

fn is_comment(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'#' | b' '))
}

fn agent(line: &[u8]) -> Result<Option<KnownAgent>, Wrong> {
    if line.trim_ascii().is_empty() || is_comment(line) {
        return Ok(None);
    }
    let line = std::str::from_utf8(line).map_err(|_| Wrong::NotText)?;
    let (id, rest) = line.split_once(' ').ok_or(Wrong::Fields)?;
    let id = AgentId::parse(id).map_err(Wrong::Id)?;
    if id == AgentId::MANAGER {
        return Err(Wrong::Manager);
    }
    if rest.starts_with(['!', '#']) {
        let name = removed_name(&id, rest);
        return Ok(Some(KnownAgent {
            id,
            name,
            removed: true,
        }));
    }
    let fields: Vec<_> = rest.trim_end().split(' ').collect();
    let [name, address, key] = fields[..] else {
        return Err(Wrong::Fields);
    };
    let name = AgentName::parse(name).map_err(|why| Wrong::Name {
        id: id.clone(),
        why,
    })?;
    if !is_address(address) {
        return Err(Wrong::Address(id));
    }
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Wrong::Key(id));
    }
    Ok(Some(KnownAgent {
        id,
        name,
        removed: false,
    }))
}

fn removed_name(id: &AgentId, rest: &str) -> AgentName {
    let name = rest[1..].split(' ').next().unwrap_or_default();
    AgentName::parse(name)
        .or_else(|_| AgentName::parse(&format!("removed-{id}")))
        .expect("it begins with a letter and an id has digits only")
}

/// An address, or a network with its length or its mask, perhaps with `!`
/// before it (OSSEC 3.7 shared/validate_op.c OS_IsValidIP).
fn is_address(text: &str) -> bool {
    let text = text.strip_prefix('!').unwrap_or(text);
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let is_mask = |mask: &str| {
        mask.parse::<u8>().is_ok_and(|bits| bits <= 128)
            || mask.parse::<std::net::Ipv4Addr>().is_ok()
    };
    text == "any" || address.parse::<std::net::IpAddr>().is_ok() && mask.is_none_or(is_mask)
}

/// The lines so far, by what must differ between them.
#[derive(Default)]
struct Lines {
    enrolled: Vec<KnownAgent>,
    removed: Vec<KnownAgent>,
    /// Where the id of an agent that is not removed stands.
    ids: HashMap<AgentId, usize>,
    /// In lower case: where a name is written to select an agent, case does
    /// not matter.
    names: HashMap<String, usize>,
}

impl Lines {
    fn take(&mut self, number: usize, agent: KnownAgent) -> Result<(), Wrong> {
        if agent.removed {
            self.removed.push(agent);
            return Ok(());
        }
        let id = agent.id.clone();
        if let Some(first) = self.ids.insert(id.clone(), number) {
            return Err(Wrong::SameId { id, first });
        }
        let name = agent.name.as_str().to_ascii_lowercase();
        if let Some(first) = self.names.insert(name, number) {
            return Err(Wrong::SameName { id, first });
        }
        self.enrolled.push(agent);
        Ok(())
    }

    /// Each id once, in order. One that was removed and given out again is in
    /// use.
    fn agents(self) -> Vec<KnownAgent> {
        let mut agents = self.enrolled;
        let removed = self.removed.into_iter();
        agents.extend(removed.filter(|agent| !self.ids.contains_key(&agent.id)));
        agents.sort_by(|one, other| one.id.cmp(&other.id));
        agents.dedup_by(|one, other| one.id == other.id);
        agents
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Wrong, looks_like, read};
    use crate::model::{AgentId, InvalidName};

    const KEY: &str = "5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0a5f2d3c1b0aabcd";

    fn id(number: u32) -> AgentId {
        AgentId::from_number(number).unwrap()
    }

    /// Every agent as `id name`, with `-` before one that was removed. `KEY`
    /// stands for a key.
    fn agents(text: &str) -> Vec<String> {
        let agents = read(text.replace("KEY", KEY).as_bytes()).unwrap();
        let show = |agent: &super::KnownAgent| {
            let sign = if agent.removed { "-" } else { "" };
            format!("{sign}{} {}", agent.id, agent.name)
        };
        agents.iter().map(show).collect()
    }

    fn wrong(text: &str) -> Vec<(usize, Wrong)> {
        let problems = read(text.replace("KEY", KEY).as_bytes()).unwrap_err();
        problems.into_iter().map(|p| (p.line, p.wrong)).collect()
    }

    #[test]
    fn the_lines_of_ossec_and_wazuh_are_agents() {
        const CASES: &[(&str, &str, &[&str])] = &[
            (
                "an agent of any address",
                "001 web-7 any KEY\n",
                &["001 web-7"],
            ),
            ("one without a last newline", "1 web any KEY", &["001 web"]),
            ("an address", "001 web 192.0.2.7 KEY\n", &["001 web"]),
            ("a network", "001 web 192.0.2.0/24 KEY\n", &["001 web"]),
            (
                "a mask",
                "001 web 192.0.2.0/255.255.255.0 KEY\n",
                &["001 web"],
            ),
            ("IPv6", "001 web 2001:db8::/32 KEY\n", &["001 web"]),
            ("all but one", "001 web !192.0.2.7 KEY\n", &["001 web"]),
            ("other line ends", "001 web any KEY\r\n\r\n", &["001 web"]),
            ("a blank at the end", "001 web any KEY \n", &["001 web"]),
            ("a long id", "1024 web any KEY\n", &["1024 web"]),
            (
                "empty lines and comments",
                "\n# x\n a\n001 web any KEY\n\n",
                &["001 web"],
            ),
            ("removed by Wazuh", "002 !db any KEY\n", &["-002 db"]),
            (
                "removed, with a name that is none here",
                "002 !7db any KEY\n",
                &["-002 removed-002"],
            ),
            (
                "removed by OSSEC",
                "002 #*#*#*#*#*#*#*#*#*#*#*ab12\n",
                &["-002 removed-002"],
            ),
            (
                "a name given out again",
                "001 !web any KEY\n002 web any KEY\n",
                &["-001 web", "002 web"],
            ),
            (
                "an id given out again",
                "001 !a any KEY\n001 web any KEY\n",
                &["001 web"],
            ),
            (
                "removed twice",
                "001 !a any KEY\n001 !b any KEY\n",
                &["-001 a"],
            ),
            (
                "no order",
                "010 b any KEY\n002 a any KEY\n",
                &["002 a", "010 b"],
            ),
            ("nothing", "", &[]),
        ];
        for (case, text, wanted) in CASES {
            assert_eq!(agents(text), *wanted, "{case}");
        }
    }

    #[test]
    fn every_bad_line_is_told() {
        let name = |number, why| Wrong::Name {
            id: id(number),
            why,
        };
        let text = "\
web any KEY
000 here any KEY
001 7web any KEY
002 any KEY
003  any KEY
004 a\x1b[2J any KEY
005 web 192.0.2.300 KEY
006 db any secret;key
007 ok any KEY
007 other any KEY
008 OK any KEY
1234567890 web any KEY
009
";
        let wanted = [
            (1, Wrong::Id(InvalidName::NotAnAgentId)),
            (2, Wrong::Manager),
            (3, name(1, InvalidName::Start('7'))),
            (4, Wrong::Fields),
            (5, name(3, InvalidName::Empty)),
            (6, name(4, InvalidName::Character('\x1b'))),
            (7, Wrong::Address(id(5))),
            (8, Wrong::Key(id(6))),
            (
                10,
                Wrong::SameId {
                    id: id(7),
                    first: 9,
                },
            ),
            (
                11,
                Wrong::SameName {
                    id: id(8),
                    first: 9,
                },
            ),
            (12, Wrong::Id(InvalidName::NotAnAgentId)),
            (13, Wrong::Fields),
        ];
        assert_eq!(wrong(text), wanted);
    }

    #[test]
    fn bytes_that_are_no_text_are_told_like_any_other_line() {
        let problems = read(b"001 web any abc\n002 \xff\xfe any abc\n\0\n").unwrap_err();
        let found: Vec<_> = problems.iter().map(|p| (p.line, &p.wrong)).collect();
        assert_eq!(found, [(2, &Wrong::NotText), (3, &Wrong::Fields)]);
    }

    #[test]
    fn no_message_quotes_a_key() {
        // The name is missing in the first, so the key stands at its place.
        for text in [
            "001 KEY any x\n",
            "001 web KEY any\n",
            "KEY\n",
            "001 web any KEY x\n",
        ] {
            for (_, wrong) in wrong(text) {
                assert!(!wrong.to_string().contains(&KEY[..8]), "{wrong}");
            }
        }
    }

    #[test]
    fn the_file_is_known_by_its_first_line() {
        for (text, is) in [
            ("001 web any x", true),
            ("# x\n\n001 !web any x", true),
            ("<ossec_config>\n", false),
            ("web any x", false),
            ("001\tweb", false),
            ("", false),
        ] {
            assert_eq!(looks_like(text.as_bytes()), is, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_lose_a_line(file in any::<Vec<u8>>()) {
            match read(&file) {
                Ok(agents) => prop_assert!(agents.len() <= file.split(|b| *b == b'\n').count()),
                Err(problems) => prop_assert!(!problems.is_empty()),
            }
        }

        #[test]
        fn lines_of_hostile_parts_keep_their_numbers(
            parts in proptest::collection::vec("[0-9]{0,3} ?[!#a-z\u{1b}\u{202e}]{0,3} ?(any|x)? ?[a-f]{0,3}", 0..20)
        ) {
            let file = parts.join("\n");
            if let Err(problems) = read(file.as_bytes()) {
                for problem in problems {
                    prop_assert!(!parts[problem.line - 1].is_empty());
                }
            }
        }
    }
}
