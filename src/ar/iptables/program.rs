//! The programs of iptables: which there are, and what their words mean.

use std::time::Duration;

use super::IptablesError;
use crate::ar::tool::{Ended, Tool, ToolError};
use crate::sys::xtables::{Family, has_nft_chain};

/// How long each waits for the lock of legacy iptables, in seconds.
const LOCK_SECONDS: u32 = 5;

/// For one invocation, its wait for the lock included.
const LIMIT: Duration = Duration::from_secs(10);

const HINT: &str = "Debian and Ubuntu: apt install iptables";

/// There are two, with tables of their own: what one writes the other does not
/// see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Variant {
    /// Of the kernel's ip_tables.
    Legacy,
    /// The same words for nf_tables.
    Nft,
}

/// `iptables` and `iptables-restore` of one variant, for one family.
#[derive(Debug)]
pub(super) struct Program {
    family: Family,
    variant: Variant,
    name: &'static str,
    rules: Tool,
    restore: Tool,
}

/// A name, and the name of the program beside it that reads several changes.
type Names = (&'static str, &'static str);

/// Where both variants are installed each has a name of its own; where one is,
/// it has the last name. ip6tables is the name people know for the other.
fn names(family: Family, variant: Variant) -> [Names; 2] {
    let own = match (family, variant) {
        (Family::Ipv4, Variant::Legacy) => ("iptables-legacy", "iptables-legacy-restore"),
        (Family::Ipv4, Variant::Nft) => ("iptables-nft", "iptables-nft-restore"),
        (Family::Ipv6, Variant::Legacy) => ("ip6tables-legacy", "ip6tables-legacy-restore"),
        (Family::Ipv6, Variant::Nft) => ("ip6tables-nft", "ip6tables-nft-restore"),
    };
    match family {
        Family::Ipv4 => [own, ("iptables", "iptables-restore")],
        Family::Ipv6 => [own, ("ip6tables", "ip6tables-restore")],
    }
}

impl Program {
    pub(super) fn find(family: Family, variant: Variant) -> Result<Self, IptablesError> {
        let [own, plain] = names(family, variant);
        let found = Tool::find(own.0, HINT).map(|rules| (own, rules));
        let ((name, restore), rules) = match found {
            Ok(found) => found,
            Err(_) => (plain, Tool::find(plain.0, HINT)?),
        };
        if name == plain.0 && variant_of(&rules)? != variant {
            let missing = ToolError::Missing {
                name: own.0,
                hint: HINT,
            };
            return Err(missing.into());
        }
        Ok(Self {
            family,
            variant,
            name,
            rules,
            restore: Tool::find(restore, HINT)?,
        })
    }

    /// The rules of a chain that the kernel brings along, in its order.
    pub(super) fn rules(&self, table: &str, chain: &str) -> Result<Vec<String>, IptablesError> {
        let listed = self.ask(&["-t", table, "-S", chain])?;
        Ok(rules(&listed.unwrap_or_default()))
    }

    /// The rules of another chain, with their counters; `None` if there is no
    /// such chain.
    pub(super) fn counted_rules(
        &self,
        table: &str,
        chain: &str,
    ) -> Result<Option<Vec<String>>, IptablesError> {
        // Some versions say of a chain that is not there that it is
        // incompatible (1.8.9).
        if self.variant == Variant::Nft && !has_nft_chain(self.family, table, chain)? {
            return Ok(None);
        }
        let listed = self.ask(&["-t", table, "-v", "-S", chain])?;
        Ok(listed.map(|text| rules(&text)))
    }

    /// Carries out changes in the words of iptables-restore(8), all or none of
    /// a table.
    pub(super) fn write(&self, changes: &str) -> Result<(), IptablesError> {
        let wait = LOCK_SECONDS.to_string();
        let words = ["--noflush", "-w", &wait];
        let ended = self.restore.feed(&words, changes.as_bytes(), LIMIT)?;
        self.understand(ended).map(drop)
    }

    /// What it prints; `None` if what it was asked about is not there.
    fn ask(&self, words: &[&str]) -> Result<Option<String>, IptablesError> {
        let wait = LOCK_SECONDS.to_string();
        let words = [&["-w", &wait], words].concat();
        match self.understand(self.rules.run(&words, LIMIT)?)? {
            Said::Done(text) => Ok(Some(text)),
            Said::Missing => Ok(None),
        }
    }

    fn understand(&self, ended: Ended) -> Result<Said, IptablesError> {
        let tool = || self.name.to_owned();
        if ended.status.success() {
            return Ok(Said::Done(ended.stdout));
        }
        match meaning(&ended.stderr) {
            Some(Meaning::Missing) => Ok(Said::Missing),
            Some(Meaning::NoTable) => Err(IptablesError::NoTable { tool: tool() }),
            Some(Meaning::NotPermitted) => Err(IptablesError::NotPermitted { tool: tool() }),
            Some(Meaning::Busy) => Err(IptablesError::Busy {
                tool: tool(),
                seconds: LOCK_SECONDS,
            }),
            Some(Meaning::NoNfTables) => Err(IptablesError::NoNfTables { tool: tool() }),
            Some(Meaning::NoFamily) => Err(IptablesError::NoFamily { tool: tool() }),
            None => Ok(Said::Done(ended.done()?)),
        }
    }
}

fn rules(listed: &str) -> Vec<String> {
    let rules = listed.lines().filter(|line| line.starts_with("-A "));
    rules.map(str::to_owned).collect()
}

/// What a program says of itself. Versions before 1.8, of 2018, say nothing,
/// and are of the old kind; that for nf_tables looks for them first.
fn variant_of(rules: &Tool) -> Result<Variant, IptablesError> {
    let ended = rules.run(&["-V"], LIMIT)?;
    let nft = ended.stdout.contains("(nf_tables)") || ended.stderr.contains("(nf_tables)");
    if nft || meaning(&ended.stderr) == Some(Meaning::NoNfTables) {
        return Ok(Variant::Nft);
    }
    ended.done()?;
    Ok(Variant::Legacy)
}

enum Said {
    Done(String),
    Missing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meaning {
    /// There is no such rule, or no such chain.
    Missing,
    NoTable,
    NotPermitted,
    Busy,
    NoNfTables,
    NoFamily,
}

/// Words of iptables 1.4 to 1.8, of which a later line may repeat an earlier
/// one: the first that is found counts. The exit status tells much less: 1 may
/// be a rule that is not there, or a kernel without nf_tables.
const WORDS: &[(&str, Meaning)] = &[
    ("holding the xtables lock", Meaning::Busy),
    ("Permission denied", Meaning::NotPermitted),
    ("Operation not permitted", Meaning::NotPermitted),
    ("Address family not supported", Meaning::NoFamily),
    ("Failed to initialize nft", Meaning::NoNfTables),
    (
        "Could not fetch rule set generation id",
        Meaning::NoNfTables,
    ),
    // "Table does not exist" or, where there is nothing of it, "iptables who?".
    ("do you need to insmod?", Meaning::NoTable),
    ("unable to initialize table", Meaning::NoTable),
    ("Bad rule (does a matching rule exist", Meaning::Missing),
    ("No chain/target/match by that name", Meaning::Missing),
];

/// What a failure means, if it is one of those that we know.
fn meaning(said: &str) -> Option<Meaning> {
    let known = WORDS.iter().find(|(words, _)| said.contains(words));
    let quoted = |before: &str| said.contains(before) && said.contains("' does not exist");
    known.map(|(_, meaning)| *meaning).or_else(|| {
        if quoted("table '") {
            Some(Meaning::NoTable)
        } else {
            quoted("Chain '").then_some(Meaning::Missing)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Meaning, meaning};

    /// As iptables 1.8.9 of Debian 12 said them.
    #[test]
    fn words_are_understood_as_they_are_meant_and_no_others() {
        for (said, wanted) in [
            (
                "iptables: Bad rule (does a matching rule exist in that chain?).",
                Some(Meaning::Missing),
            ),
            (
                "iptables: No chain/target/match by that name.",
                Some(Meaning::Missing),
            ),
            (
                "iptables v1.8.9 (nf_tables): Chain 'RIPOST-x' does not exist\nTry `iptables -h'",
                Some(Meaning::Missing),
            ),
            (
                "iptables v1.8.9 (legacy): can't initialize iptables table `raw': Table does not exist (do you need to insmod?)",
                Some(Meaning::NoTable),
            ),
            (
                "iptables v1.8.9 (nf_tables): table 'raw' does not exist\nPerhaps",
                Some(Meaning::NoTable),
            ),
            (
                "iptables v1.8.9 (legacy): can't initialize iptables table `raw': Permission denied (you must be root)",
                Some(Meaning::NotPermitted),
            ),
            (
                "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
                Some(Meaning::NotPermitted),
            ),
            (
                "Can't lock /run/xtables.lock: Resource temporarily unavailable\nAnother app is currently holding the xtables lock. Stopped waiting after 1s.",
                Some(Meaning::Busy),
            ),
            (
                "iptables: Failed to initialize nft: Protocol not supported",
                Some(Meaning::NoNfTables),
            ),
            (
                "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument",
                Some(Meaning::NoNfTables),
            ),
            (
                "ip6tables v1.8.9 (legacy): can't initialize ip6tables table `raw': Address family not supported by protocol",
                Some(Meaning::NoFamily),
            ),
            (
                "Fatal: can't open lock file /run/xtables.lock: Read-only file system",
                None,
            ),
            ("iptables: Memory allocation problem.", None),
            ("", None),
        ] {
            assert_eq!(meaning(said), wanted, "{said}");
        }
    }
}
