//! What executables act on, and which fields of an alert name it.

use serde::Serialize;

use super::Options;

/// What an executable acts on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    Address,
    /// As [`TargetKind::Address`]; a network (`192.0.2.0/24`) is good too.
    Network,
    User,
    /// Processes, by what `--by` says: `pid` (the default), `exe` or `user`.
    Process,
    File,
    /// What `--service` names; never anything from an alert.
    Service,
    /// The host itself.
    Host,
    /// No target: it runs for every alert and names no keys.
    Nothing,
}

/// Wazuh 4.14 active_responses.c get_srcip_from_json.
const ADDRESS: &[&str] = &[
    "data.win.eventdata.ipAddress",
    "data.win.eventdata.destinationIp",
    "data.srcip",
];

/// Wazuh 4.14 active_responses.c get_username_from_json.
const USER: &[&str] = &["data.dstuser"];

const PID: &[&str] = &["data.process.pid", "data.audit.pid", "data.pid"];

const EXECUTABLE: &[&str] = &["data.process.executable", "data.audit.exe"];

/// File integrity monitoring, then VirusTotal, of Wazuh.
const FILE: &[&str] = &[
    "syscheck.path",
    "data.virustotal.source.file",
    "data.file.path",
];

impl TargetKind {
    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::Network => "an address or a network",
            Self::User => "a user",
            Self::Process => "processes",
            Self::File => "a file",
            Self::Service => "a service",
            Self::Host => "the host",
            Self::Nothing => "nothing",
        }
    }

    /// What a person could write for one.
    pub fn example(self) -> &'static str {
        match self {
            Self::Address => "203.0.113.9",
            Self::Network => "203.0.113.0/24",
            Self::User => "mallory",
            Self::Process => "4711",
            Self::File => "/var/tmp/dropper",
            Self::Service | Self::Host | Self::Nothing => "nothing",
        }
    }

    /// The fields that can name a target, as paths with dots, in the order in
    /// which they are looked for; none if no field does. `--field` sets another.
    pub fn fields(self, options: &Options) -> Vec<&str> {
        match options.get("--field") {
            Some(field) => vec![field],
            None => self.usual_fields(options.get("--by")).to_vec(),
        }
    }

    fn usual_fields(self, by: Option<&str>) -> &'static [&'static str] {
        match (self, by) {
            (Self::Address | Self::Network, _) => ADDRESS,
            (Self::User, _) | (Self::Process, Some("user")) => USER,
            (Self::Process, Some("exe")) => EXECUTABLE,
            (Self::Process, _) => PID,
            (Self::File, _) => FILE,
            (Self::Service | Self::Host | Self::Nothing, _) => &[],
        }
    }
}
