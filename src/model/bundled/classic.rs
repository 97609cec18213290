//! The names under which OSSEC and older Wazuh shipped what is bundled here.
//! Where no such file lies, the bundled executable runs in its place, so that a
//! configuration of theirs needs no change.

use super::{Bundled, find};

/// What scripts and programs end in on the systems they were made for.
const ENDS: [&str; 3] = [".sh", ".cmd", ".exe"];

/// Their names without that (ossec-hids active-response; wazuh 3.13 and 4.14
/// active-response), and whose work it is here. What needs options that no such
/// script was given, as a key for a service, is not among them.
const NAMES: &[(&str, &str)] = &[
    ("disable-account", "disable-account"),
    ("firewall-drop", "firewall-drop"),
    ("firewalld-drop", "firewalld-drop"),
    ("host-deny", "host-deny"),
    ("ip-customblock", "ip-customblock"),
    ("ipfw", "ipfw"),
    ("ipfw_mac", "ipfw"),
    ("netsh", "netsh"),
    ("netsh-win-2016", "netsh"),
    ("nftables-drop", "firewall-drop"),
    ("npf", "npf"),
    ("pf", "pf"),
    ("restart-ossec", "restart-wazuh"),
    ("restart-wazuh", "restart-wazuh"),
    ("route-null", "route-null"),
    ("route-null-2012", "route-null"),
];

/// Shipped by Wazuh 4.x with no such end.
const PLAIN: &[(&str, &str)] = &[("default-firewall-drop", "firewall-drop")];

/// The row of the executable that runs where a file of this name is wanted and
/// there is none. `None` also for the names of the bundled ones themselves.
pub fn stand_in(name: &str) -> Option<&'static Bundled> {
    let stem = ENDS.iter().find_map(|end| name.strip_suffix(end));
    let (table, wanted) = match stem {
        Some(stem) => (NAMES, stem),
        None => (PLAIN, name),
    };
    let (_, row) = table.iter().find(|(known, _)| *known == wanted)?;
    find(row)
}

/// The row of an executable, or of what stands in for it.
pub fn find_or_stand_in(name: &str) -> Option<&'static Bundled> {
    find(name).or_else(|| stand_in(name))
}

#[cfg(test)]
mod tests {
    use super::{ENDS, NAMES, PLAIN, find_or_stand_in, stand_in};
    use crate::model::bundled::find;

    #[test]
    fn every_classic_name_has_a_row_that_needs_no_options_and_is_no_name_of_its_own() {
        let with_ends = NAMES
            .iter()
            .flat_map(|(name, row)| ENDS.map(|end| (format!("{name}{end}"), *row)));
        let plain = PLAIN.iter().map(|(name, row)| ((*name).to_owned(), *row));
        for (name, wanted) in with_ends.chain(plain) {
            let row = stand_in(&name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(row.name, wanted, "{name}");
            assert!(row.options.iter().all(|option| !option.required), "{name}");
            assert!(find(&name).is_none(), "{name}");
        }
    }

    #[test]
    fn nothing_stands_in_for_other_names() {
        for name in [
            "firewall-drop",
            "own.sh",
            "firewall-drop.py",
            ".sh",
            "slack.sh",
        ] {
            assert!(stand_in(name).is_none(), "{name}");
        }
        assert_eq!(find_or_stand_in("pf").unwrap().name, "pf");
        assert_eq!(find_or_stand_in("pf.sh").unwrap().name, "pf");
    }
}
