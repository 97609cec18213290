//! One row per bundled executable: what the configuration check, the agent,
//! the documentation and the executables themselves know of it. No file is
//! ever run to learn this.

mod classic;
mod kind;
mod options;
mod rows;
mod system;

use serde::Serialize;

pub use classic::{find_or_stand_in, stand_in};
pub use kind::{FIELD, TargetKind, usual};
pub use options::{InvalidOptions, OptionSpec, Options, ValueKind};
pub use rows::BUNDLED;
pub use system::System;

/// What kind of state an executable changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// State in the kernel that a reboot clears. May run once the intent is
    /// written.
    Kernel,
    /// Bytes on a disk. Runs once the intent is synced.
    File,
    /// Something beyond this host. Runs once the intent is synced.
    Outside,
}

/// With what an executable does its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(into = "&'static str")]
pub enum Backend {
    /// Netlink to nf_tables.
    NfTables,
    /// The programs of iptables.
    Iptables,
    /// Netlink to the routing tables.
    Routes,
    /// The file of libwrap.
    HostsDeny,
    /// A service on the web.
    Https,
    /// The file of passwords.
    Shadow,
    /// The login manager of systemd.
    Logind,
    /// Signals through descriptors of processes.
    Signals,
    /// The service manager systemd.
    Systemd,
    /// The scripts that start services where systemd does not (service(8),
    /// rc-service(8)).
    InitScripts,
    /// A file for each address.
    Markers,
    /// A folder for root alone, into which files are moved.
    Quarantine,
    /// Deleting files.
    Unlink,
    /// Rich rules, by firewall-cmd(1).
    Firewalld,
    /// A table of ipfw(8).
    Ipfw,
    /// Rules of the firewall of Windows, by netsh.
    Netsh,
    /// A table of npf(7), by npfctl(8).
    Npf,
    /// A table of pf(4), by pfctl(8).
    Pf,
    /// The routing tables where there is no netlink, by route(8).
    RouteTool,
}

impl Backend {
    /// As a result line and the capabilities of a host name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NfTables => "nf_tables",
            Self::Iptables => "iptables",
            Self::Routes => "routes",
            Self::HostsDeny => "hosts.deny",
            Self::Https => "https",
            Self::Shadow => "shadow",
            Self::Logind => "logind",
            Self::Signals => "signals",
            Self::Systemd => "systemd",
            Self::InitScripts => "init scripts",
            Self::Markers => "markers",
            Self::Quarantine => "quarantine",
            Self::Unlink => "unlink",
            Self::Firewalld => "firewalld",
            Self::Ipfw => "ipfw",
            Self::Netsh => "netsh",
            Self::Npf => "npf",
            Self::Pf => "pf",
            Self::RouteTool => "route",
        }
    }
}

impl From<Backend> for &'static str {
    fn from(backend: Backend) -> Self {
        backend.name()
    }
}

/// A bundled executable. As JSON it is what `NAME --spec` prints.
#[derive(Debug, Serialize)]
pub struct Bundled {
    /// The classic name, which is also the name of its `[[bin]]`.
    pub name: &'static str,
    /// Other names under which it lies in a home. None for what is taken back:
    /// what is in force belongs to the name that brought it about.
    pub aliases: &'static [&'static str],
    /// One line for people.
    pub about: &'static str,
    pub target: TargetKind,
    /// What it takes in `<extra_args>`.
    pub options: &'static [OptionSpec],
    /// What a word there means that belongs to no option, for people.
    pub word: Option<&'static str>,
    /// The first of them that a host has is used there.
    pub backends: &'static [Backend],
    pub effect: Effect,
    /// Whether `delete` takes the effect back.
    pub reverts: bool,
    /// Libraries it is loaded with that not every host has.
    pub libraries: &'static [Library],
    /// Whether agentd keeps it running as a worker that takes all its orders.
    pub serves: bool,
}

/// A library, and where it comes from.
#[derive(Debug, Serialize)]
pub struct Library {
    /// The name the loader looks for.
    pub file: &'static str,
    /// The package of Debian and Ubuntu.
    pub package: &'static str,
}

/// The status with which the loader ends a program it cannot load (ld.so(8)).
const NOT_LOADED: i32 = 127;

impl Bundled {
    /// All names under which it lies in a home.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The library that kept it from being loaded, if that is how it ended.
    pub fn missing_library(&self, status: i32, stderr: &str) -> Option<&'static Library> {
        let loader = status == NOT_LOADED && stderr.contains("loading shared libraries");
        let mut libraries = self.libraries.iter();
        libraries.find(|library| loader && stderr.contains(library.file))
    }
}

/// The row of the executable with this file name.
pub fn find(name: &str) -> Option<&'static Bundled> {
    BUNDLED
        .iter()
        .find(|row| row.names().any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::{BUNDLED, find};

    #[test]
    fn a_library_that_the_loader_missed_is_known_with_its_package() {
        let row = find("firewall-drop").unwrap();
        let said = "x: error while loading shared libraries: libnftnl.so.11: cannot open";
        let missing = row
            .missing_library(127, said)
            .map(|library| library.package);
        assert_eq!(missing, Some("libnftnl11"));
        assert!(row.missing_library(1, said).is_none());
        assert!(row.missing_library(127, "libnftnl.so.11").is_none());
    }

    #[test]
    fn a_name_belongs_to_one_row_and_a_row_has_a_back_end() {
        let names: Vec<_> = BUNDLED.iter().flat_map(|row| row.names()).collect();
        for row in BUNDLED {
            for name in row.names() {
                let same = names.iter().filter(|other| **other == name);
                assert_eq!(same.count(), 1, "{name}");
            }
            assert!(!row.backends.is_empty(), "{}", row.name);
            assert!(!row.reverts || row.aliases.is_empty(), "{}", row.name);
        }
    }
}
