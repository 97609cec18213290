//! What a host can do, as its agent tells the manager. Learnt by looking at
//! files and at the kernel; no executable is run for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::action::{Action, Contract};
use crate::model::{ExeName, bundled};

/// What a host can do.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Capabilities {
    /// What lies in `active-response/bin`.
    pub executables: BTreeMap<ExeName, Ability>,
    /// How its agent can speak to scripts besides [`Contract::Json`], by name. An
    /// agent that tells none is older than the others are; nor does it know that
    /// one executable stands in for another.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub contracts: BTreeSet<String>,
    /// Whether its agent looks for a target where an action says (`fields`). One
    /// that tells nothing of it would look where Wazuh 4.x has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fields: bool,
    /// Whether the host speaks IPv6.
    pub ipv6: bool,
    /// The kernel and its release, `Linux 6.1.0`.
    pub system: String,
}

/// What is known of one executable.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Ability {
    /// Whether it is one of ours, by name and recorded hash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bundled: bool,
    /// With what a bundled one would do its work here, such as `nftables`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Why it cannot do its work here, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<String>,
    /// Whether that is because it is for hosts of another kind (another operating
    /// system, another service manager), which is no fault of this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
}

impl Capabilities {
    /// The contracts that an agent of this version knows.
    pub fn known_contracts() -> BTreeSet<String> {
        ["argv", "v5"].map(str::to_owned).into()
    }

    /// Why its agent could not even read an action, or not all of it; `None` if it
    /// can.
    pub fn cannot_read(&self, action: &Action) -> Option<String> {
        let contract = action.contract;
        let is_known = contract == Contract::Json || self.contracts.contains(contract.name());
        let unknown = if !is_known {
            format!("does not know the contract {}", contract.name())
        } else if action.fields.is_some() && !self.fields {
            "looks for targets nowhere but where Wazuh 4.x has them".to_owned()
        } else {
            return None;
        };
        Some(format!(
            "the agent of the host {unknown} (install a newer ripost-agentd there)"
        ))
    }

    /// Why this host cannot carry an action out; `None` if it can.
    pub fn lacks(&self, action: &Action) -> Option<String> {
        let executable = &action.executable;
        let ability = self.executables.get(executable);
        match ability.or_else(|| self.stand_in(executable)) {
            None => Some(format!(
                "the host has no active-response/bin/{executable} (install it there)"
            )),
            Some(ability) => self.cannot_read(action).or_else(|| ability.gap.clone()),
        }
    }

    /// What runs there in place of an executable that it does not have.
    fn stand_in(&self, executable: &ExeName) -> Option<&Ability> {
        let row = bundled::stand_in(executable.as_str()).filter(|_| !self.contracts.is_empty())?;
        let name = ExeName::parse(row.name).ok()?;
        self.executables
            .get(&name)
            .filter(|ability| ability.bundled)
    }

    /// What it lacks of what it has: one line per executable that should work
    /// here and cannot.
    pub fn gaps(&self) -> Vec<String> {
        self.executables
            .iter()
            .filter(|(_, ability)| !ability.foreign)
            .filter_map(|(name, ability)| Some(format!("{name}: {}", ability.gap.as_deref()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Ability, Capabilities};
    use crate::model::action::{Contract, Wanted, sample};
    use crate::model::{ExeName, FieldMap};

    fn lacks(host: &Capabilities, executable: &str) -> Option<String> {
        host.lacks(&sample::action(1, executable, None))
    }

    #[test]
    fn what_is_absent_or_has_a_gap_is_lacking() {
        let name = |text: &str| ExeName::parse(text).unwrap();
        let mut host = Capabilities::default();
        host.executables
            .insert(name("host-deny"), Ability::default());
        let gap = Ability {
            gap: Some("no nf_tables".to_owned()),
            ..Ability::default()
        };
        host.executables.insert(name("firewall-drop"), gap);
        assert_eq!(lacks(&host, "host-deny"), None);
        assert_eq!(
            lacks(&host, "firewall-drop").as_deref(),
            Some("no nf_tables")
        );
        assert!(
            lacks(&host, "route-null")
                .unwrap()
                .contains("no active-response/bin/route-null")
        );
        let foreign = Ability {
            gap: Some("pf is of OpenBSD".to_owned()),
            foreign: true,
            ..Ability::default()
        };
        host.executables.insert(name("pf"), foreign);
        assert_eq!(host.gaps(), ["firewall-drop: no nf_tables"]);
        assert_eq!(lacks(&host, "pf").as_deref(), Some("pf is of OpenBSD"));
    }

    #[test]
    fn a_bundled_executable_stands_in_only_where_it_is_and_the_agent_knows_of_that() {
        let mut host = Capabilities {
            contracts: Capabilities::known_contracts(),
            ..Capabilities::default()
        };
        let name = ExeName::parse("firewall-drop").unwrap();
        assert!(lacks(&host, "firewall-drop.sh").is_some());
        host.executables.insert(name.clone(), Ability::default());
        // A script of that name is none of ours.
        assert!(lacks(&host, "firewall-drop.sh").is_some());
        host.executables.get_mut(&name).unwrap().bundled = true;
        assert_eq!(lacks(&host, "firewall-drop.sh"), None);
        host.executables.get_mut(&name).unwrap().gap = Some("no nf_tables".to_owned());
        assert!(lacks(&host, "firewall-drop.sh").is_some());
        host.executables.get_mut(&name).unwrap().gap = None;
        host.contracts.clear();
        assert!(lacks(&host, "firewall-drop.sh").is_some());
        assert_eq!(lacks(&host, "firewall-drop"), None);
    }

    #[test]
    fn an_older_agent_gets_no_action_that_it_cannot_read() {
        let mut host = Capabilities::default();
        let name = ExeName::parse("own.sh").unwrap();
        host.executables.insert(name, Ability::default());
        let mut action = sample::action(1, "own.sh", None);
        for contract in [Contract::Argv(Wanted::ANYTHING), Contract::V5] {
            action.contract = contract;
            let gap = host.lacks(&action).unwrap();
            assert!(gap.contains(contract.name()), "{gap}");
            let known = Capabilities {
                contracts: Capabilities::known_contracts(),
                ..host.clone()
            };
            assert_eq!(known.lacks(&action), None);
        }
        action.contract = Contract::Json;
        action.fields = Some(FieldMap::default().into());
        let gap = host.lacks(&action).unwrap();
        assert!(gap.contains("looks for targets nowhere but"), "{gap}");
        let known = Capabilities {
            fields: true,
            ..host.clone()
        };
        assert_eq!(known.lacks(&action), None);
        // What an older one tells has no word of them.
        let told = serde_json::to_string(&host).unwrap();
        assert!(
            !told.contains("contracts") && !told.contains("fields"),
            "{told}"
        );
        assert_eq!(serde_json::from_str::<Capabilities>(&told).unwrap(), host);
    }
}
