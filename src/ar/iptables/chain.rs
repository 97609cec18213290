//! A chain of ours in one table, and the rules that lead packets there.

use ipnetwork::IpNetwork;

use super::program::Program;
use super::{Before, IptablesError};

/// A table that has what it takes to drop packets.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The chains of the kernel in which ours is called.
    hooks: &'static [&'static str],
}

/// In this order. The first drops before anything is remembered of a
/// connection, and what is forwarded too.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "raw",
        hooks: &["PREROUTING"],
    },
    Table {
        name: "filter",
        hooks: &["INPUT", "FORWARD"],
    },
];

/// What the names of all our chains begin with.
const PREFIX: &str = "RIPOST-";

/// The chain of an executable. The kernel takes 28 characters.
pub(super) fn name(executable: &str) -> String {
    format!("{PREFIX}{executable}")
}

/// How often a change is decided anew after others have changed the rules.
const MAX_ROUNDS: u32 = 4;

/// We never write a rule twice; others may have.
const MAX_COPIES: u32 = 100;

#[derive(Debug)]
pub(super) struct Chain<'a> {
    pub(super) program: &'a Program,
    pub(super) table: &'a Table,
    pub(super) name: &'a str,
}

/// What there is of a block.
#[derive(Debug)]
struct State {
    /// Whether the chain is there.
    chain: bool,
    /// Whether it drops the packets.
    drops: bool,
    /// Each hook, with whether the chain is called there.
    calls: Vec<(&'static str, Call)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Call {
    /// Before all rules that are not ours.
    First,
    /// Behind one that may have let the packet pass.
    Late,
    Missing,
}

impl Chain<'_> {
    /// Sees to it that the packets of a network are dropped, and looks whether
    /// they are. Each table is changed by one transaction of the kernel, so
    /// nobody who is killed leaves half of it.
    pub(super) fn add(&self, network: IpNetwork) -> Result<Before, IptablesError> {
        let mut state = self.state(network)?;
        let before = Before::of(state.drops);
        let mut written = Ok(());
        for _ in 0..MAX_ROUNDS {
            let Some(changes) = changes(self.table.name, self.name, &state, network) else {
                return Ok(before);
            };
            // If what it was decided on has changed, it has failed.
            written = self.program.write(&changes);
            state = self.state(network)?;
        }
        written?;
        Err(IptablesError::Lost(network))
    }

    /// Deletes what drops the packets of a network, and looks whether it is
    /// gone.
    pub(super) fn delete(&self, network: IpNetwork) -> Result<Before, IptablesError> {
        for copy in 0..MAX_COPIES {
            if !self.program.delete(self.table.name, self.name, network)? {
                return Ok(Before::of(copy > 0));
            }
        }
        Err(IptablesError::Stays(network))
    }

    fn state(&self, network: IpNetwork) -> Result<State, IptablesError> {
        let table = self.table.name;
        let drops = self.program.drops(table, self.name, network)?;
        let mut calls = Vec::new();
        for hook in self.table.hooks {
            let rules = self.program.rules(table, hook)?;
            calls.push((*hook, call(&rules, hook, self.name)));
        }
        Ok(State {
            chain: drops || self.program.has_chain(table, self.name)?,
            drops,
            calls,
        })
    }
}

/// Where a chain is called among the rules of a hook.
fn call(rules: &[String], hook: &str, chain: &str) -> Call {
    let ours = format!("-A {hook} -j {chain}");
    let kin = format!("-A {hook} -j {PREFIX}");
    let Some(place) = rules.iter().position(|rule| *rule == ours) else {
        return Call::Missing;
    };
    match rules[..place].iter().all(|rule| rule.starts_with(&kin)) {
        true => Call::First,
        false => Call::Late,
    }
}

/// What is to be done, in the words of iptables-restore(8); `None` if all is as
/// it should be.
fn changes(table: &str, chain: &str, state: &State, network: IpNetwork) -> Option<String> {
    let mut lines = Vec::new();
    if !state.chain {
        // Fails if somebody else has made it by now. `:CHAIN`, which does not,
        // would empty it.
        lines.push(format!("-N {chain}"));
    }
    for (hook, call) in &state.calls {
        if *call == Call::Late {
            lines.push(format!("-D {hook} -j {chain}"));
        }
        if *call != Call::First {
            lines.push(format!("-I {hook} 1 -j {chain}"));
        }
    }
    if !state.drops {
        lines.push(format!("-A {chain} -s {network} -j DROP"));
    }
    let text = lines.join("\n");
    (!lines.is_empty()).then(|| format!("*{table}\n{text}\nCOMMIT\n"))
}

#[cfg(test)]
mod tests {
    use super::{Call, State, call, changes, name};
    use crate::model::bundled::{BUNDLED, Backend};

    #[test]
    fn every_chain_has_a_name_that_the_kernel_takes() {
        let rows = BUNDLED
            .iter()
            .filter(|row| row.backends.contains(&Backend::Iptables));
        for row in rows {
            assert!(name(row.name).len() <= 28, "{}", row.name);
        }
    }

    #[test]
    fn a_chain_comes_first_if_only_ours_are_called_before_it() {
        let rules = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| line.to_string())
                .collect::<Vec<_>>()
        };
        let (ours, other) = ("-A INPUT -j RIPOST-x", "-A INPUT -i lo -j ACCEPT");
        let kin = "-A INPUT -j RIPOST-xy";
        for (lines, wanted) in [
            (&[ours, other][..], Call::First),
            (&[kin, ours], Call::First),
            (&[other, ours], Call::Late),
            (&[other, ours, ours], Call::Late),
            (&[kin, other], Call::Missing),
            (&["-A INPUT -s 192.0.2.1/32 -j RIPOST-x"], Call::Missing),
            (&[], Call::Missing),
        ] {
            assert_eq!(
                call(&rules(lines), "INPUT", "RIPOST-x"),
                wanted,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn only_what_is_missing_is_written() {
        let network = "192.0.2.0/24".parse().unwrap();
        let state = |chain, drops, calls| State {
            chain,
            drops,
            calls: vec![("INPUT", calls), ("FORWARD", Call::First)],
        };
        let text = |state: State| changes("filter", "RIPOST-x", &state, network);
        assert_eq!(text(state(true, true, Call::First)), None);
        let all = text(state(false, false, Call::Missing)).unwrap();
        assert_eq!(
            all,
            "*filter\n-N RIPOST-x\n-I INPUT 1 -j RIPOST-x\n-A RIPOST-x -s 192.0.2.0/24 -j DROP\nCOMMIT\n"
        );
        // Never a moment without it.
        let late = text(state(true, true, Call::Late)).unwrap();
        assert_eq!(
            late,
            "*filter\n-D INPUT -j RIPOST-x\n-I INPUT 1 -j RIPOST-x\nCOMMIT\n"
        );
    }
}
