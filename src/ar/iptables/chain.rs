//! A chain of ours in one table, and the rules that lead packets there.

use std::collections::{BTreeMap, BTreeSet};

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

#[derive(Debug)]
pub(super) struct Chain<'a> {
    pub(super) program: &'a Program,
    pub(super) table: &'a Table,
    pub(super) name: &'a str,
}

/// What drops the packets of one network. We never write a rule twice; others
/// may have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Drops {
    rules: usize,
    hits: u64,
}

/// The networks whose packets a chain drops.
type Dropped = BTreeMap<IpNetwork, Drops>;

/// What there is of our blocks.
#[derive(Debug)]
struct State {
    /// What the chain drops, if it is there.
    chain: Option<Dropped>,
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

/// What became of each network, in their order.
pub(super) type Answers = Vec<Result<Before, IptablesError>>;

impl Chain<'_> {
    /// Sees to it that the packets of networks are dropped, and looks whether
    /// they are. Each table is changed by one transaction of the kernel, so
    /// nobody who is killed leaves half of it.
    pub(super) fn add(&self, networks: &[IpNetwork]) -> Result<Answers, IptablesError> {
        let mut state = self.state()?;
        let before: Vec<Before> = networks.iter().map(|of| state.before(*of)).collect();
        let mut written = Ok(());
        for _ in 0..MAX_ROUNDS {
            let Some(changes) = changes(self.table.name, self.name, &state, networks) else {
                return Ok(before.into_iter().map(Ok).collect());
            };
            // If what it was decided on has changed, it has failed.
            written = self.program.write(&changes);
            state = self.state()?;
        }
        written?;
        let is_called = state.calls.iter().all(|(_, call)| *call == Call::First);
        let answers = networks.iter().zip(before);
        let answer = |(of, before): (&IpNetwork, Before)| match state.before(*of) {
            Before::There { .. } if is_called => Ok(before),
            Before::There { .. } | Before::Missing => Err(IptablesError::Lost(*of)),
        };
        Ok(answers.map(answer).collect())
    }

    /// Deletes what drops the packets of networks, and looks whether it is
    /// gone. `None` if there is no chain.
    pub(super) fn delete(&self, networks: &[IpNetwork]) -> Result<Option<Answers>, IptablesError> {
        let Some(mut dropped) = self.dropped()? else {
            return Ok(None);
        };
        let before: Vec<Before> = networks.iter().map(|of| before(&dropped, *of)).collect();
        let mut written = Ok(());
        for _ in 0..MAX_ROUNDS {
            let Some(changes) = deletions(self.table.name, self.name, &dropped, networks) else {
                return Ok(Some(before.into_iter().map(Ok).collect()));
            };
            // As above.
            written = self.program.write(&changes);
            dropped = self.dropped()?.unwrap_or_default();
        }
        written?;
        let answers = networks.iter().zip(before);
        let answer = |(of, was): (&IpNetwork, Before)| match self::before(&dropped, *of) {
            Before::There { .. } => Err(IptablesError::Stays(*of)),
            Before::Missing => Ok(was),
        };
        Ok(Some(answers.map(answer).collect()))
    }

    fn state(&self) -> Result<State, IptablesError> {
        let mut calls = Vec::new();
        for hook in self.table.hooks {
            let rules = self.program.rules(self.table.name, hook)?;
            calls.push((*hook, call(&rules, hook, self.name)));
        }
        let chain = self.dropped()?;
        Ok(State { chain, calls })
    }

    fn dropped(&self) -> Result<Option<Dropped>, IptablesError> {
        let rules = self.program.counted_rules(self.table.name, self.name)?;
        Ok(rules.map(|rules| dropped(&rules, self.name)))
    }
}

impl State {
    fn before(&self, network: IpNetwork) -> Before {
        match &self.chain {
            Some(dropped) => before(dropped, network),
            None => Before::Missing,
        }
    }
}

fn before(dropped: &Dropped, network: IpNetwork) -> Before {
    match dropped.get(&bare(network)) {
        Some(drops) => Before::There { hits: drops.hits },
        None => Before::Missing,
    }
}

/// Without the bits of a host.
fn bare(network: IpNetwork) -> IpNetwork {
    IpNetwork::new(network.network(), network.prefix()).expect("the prefix is that of a network")
}

/// What the rules of a chain drop, of what we write: whatever else is in one
/// makes it that of somebody else.
fn dropped(rules: &[String], chain: &str) -> Dropped {
    let mut dropped = Dropped::new();
    for rule in rules {
        let words: Vec<_> = rule.split_ascii_whitespace().collect();
        let ["-A", of, "-s", network, "-c", packets, _, "-j", "DROP"] = words[..] else {
            continue;
        };
        let Ok(network) = network.parse() else {
            continue;
        };
        if of == chain {
            let drops = dropped.entry(bare(network)).or_default();
            drops.rules += 1;
            drops.hits += packets.parse().unwrap_or(0);
        }
    }
    dropped
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
fn changes(table: &str, chain: &str, state: &State, networks: &[IpNetwork]) -> Option<String> {
    let mut lines = Vec::new();
    if state.chain.is_none() {
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
    let missing = networks.iter().copied().map(bare).collect::<BTreeSet<_>>();
    let missing = missing
        .into_iter()
        .filter(|network| state.before(*network) == Before::Missing);
    lines.extend(missing.map(|network| format!("-A {chain} -s {network} -j DROP")));
    transaction(table, &lines)
}

/// As [`changes`], to delete every rule that drops the packets of networks.
fn deletions(
    table: &str,
    chain: &str,
    dropped: &Dropped,
    networks: &[IpNetwork],
) -> Option<String> {
    let named = networks.iter().copied().map(bare).collect::<BTreeSet<_>>();
    let mut lines = Vec::new();
    for network in named {
        let rules = dropped.get(&network).map_or(0, |drops| drops.rules);
        let line = format!("-D {chain} -s {network} -j DROP");
        lines.extend(std::iter::repeat_n(line, rules));
    }
    transaction(table, &lines)
}

fn transaction(table: &str, lines: &[String]) -> Option<String> {
    let text = lines.join("\n");
    (!lines.is_empty()).then(|| format!("*{table}\n{text}\nCOMMIT\n"))
}

#[cfg(test)]
mod tests {
    use super::{Call, Drops, State, call, changes, deletions, dropped, name};
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
        let networks = ["192.0.2.0/24", "192.0.2.1", "192.0.2.0/24"];
        let networks = networks.map(|text| text.parse().unwrap());
        let rules = |count: usize| {
            let rules = [
                "-A RIPOST-x -s 192.0.2.1/32 -c 0 0 -j DROP",
                "-A RIPOST-x -s 192.0.2.0/24 -c 0 0 -j DROP",
            ];
            let rules: Vec<_> = rules
                .iter()
                .take(count)
                .map(|rule| rule.to_string())
                .collect();
            dropped(&rules, "RIPOST-x")
        };
        let state = |chain, calls| State {
            chain,
            calls: vec![("INPUT", calls), ("FORWARD", Call::First)],
        };
        let text = |state: State| changes("filter", "RIPOST-x", &state, &networks);
        assert_eq!(text(state(Some(rules(2)), Call::First)), None);
        assert_eq!(
            text(state(None, Call::Missing)).unwrap(),
            "*filter\n-N RIPOST-x\n-I INPUT 1 -j RIPOST-x\n\
             -A RIPOST-x -s 192.0.2.0/24 -j DROP\n-A RIPOST-x -s 192.0.2.1/32 -j DROP\nCOMMIT\n"
        );
        assert_eq!(
            text(state(Some(rules(1)), Call::First)).unwrap(),
            "*filter\n-A RIPOST-x -s 192.0.2.0/24 -j DROP\nCOMMIT\n"
        );
        // Never a moment without it.
        let late = text(state(Some(rules(2)), Call::Late)).unwrap();
        assert_eq!(
            late,
            "*filter\n-D INPUT -j RIPOST-x\n-I INPUT 1 -j RIPOST-x\nCOMMIT\n"
        );
    }

    #[test]
    fn rules_of_ours_are_counted_and_deleted_as_often_as_they_are_there() {
        let rules = [
            "-A RIPOST-x -s 192.0.2.1/32 -c 3 252 -j DROP",
            "-A RIPOST-x -s 192.0.2.1/32 -m comment --comment x -c 9 9 -j DROP",
            "-A RIPOST-y -s 192.0.2.1/32 -c 9 9 -j DROP",
            "-A RIPOST-x -s 192.0.2.1/32 -c 4 4 -j ACCEPT",
            "-A RIPOST-x -s 192.0.2.1/32 -c 2 168 -j DROP",
            "-A RIPOST-x -s 2001:db8::/64 -c 1 84 -j DROP",
        ];
        let dropped = dropped(&rules.map(str::to_owned), "RIPOST-x");
        let of = |text: &str| dropped.get(&text.parse().unwrap()).copied();
        assert_eq!(of("192.0.2.1/32"), Some(Drops { rules: 2, hits: 5 }));
        assert_eq!(of("2001:db8::/64"), Some(Drops { rules: 1, hits: 1 }));
        assert_eq!(dropped.len(), 2);
        let networks = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        assert_eq!(
            deletions("raw", "RIPOST-x", &dropped, &networks).unwrap(),
            "*raw\n-D RIPOST-x -s 192.0.2.1/32 -j DROP\n-D RIPOST-x -s 192.0.2.1/32 -j DROP\nCOMMIT\n"
        );
        assert_eq!(deletions("raw", "RIPOST-x", &dropped, &networks[1..]), None);
    }
}
