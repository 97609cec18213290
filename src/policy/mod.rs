//! May it? Pure. The manager asks before it sends an action, the host again
//! before it carries one out, each with what it knows.
//!
//! Only addresses, networks and names of hosts are judged here. Which users, processes and files
//! are protected is for the executable to know that has them before it.

mod guards;
mod networks;
mod white_list;

use std::fmt;
use std::time::Duration;

use crate::model::{AgentId, Location, Target};
pub use guards::{Guard, Guards};
pub use white_list::{Entry, InvalidNetwork, WhiteList};

/// How long an action without timeout waits for a host that is offline; after
/// that nobody expects it any more.
pub const PATIENCE: Duration = Duration::from_secs(3_600);

/// The answer to a judgement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    Allow,
    Refuse(Reason),
}

impl Verdict {
    /// This one, or what another says if this one has nothing against it.
    pub fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Allow => other(),
            Self::Refuse(_) => self,
        }
    }
}

/// Why an action may not be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// It would cut the manager off from its agents.
    ManagersHost,
    Listed {
        target: Target,
        entry: Entry,
        list: List,
    },
    Guarded {
        target: Target,
        guard: Guard,
    },
}

/// Which white list an entry stands in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum List {
    /// Of `manager.conf`; it holds on every host.
    Manager,
    /// Of the host's own `agent.conf`.
    Host,
}

/// The manager's judgement.
pub fn judge_manager(target: Option<&Target>, list: &WhiteList) -> Verdict {
    let refusal = target.and_then(|target| listed(target, list, List::Manager));
    refusal.map_or(Verdict::Allow, Verdict::Refuse)
}

/// Whether a host may be cut off. That of the manager may only where the
/// response names it: `all` and `server` do not mean that.
pub fn judge_isolation(target: Option<&Target>, agent: &AgentId, location: Location) -> Verdict {
    match (target, location) {
        (Some(Target::Host), Location::Local | Location::Server | Location::All)
            if *agent == AgentId::MANAGER =>
        {
            Verdict::Refuse(Reason::ManagersHost)
        }
        _ => Verdict::Allow,
    }
}

/// The host's judgement: its own guards, then both white lists.
pub fn judge_host(
    target: Option<&Target>,
    manager_list: &WhiteList,
    host_list: &WhiteList,
    guards: &Guards,
) -> Verdict {
    let refusal = target.and_then(|target| {
        let guard = target
            .network()
            .and_then(|network| guards.guarding(network));
        guard
            .map(|guard| Reason::Guarded {
                target: target.clone(),
                guard,
            })
            .or_else(|| listed(target, manager_list, List::Manager))
            .or_else(|| listed(target, host_list, List::Host))
    });
    refusal.map_or(Verdict::Allow, Verdict::Refuse)
}

fn listed(target: &Target, white_list: &WhiteList, list: List) -> Option<Reason> {
    let entry = white_list.entry_for(target)?;
    Some(Reason::Listed {
        target: target.clone(),
        entry,
        list,
    })
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ManagersHost => f.write_str(
                "this is the manager's own host, which no agent could reach any more (name it by <agent_id>000</agent_id> if that is meant)",
            ),
            Self::Listed {
                target,
                entry,
                list,
            } => {
                let list = match list {
                    List::Manager => "the white list",
                    List::Host => "the white list of this host",
                };
                // What is not all in a network of the list holds it, or a part.
                let is_in = match (entry, target.network()) {
                    (Entry::Network(entry), Some(network)) => {
                        entry.contains(network.network()) && entry.prefix() <= network.prefix()
                    }
                    (Entry::Network(_) | Entry::Name(_), _) => true,
                };
                if is_in {
                    write!(f, "{target} is in {list} ({entry})")
                } else {
                    write!(f, "{target} holds {entry} of {list}")
                }
            }
            Self::Guarded {
                target: Target::Address(address),
                guard,
            } => write!(f, "{address} is {guard}"),
            Self::Guarded { target, guard } => match guard.address() {
                Some(address) => write!(f, "{target} holds {address}, {guard}"),
                None => write!(f, "{target} holds {guard}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Guards, Verdict, WhiteList, judge_host, judge_isolation, judge_manager};
    use crate::model::{AgentId, Location, Target};
    use crate::sys::host::HostFacts;

    fn list(entries: &[&str]) -> WhiteList {
        WhiteList::try_from(entries.iter().map(|&e| e.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn guards() -> Guards {
        let facts = HostFacts {
            addresses: addresses(&["192.0.2.5", "2001:db8::5", "fe80::5"]),
            gateways: addresses(&["192.0.2.1", "fe80::1"]),
            name_servers: addresses(&["::ffff:192.0.2.53"]),
        };
        Guards::new(facts, addresses(&["198.51.100.9"]))
    }

    fn why(verdict: Verdict) -> Option<String> {
        match verdict {
            Verdict::Allow => None,
            Verdict::Refuse(reason) => Some(reason.to_string()),
        }
    }

    #[test]
    fn a_white_listed_address_is_refused_with_its_entry() {
        let list = list(&[
            "192.0.2.0/24",
            "198.51.100.7",
            "2001:db8:1::/48",
            "::ffff:203.0.113.0/120",
        ]);
        for (address, wanted) in [
            (
                "192.0.2.1",
                Some("192.0.2.1 is in the white list (192.0.2.0/24)"),
            ),
            ("192.0.3.1", None),
            (
                "198.51.100.7",
                Some("198.51.100.7 is in the white list (198.51.100.7/32)"),
            ),
            ("198.51.100.70", None),
            (
                "::ffff:192.0.2.1",
                Some("192.0.2.1 is in the white list (192.0.2.0/24)"),
            ),
            (
                "2001:db8:1:2::3",
                Some("2001:db8:1:2::3 is in the white list (2001:db8:1::/48)"),
            ),
            ("2001:db8:2::", None),
            (
                "203.0.113.9",
                Some("203.0.113.9 is in the white list (203.0.113.0/24)"),
            ),
        ] {
            let target = Target::parse_address(address).unwrap();
            let found = why(judge_manager(Some(&target), &list));
            assert_eq!(found.as_deref(), wanted, "{address}");
            let found = why(judge_host(
                Some(&target),
                &list,
                &WhiteList::default(),
                &Guards::default(),
            ));
            assert_eq!(found.as_deref(), wanted, "{address}");
        }
    }

    #[test]
    fn a_host_refuses_what_it_cannot_do_without() {
        for (address, wanted) in [
            ("192.0.2.5", "one of this host's own addresses"),
            ("::ffff:192.0.2.5", "one of this host's own addresses"),
            ("fe80::5", "one of this host's own addresses"),
            ("127.0.0.1", "a loopback address"),
            ("127.255.0.3", "a loopback address"),
            ("::1", "a loopback address"),
            ("224.0.0.1", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("0.0.0.0", "the unspecified address"),
            ("::", "the unspecified address"),
            ("0.1.2.3", "an address of \"this network\" (0.0.0.0/8)"),
            ("255.255.255.255", "the broadcast address"),
            ("192.0.2.1", "a default gateway of this host"),
            ("fe80::1", "a default gateway of this host"),
            ("192.0.2.53", "a name server of this host"),
            ("198.51.100.9", "the manager of this host"),
        ] {
            let target = Target::parse_address(address).unwrap();
            let canonical = target.to_string();
            let empty = WhiteList::default();
            let found = why(judge_host(Some(&target), &empty, &empty, &guards()));
            assert_eq!(found, Some(format!("{canonical} is {wanted}")), "{address}");
        }
    }

    #[test]
    fn a_network_is_refused_for_one_address_in_it() {
        let list = list(&["100.64.0.7", "203.0.113.0/24", "2001:db9:1::/48"]);
        for (network, wanted) in [
            (
                "100.64.0.0/24",
                Some("100.64.0.0/24 holds 100.64.0.7/32 of the white list"),
            ),
            (
                "203.0.113.64/26",
                Some("203.0.113.64/26 is in the white list (203.0.113.0/24)"),
            ),
            (
                "2001:db9::/32",
                Some("2001:db9::/32 holds 2001:db9:1::/48 of the white list"),
            ),
            (
                "192.0.2.0/28",
                Some("192.0.2.0/28 holds 192.0.2.5, one of this host's own addresses"),
            ),
            (
                "127.0.0.0/16",
                Some("127.0.0.0/16 holds a loopback address"),
            ),
            ("198.51.100.128/25", None),
            ("2001:db8:2::/48", None),
        ] {
            let target = Target::parse_network(network).unwrap();
            let host = judge_host(Some(&target), &list, &WhiteList::default(), &guards());
            assert_eq!(why(host).as_deref(), wanted, "{network}");
        }
    }

    #[test]
    fn the_manager_s_host_is_cut_off_only_where_it_is_named() {
        let web = AgentId::parse("007").unwrap();
        for (agent, location, wanted) in [
            (&AgentId::MANAGER, Location::All, false),
            (&AgentId::MANAGER, Location::Server, false),
            (&AgentId::MANAGER, Location::Local, false),
            (&AgentId::MANAGER, Location::DefinedAgent, true),
            (&web, Location::All, true),
            (&web, Location::Local, true),
        ] {
            let verdict = judge_isolation(Some(&Target::Host), agent, location);
            assert_eq!(verdict == Verdict::Allow, wanted, "{agent} {location:?}");
            let address = Target::parse_address("203.0.113.9").unwrap();
            let verdict = judge_isolation(Some(&address), agent, location);
            assert_eq!(verdict, Verdict::Allow);
        }
    }

    #[test]
    fn everyone_else_may_be_blocked() {
        let empty = WhiteList::default();
        for address in [
            "192.0.2.6",
            "1.0.0.1",
            "126.255.255.255",
            "2001:db8::6",
            "fe80::6",
        ] {
            let target = Target::parse_address(address).unwrap();
            let verdict = judge_host(Some(&target), &empty, &empty, &guards());
            assert_eq!(verdict, Verdict::Allow, "{address}");
        }
        let all = list(&["0.0.0.0/0", "::/0"]);
        assert_eq!(judge_host(None, &all, &all, &guards()), Verdict::Allow);
        assert_eq!(judge_manager(None, &all), Verdict::Allow);
    }

    #[test]
    fn the_host_has_a_list_of_its_own() {
        let target = Target::parse_address("192.0.2.77").unwrap();
        let own = list(&["192.0.2.77"]);
        let verdict = judge_host(Some(&target), &WhiteList::default(), &own, &guards());
        assert_eq!(
            why(verdict).as_deref(),
            Some("192.0.2.77 is in the white list of this host (192.0.2.77/32)")
        );
    }
}
