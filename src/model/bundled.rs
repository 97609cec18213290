//! One row per bundled executable: what the configuration check, the agent and
//! the executables themselves know of it. No file is ever run to learn this.

/// What an executable acts on, and from which fields of the alert it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TargetKind {
    /// One address: `data.win.eventdata.ipAddress`, then
    /// `data.win.eventdata.destinationIp`, then `data.srcip`; the first that is
    /// a string decides (Wazuh 4.14 active_responses.c).
    Address,
}

/// What kind of state an executable changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// State in the kernel that a reboot clears and that the kernel can expire
    /// itself. May run once the intent is written.
    Kernel,
    /// Bytes on a disk. Runs once the intent is synced.
    File,
}

/// A bundled executable.
#[derive(Debug)]
pub struct Bundled {
    /// The classic name, which is also the name of its `[[bin]]`.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    pub target: TargetKind,
    pub effect: Effect,
    /// Whether `delete` takes the effect back.
    pub reverts: bool,
    /// Libraries it is loaded with that not every host has.
    pub libraries: &'static [Library],
}

/// A library, and where it comes from.
#[derive(Debug)]
pub struct Library {
    /// The name the loader looks for.
    pub file: &'static str,
    /// The package of Debian and Ubuntu.
    pub package: &'static str,
}

/// The status with which the loader ends a program it cannot load (ld.so(8)).
const NOT_LOADED: i32 = 127;

impl Bundled {
    /// The library that kept it from being loaded, if that is how it ended.
    pub fn missing_library(&self, status: i32, stderr: &str) -> Option<&'static Library> {
        let loader = status == NOT_LOADED && stderr.contains("loading shared libraries");
        let mut libraries = self.libraries.iter();
        libraries.find(|library| loader && stderr.contains(library.file))
    }
}

/// All of them, by name.
pub const BUNDLED: &[Bundled] = &[
    Bundled {
        name: "firewall-drop",
        about: "drop all packets from an address (nf_tables)",
        target: TargetKind::Address,
        effect: Effect::Kernel,
        reverts: true,
        libraries: &[
            Library {
                file: "libnftnl.so.11",
                package: "libnftnl11",
            },
            Library {
                file: "libmnl.so.0",
                package: "libmnl0",
            },
        ],
    },
    Bundled {
        name: "host-deny",
        about: "deny an address in hosts.deny (tcp wrappers)",
        target: TargetKind::Address,
        effect: Effect::File,
        reverts: true,
        libraries: &[],
    },
];

/// The row of the executable with this file name.
pub fn find(name: &str) -> Option<&'static Bundled> {
    BUNDLED.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::find;

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
}
