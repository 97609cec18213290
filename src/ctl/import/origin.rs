//! Whose the source is, and what it does there: told from what is in it.

use std::path::Path;

use clap::ValueEnum;

use crate::config::Part;
use crate::config::schema::Daemon;

/// Whose configuration it is, which decides what a response's rules mean.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum System {
    /// Wazuh 3 and 4.
    Wazuh,
    Ossec,
}

impl System {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wazuh => "Wazuh",
            Self::Ossec => "OSSEC",
        }
    }
}

/// What a source was taken for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Origin {
    pub(super) system: System,
    /// Why it was taken for that.
    pub(super) system_why: String,
    pub(super) daemon: Daemon,
    /// Why it was taken for that.
    pub(super) daemon_why: String,
}

/// Files that one of the two installs and the other does not.
const FILES: &[(&str, System)] = &[
    ("bin/wazuh-control", System::Wazuh),
    ("bin/wazuh-execd", System::Wazuh),
    ("wodles", System::Wazuh),
    ("ruleset", System::Wazuh),
    ("bin/ossec-execd", System::Ossec),
    ("bin/ossec-control", System::Ossec),
];

/// Sections with which OSSEC does not start (OSSEC src/config/config.c).
const OF_WAZUH: &[&str] = &[
    "agent-upgrade",
    "auth",
    "client_buffer",
    "cluster",
    "indexer",
    "labels",
    "logging",
    "rule_test",
    "ruleset",
    "sca",
    "task-manager",
    "vulnerability-detection",
    "vulnerability-detector",
    "wodle",
];

/// Sections that Wazuh 3 and 4 do not have.
const OF_OSSEC: &[&str] = &["rules"];

/// Sections that only the configuration of a manager has.
const OF_MANAGERS: &[&str] = &[
    "alerts", "cluster", "command", "remote", "rules", "ruleset", "auth", "indexer",
];

/// Looks at the folder, if there is one, and at the configuration. `told` is what
/// a person says of it.
pub(super) fn of(folder: Option<&Path>, parts: &[Part], told: Option<System>) -> Origin {
    let told = told.map(|system| (system, "so it was said with --from".to_owned()));
    let (system, system_why) = told
        .or_else(|| folder.and_then(by_files))
        .or_else(|| by_sections(parts))
        .unwrap_or((System::Wazuh, "nothing tells it apart".to_owned()));
    let (daemon, daemon_why) = daemon(parts);
    Origin {
        system,
        system_why,
        daemon,
        daemon_why,
    }
}

fn by_files(folder: &Path) -> Option<(System, String)> {
    let found = FILES.iter().find(|(name, _)| folder.join(name).exists());
    found.map(|(name, system)| (*system, format!("it has {name}")))
}

/// What stands directly in the roots, or outside of all.
fn sections(parts: &[Part]) -> impl Iterator<Item = &Part> {
    let roots = [
        "ossec_config",
        "wazuh_config",
        "ripost_config",
        "agent_config",
    ];
    parts
        .iter()
        .flat_map(move |part| match roots.contains(&part.name.as_str()) {
            true => part.parts.iter(),
            false => std::slice::from_ref(part).iter(),
        })
}

fn by_sections(parts: &[Part]) -> Option<(System, String)> {
    let with = |names: &[&str]| {
        let found = sections(parts).find(|part| names.contains(&part.name.as_str()));
        found.map(|part| format!("it has <{}>", part.name))
    };
    let inside = |section: &str, names: &[&str]| {
        let mut all = sections(parts).filter(|part| part.name == section);
        let found = all.find_map(|part| {
            let mut settings = part.parts.iter();
            settings.find(|part| names.contains(&part.name.as_str()))
        });
        found.map(|part| format!("it has <{}> in <{section}>", part.name))
    };
    let wazuh = with(OF_WAZUH)
        .or_else(|| inside("command", &["extra_args"]))
        .or_else(|| inside("client", &["server", "enrollment"]));
    let ossec = || {
        with(OF_OSSEC)
            .or_else(|| inside("global", &["allow_list"]))
            .or_else(|| inside("client", &["server-ip", "server-hostname"]))
            .or_else(|| inside("command", &["expect"]))
    };
    wazuh
        .map(|why| (System::Wazuh, why))
        .or_else(|| ossec().map(|why| (System::Ossec, why)))
}

fn daemon(parts: &[Part]) -> (Daemon, String) {
    let named = |names: &[&str]| {
        let mut all = sections(parts);
        all.find(|part| names.contains(&part.name.as_str()))
            .map(|part| format!("it has <{}>", part.name))
    };
    let has_response = || {
        sections(parts)
            .any(|part| part.name == "active-response" && part.setting("command").is_some())
    };
    if let Some(why) = named(OF_MANAGERS) {
        (Daemon::Manager, why)
    } else if let Some(why) = named(&["client"]) {
        (Daemon::Agent, why)
    } else if has_response() || named(&["active-response"]).is_none() {
        (Daemon::Manager, "it has nothing of an agent".to_owned())
    } else {
        (Daemon::Agent, "its responses only switch".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Origin, System, of};
    use crate::config::outline;
    use crate::config::schema::Daemon;

    fn origin(sections: &str) -> Origin {
        let text = format!("<ossec_config>{sections}</ossec_config>");
        let parts = outline(&text, Path::new("x")).value.unwrap();
        of(None, &parts, None)
    }

    #[test]
    fn a_file_is_known_by_what_only_one_of_them_starts_with() {
        for (sections, system, daemon) in [
            ("<rules/><command/>", System::Ossec, Daemon::Manager),
            ("<ruleset/><command/>", System::Wazuh, Daemon::Manager),
            (
                "<command><expect/></command>",
                System::Ossec,
                Daemon::Manager,
            ),
            (
                "<command><expect/></command><auth/>",
                System::Wazuh,
                Daemon::Manager,
            ),
            (
                "<global><allow_list>::1</allow_list></global><remote/>",
                System::Ossec,
                Daemon::Manager,
            ),
            (
                "<client><server-ip>192.0.2.1</server-ip></client>",
                System::Ossec,
                Daemon::Agent,
            ),
            (
                "<client><server><address/></server></client><localfile><command/></localfile>",
                System::Wazuh,
                Daemon::Agent,
            ),
            (
                "<active-response><disabled>no</disabled></active-response>",
                System::Wazuh,
                Daemon::Agent,
            ),
            (
                "<active-response><command>x</command></active-response>",
                System::Wazuh,
                Daemon::Manager,
            ),
            ("", System::Wazuh, Daemon::Manager),
        ] {
            let found = origin(sections);
            assert_eq!((found.system, found.daemon), (system, daemon), "{sections}");
        }
    }

    #[test]
    fn a_person_and_then_the_folder_are_believed_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("bin/ossec-control")).unwrap();
        let parts = outline("<ruleset/>", Path::new("x")).value.unwrap();
        let by_folder = of(Some(folder.path()), &parts, None);
        assert_eq!(by_folder.system, System::Ossec);
        std::fs::create_dir_all(folder.path().join("wodles")).unwrap();
        let by_folder = of(Some(folder.path()), &parts, None);
        assert_eq!(by_folder.system, System::Wazuh);
        let told = of(Some(folder.path()), &parts, Some(System::Ossec));
        assert_eq!(told.system, System::Ossec);
    }
}
