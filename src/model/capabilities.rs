//! What a host can do, as its agent tells the manager. Learnt by looking at
//! files and at the kernel; no executable is run for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::ExeName;

/// What a host can do.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Capabilities {
    /// What lies in `active-response/bin`.
    pub executables: BTreeMap<ExeName, Ability>,
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
    /// Why this host cannot run an executable; `None` if it can.
    pub fn lacks(&self, executable: &ExeName) -> Option<String> {
        match self.executables.get(executable) {
            None => Some(format!(
                "the host has no active-response/bin/{executable} (install it there)"
            )),
            Some(ability) => ability.gap.clone(),
        }
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
    use crate::model::ExeName;

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
        assert_eq!(host.lacks(&name("host-deny")), None);
        assert_eq!(
            host.lacks(&name("firewall-drop")).as_deref(),
            Some("no nf_tables")
        );
        assert!(
            host.lacks(&name("route-null"))
                .unwrap()
                .contains("route-null")
        );
        let foreign = Ability {
            gap: Some("pf is of OpenBSD".to_owned()),
            foreign: true,
            ..Ability::default()
        };
        host.executables.insert(name("pf"), foreign);
        assert_eq!(host.gaps(), ["firewall-drop: no nf_tables"]);
        assert_eq!(host.lacks(&name("pf")).as_deref(), Some("pf is of OpenBSD"));
    }
}
