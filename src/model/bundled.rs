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
}

/// All of them, by name.
pub const BUNDLED: &[Bundled] = &[
    Bundled {
        name: "firewall-drop",
        about: "drop all packets from an address (nf_tables)",
        target: TargetKind::Address,
        effect: Effect::Kernel,
        reverts: true,
    },
    Bundled {
        name: "host-deny",
        about: "deny an address in hosts.deny (tcp wrappers)",
        target: TargetKind::Address,
        effect: Effect::File,
        reverts: true,
    },
];

/// The row of the executable with this file name.
pub fn find(name: &str) -> Option<&'static Bundled> {
    BUNDLED.iter().find(|row| row.name == name)
}
