//! Firewalls and routes that are changed by a program of the host: one table
//! of what would be run, in `table`, and one way to run it, here.
//!
//! Each change is looked up afterwards, whatever the program said. Where an
//! entry cannot bear a mark of ours, a file below `queue` remembers that it is
//! ours; an entry without one is the administrator's and is left alone.

mod memory;
mod table;

use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::ar::tool::{Ended, Tool, ToolError};
use crate::ar::{Done, Fail};
use crate::model::bundled::{Backend, Options, System};
use memory::Memory;
pub use table::{Line, Mark, Need, Reading, Row, TABLE};

/// How long one program may take. Some wait for a daemon of their own.
const LIMIT: Duration = Duration::from_secs(8);

/// What 4.x logs on a system that such a tool is not for.
const INVALID_SYSTEM: &str = "Invalid system";

/// Why a foreign firewall does not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForeignError {
    #[error("use it: {0}\n(name another executable for this host)")]
    System(String),
    #[error("use {0}: its table has no line for this target")]
    NoRow(&'static str),
    #[error("use the firewall: `{asked}` does not say {wanted:?}\n({hint})")]
    NotReady {
        asked: String,
        wanted: String,
        hint: String,
    },
    #[error(
        "block {target}: the tool said that it did, and does not find it\n(see what `{asked}` says)"
    )]
    NotThere { target: IpNetwork, asked: String },
    #[error(
        "unblock {target}: the tool said that it did, and still finds it\n(does a wider network stand there? see what `{asked}` says)"
    )]
    StillThere { target: IpNetwork, asked: String },
}

/// What of a block was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    Whole,
    Part,
    Nothing,
}

/// One firewall, and what is to be blocked there.
#[derive(Debug)]
pub struct Foreign<'a> {
    row: &'static Row,
    target: IpNetwork,
    options: &'a Options,
}

impl<'a> Foreign<'a> {
    /// On `system`, which is [`System::here`] but in a test.
    pub fn new(
        backend: Backend,
        system: System,
        target: IpNetwork,
        options: &'a Options,
    ) -> Result<Self, Fail> {
        if let Some(why) = backend.objection(system) {
            let why = Fail::from(ForeignError::System(why));
            return Err(why.logged_as(INVALID_SYSTEM.to_owned()));
        }
        let row = table::row(backend, system, target);
        let row = row.ok_or(ForeignError::NoRow(backend.name()))?;
        Ok(Self {
            row,
            target,
            options,
        })
    }

    /// Blocks, and looks whether it is blocked.
    pub fn add(&self) -> Result<Done, Fail> {
        let tool = self.tool()?;
        for need in self.row.needs {
            self.ensure(&tool, need)?;
        }
        let memory = Memory::of(self.row, self.target);
        let is_ours = memory.holds()?;
        match (self.look(&tool)?, is_ours) {
            (Found::Whole, true) => return Ok(Done::in_place()),
            (Found::Whole, false) => {
                let program = self.row.program;
                return Ok(Done::already(format!("{program} has it, and not from us")));
            }
            (Found::Part | Found::Nothing, _) => {}
        }
        memory.keep()?;
        let changed = self.change(&tool, self.row.add);
        // What has come about all the same is ours to take back.
        match (changed, self.look(&tool)?) {
            (Ok(()), Found::Whole) => Ok(Done::applied()),
            (Err(why), Found::Whole | Found::Part) => Err(why),
            (Ok(()), Found::Part) => Err(self.not_there()),
            (changed, Found::Nothing) => {
                memory.forget()?;
                Err(changed.err().unwrap_or_else(|| self.not_there()))
            }
        }
    }

    /// Unblocks what is ours, and looks whether it is gone.
    pub fn delete(&self) -> Result<Done, Fail> {
        let memory = Memory::of(self.row, self.target);
        if !memory.holds()? {
            return Ok(Done::absent());
        }
        let tool = self.tool()?;
        if self.look(&tool)? == Found::Nothing {
            memory.forget()?;
            return Ok(Done::absent());
        }
        // What is there in part fails in part: whether it is gone counts.
        let failed = self
            .row
            .delete
            .iter()
            .map(|line| self.change(&tool, &[*line]));
        let failed = failed.filter_map(Result::err).reduce(|first, _| first);
        match self.look(&tool)? {
            Found::Nothing => {
                memory.forget()?;
                Ok(Done::reverted())
            }
            Found::Whole | Found::Part => Err(failed.unwrap_or_else(|| {
                ForeignError::StillThere {
                    target: self.target,
                    asked: self.asked(self.row.query[0]),
                }
                .into()
            })),
        }
    }

    fn not_there(&self) -> Fail {
        let (target, asked) = (self.target, self.asked(self.row.query[0]));
        ForeignError::NotThere { target, asked }.into()
    }

    fn tool(&self) -> Result<Tool, Fail> {
        let Row { program, hint, .. } = *self.row;
        let words = || format!("The {program} file '{program}' is not accessible");
        Tool::find(program, hint).map_err(|why| Fail::from(why).logged_as(words()))
    }

    /// Looks for what must be there before anything can be blocked, and makes
    /// it where that harms nobody.
    fn ensure(&self, tool: &Tool, need: &Need) -> Result<(), Fail> {
        if self.has(tool, need)? {
            return Ok(());
        }
        self.change(tool, need.make)?;
        if !need.make.is_empty() && self.has(tool, need)? {
            return Ok(());
        }
        Err(ForeignError::NotReady {
            asked: self.asked(need.ask),
            wanted: self.fill(need.says),
            hint: self.fill(need.hint),
        }
        .into())
    }

    fn has(&self, tool: &Tool, need: &Need) -> Result<bool, Fail> {
        let said = self.run(tool, need.ask)?.done()?;
        Ok(words_stand_in(&said, &self.fill(need.says)))
    }

    fn look(&self, tool: &Tool) -> Result<Found, Fail> {
        let mut found = Vec::new();
        for line in self.row.query {
            found.push(self.is_there(self.run(tool, line)?)?);
        }
        Ok(match (found.contains(&true), found.contains(&false)) {
            (true, false) => Found::Whole,
            (true, true) => Found::Part,
            (false, _) => Found::Nothing,
        })
    }

    fn is_there(&self, answer: Ended) -> Result<bool, Fail> {
        match self.row.reading {
            Reading::Status { missing } if answer.status.code() == Some(missing) => Ok(false),
            Reading::Status { .. } => Ok(answer.done().map(|_| true)?),
            Reading::Words { there, missing } => {
                let says =
                    |words: &&str| answer.stderr.contains(*words) || answer.stdout.contains(*words);
                if !answer.status.success() && missing.iter().any(says) {
                    return Ok(false);
                }
                let said = answer.done()?;
                let mut wanted = there.iter().map(|words| self.fill(words));
                Ok(wanted.all(|words| words_stand_in(&said, &words)))
            }
        }
    }

    fn change(&self, tool: &Tool, lines: &[Line]) -> Result<(), Fail> {
        for line in lines {
            self.run(tool, line)?.done()?;
        }
        Ok(())
    }

    fn run(&self, tool: &Tool, line: Line) -> Result<Ended, ToolError> {
        let words = self.words(line);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        tool.run(&words, LIMIT)
    }

    fn words(&self, line: Line) -> Vec<String> {
        line.iter().map(|word| self.fill(word)).collect()
    }

    /// What a person would type.
    fn asked(&self, line: Line) -> String {
        format!("{} {}", self.row.program, self.words(line).join(" "))
    }

    /// Puts in what stands in braces in the table.
    fn fill(&self, word: &str) -> String {
        table::fill(word, self.target, self.options)
    }
}

/// Whether these words stand next to each other in a line. Whole words: an
/// address may begin with another one.
fn words_stand_in(text: &str, words: &str) -> bool {
    let split = |line| -> Vec<&str> {
        let is_between = |c: char| c.is_whitespace() || "<>,".contains(c);
        let words = str::split(line, is_between);
        words.filter(|word| !word.is_empty()).collect()
    };
    let words = split(words);
    text.lines().any(|line| {
        let line = split(line);
        line.windows(words.len()).any(|window| window == words)
    })
}

#[cfg(test)]
mod tests {
    use super::words_stand_in;

    #[test]
    fn words_are_whole_and_next_to_each_other() {
        let text = "Filtering:\tactive\n  192.0.2.1/32 0\nflags: <UP,BLACKHOLE>\n";
        for words in [
            "Filtering: active",
            "192.0.2.1/32",
            "192.0.2.1/32 0",
            "BLACKHOLE",
        ] {
            assert!(words_stand_in(text, words), "{words}");
        }
        for words in ["192.0.2.1", "active 192.0.2.1/32", "92.0.2.1/32", "0 0"] {
            assert!(!words_stand_in(text, words), "{words}");
        }
    }
}
