//! The host's own look at an action before it runs.

use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;

use crate::clock::{self, Boot};
use crate::model::{NamePattern, Target};
use crate::policy::{self, Verdict, WhiteList};
use crate::sys::host::{self, HostFacts};

/// How long what the host knows of itself is believed, in milliseconds.
const FACTS_KEEP: u64 = 2_000;

/// A longer white list is not a person's.
const MAX_ENTRIES: usize = 1_000_000;

/// What a part of the manager's white list led to.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Listed {
    /// More is to come, or it cannot be used.
    No,
    /// It is the one there was.
    Same,
    /// It is another one; the text to store.
    New(String),
}

#[derive(Debug)]
pub(super) struct Guards {
    /// That of the manager; no new action starts before there has been one.
    white_list: Option<WhiteList>,
    /// What has come of the next one, unless that is too long.
    gathered: Option<(Vec<IpNetwork>, Vec<NamePattern>)>,
    facts: HostFacts,
    /// The addresses under which this host reaches its manager.
    manager: Vec<IpAddr>,
    host: policy::Guards,
    read_at: Option<Boot>,
}

impl Guards {
    /// `stored` is the white list the journal kept.
    pub(super) fn new(stored: Option<&str>) -> Self {
        let white_list = stored.and_then(|text| match serde_json::from_str(text) {
            Ok(list) => Some(list),
            Err(error) => {
                log::error!(error:% = error; "the stored white list is not valid; waiting for the manager to send it");
                None
            }
        });
        Self {
            white_list,
            gathered: Some(Default::default()),
            facts: HostFacts::default(),
            manager: Vec::new(),
            host: policy::Guards::default(),
            read_at: None,
        }
    }

    /// A new session: the manager sends its white list from the beginning.
    pub(super) fn begin(&mut self) {
        self.gathered = Some(Default::default());
    }

    /// The addresses under which this host reaches its manager now.
    pub(super) fn set_manager(&mut self, addresses: &[SocketAddr]) {
        let same = addresses
            .iter()
            .map(SocketAddr::ip)
            .eq(self.manager.iter().copied());
        if !same {
            self.manager = addresses.iter().map(SocketAddr::ip).collect();
            self.host = policy::Guards::new(self.facts.clone(), self.manager.clone());
        }
    }

    /// Takes in the manager's list, or a part of it with `more` to come.
    pub(super) fn list(
        &mut self,
        networks: Vec<IpNetwork>,
        names: Vec<NamePattern>,
        more: bool,
    ) -> Listed {
        if let Some((all, all_names)) = &mut self.gathered {
            all.extend(networks);
            all_names.extend(names);
            if all.len() + all_names.len() > MAX_ENTRIES {
                log::error!(
                    "the manager's white list has more than {MAX_ENTRIES} entries and is not used; the one before stays"
                );
                self.gathered = None;
            }
        }
        if more {
            return Listed::No;
        }
        let Some((networks, names)) = self.gathered.replace(Default::default()) else {
            return Listed::No;
        };
        let list = WhiteList::new(networks).with_names(names);
        if self.white_list.as_ref() == Some(&list) {
            return Listed::Same;
        }
        let text = serde_json::to_string(&list).expect("a white list always serialises");
        self.white_list = Some(list);
        Listed::New(text)
    }

    pub(super) fn has_white_list(&self) -> bool {
        self.white_list.is_some()
    }

    /// `None` while there has been no white list.
    pub(super) fn judge(&mut self, target: Option<&Target>, local: &WhiteList) -> Option<Verdict> {
        self.white_list.as_ref()?;
        if target.is_some() {
            self.refresh();
        }
        let list = self.white_list.as_ref()?;
        Some(policy::judge_host(target, list, local, &self.host))
    }

    fn refresh(&mut self) {
        // A simulated host has no addresses of its own.
        #[cfg(test)]
        if clock::simulated::is_entered() {
            return;
        }
        let now = clock::boot();
        if self
            .read_at
            .is_some_and(|at| at.millis() + FACTS_KEEP > now.millis())
        {
            return;
        }
        match host::facts() {
            Ok(facts) => {
                self.facts = facts;
                self.host = policy::Guards::new(self.facts.clone(), self.manager.clone());
                self.read_at = Some(now);
            }
            // What was known before still protects the host.
            Err(error) => {
                log::error!(error:% = error; "cannot read this host's addresses, gateways and name servers")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use ipnetwork::IpNetwork;

    use super::{Guards, Listed};
    use crate::model::target::HostName;
    use crate::model::{NamePattern, Target};
    use crate::policy::{Verdict, WhiteList};

    fn networks(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn allows(guards: &mut Guards, address: &str) -> Option<bool> {
        let target = Target::parse_address(address).unwrap();
        let verdict = guards.judge(Some(&target), &WhiteList::default());
        verdict.map(|verdict| verdict == Verdict::Allow)
    }

    #[test]
    fn a_white_list_in_parts_holds_as_a_whole_and_not_before() {
        let mut guards = Guards::new(None);
        let first = networks(&["203.0.113.0/24"]);
        let second = networks(&["198.51.100.0/24"]);
        assert_eq!(guards.list(first.clone(), Vec::new(), true), Listed::No);
        assert!(!guards.has_white_list());
        assert_eq!(allows(&mut guards, "192.0.2.77"), None);
        let Listed::New(text) = guards.list(second, Vec::new(), false) else {
            panic!("the list is complete");
        };
        for address in ["203.0.113.1", "198.51.100.1"] {
            assert_eq!(allows(&mut guards, address), Some(false), "{address}");
            let mut restarted = Guards::new(Some(&text));
            assert_eq!(allows(&mut restarted, address), Some(false), "{address}");
        }
        assert_eq!(allows(&mut guards, "192.0.2.77"), Some(true));
        // The next one replaces all of it.
        assert!(matches!(
            guards.list(first.clone(), Vec::new(), false),
            Listed::New(_)
        ));
        assert_eq!(allows(&mut guards, "198.51.100.1"), Some(true));
        assert_eq!(guards.list(first, Vec::new(), false), Listed::Same);
    }

    #[test]
    fn a_list_that_broke_off_with_its_session_is_forgotten() {
        let mut guards = Guards::new(None);
        guards.list(networks(&["203.0.113.0/24"]), Vec::new(), true);
        guards.begin();
        guards.list(networks(&["198.51.100.0/24"]), Vec::new(), false);
        assert_eq!(allows(&mut guards, "203.0.113.1"), Some(true));
        assert_eq!(allows(&mut guards, "198.51.100.1"), Some(false));
    }

    #[test]
    fn a_list_that_is_too_long_changes_nothing() {
        let mut guards = Guards::new(None);
        guards.list(networks(&["203.0.113.0/24"]), Vec::new(), false);
        let part = vec!["198.51.100.0/24".parse().unwrap(); super::MAX_ENTRIES / 2 + 1];
        assert_eq!(guards.list(part.clone(), Vec::new(), true), Listed::No);
        assert_eq!(guards.list(part, Vec::new(), false), Listed::No);
        assert_eq!(allows(&mut guards, "203.0.113.1"), Some(false));
        assert_eq!(allows(&mut guards, "198.51.100.1"), Some(true));
        let next = guards.list(networks(&["198.51.100.0/24"]), Vec::new(), false);
        assert!(matches!(next, Listed::New(_)));
    }

    #[test]
    fn the_manager_is_guarded_as_soon_as_its_address_is_known_and_no_longer() {
        let mut guards = Guards::new(None);
        guards.list(Vec::new(), Vec::new(), false);
        let manager: IpAddr = "::ffff:203.0.113.9".parse().unwrap();
        assert_eq!(allows(&mut guards, "203.0.113.9"), Some(true));
        guards.set_manager(&[SocketAddr::new(manager, 1517)]);
        assert_eq!(allows(&mut guards, "203.0.113.9"), Some(false));
        guards.set_manager(&[]);
        assert_eq!(allows(&mut guards, "203.0.113.9"), Some(true));
    }

    #[test]
    fn names_come_in_parts_too_and_outlast_a_restart() {
        let mut guards = Guards::new(None);
        let name = |text: &str| vec![NamePattern::parse(text).unwrap()];
        guards.list(Vec::new(), name("^web-"), true);
        let listed = guards.list(networks(&["198.51.100.0/24"]), name("^db-"), false);
        let Listed::New(text) = listed else {
            panic!("the list is complete");
        };
        for mut guards in [guards, Guards::new(Some(&text))] {
            for (host, allowed) in [("web-7", false), ("db-7", false), ("mail-7", true)] {
                let target = Target::Name(HostName::parse(host).unwrap());
                let verdict = guards.judge(Some(&target), &WhiteList::default());
                assert_eq!(verdict == Some(Verdict::Allow), allowed, "{host}");
            }
            assert_eq!(allows(&mut guards, "198.51.100.1"), Some(false));
        }
    }
}
