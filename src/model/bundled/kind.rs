//! What executables act on, and which fields of an alert name it.

use serde::Serialize;

use super::Options;
use crate::model::{Field, FieldPath, Places};

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
static ADDRESS: [FieldPath; 3] = [
    FieldPath::known("data.win.eventdata.ipAddress"),
    FieldPath::known("data.win.eventdata.destinationIp"),
    FieldPath::known("data.srcip"),
];

/// Wazuh 4.14 active_responses.c get_username_from_json.
static USER: [FieldPath; 1] = [FieldPath::known("data.dstuser")];

static PID: [FieldPath; 3] = [
    FieldPath::known("data.process.pid"),
    FieldPath::known("data.audit.pid"),
    FieldPath::known("data.pid"),
];

static EXECUTABLE: [FieldPath; 2] = [
    FieldPath::known("data.process.executable"),
    FieldPath::known("data.audit.exe"),
];

/// File integrity monitoring, then VirusTotal, of Wazuh.
static FILE: [FieldPath; 3] = [
    FieldPath::known("syscheck.path"),
    FieldPath::known("data.virustotal.source.file"),
    FieldPath::known("data.file.path"),
];

/// The option that names the field.
pub const FIELD: &str = "--field";

/// Where a bundled executable looks for this.
pub fn usual(field: Field) -> &'static [FieldPath] {
    match field {
        Field::Srcip => &ADDRESS,
        Field::User => &USER,
        Field::Pid => &PID,
        Field::Exe => &EXECUTABLE,
        Field::File => &FILE,
    }
}

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

    /// What of an alert names a target; `None` if nothing does.
    pub fn field(self, options: &Options) -> Option<Field> {
        match (self, options.get("--by")) {
            (Self::Address | Self::Network, _) => Some(Field::Srcip),
            (Self::User, _) | (Self::Process, Some("user")) => Some(Field::User),
            (Self::Process, Some("exe")) => Some(Field::Exe),
            (Self::Process, _) => Some(Field::Pid),
            (Self::File, _) => Some(Field::File),
            (Self::Service | Self::Host | Self::Nothing, _) => None,
        }
    }

    /// Where it looks for a target: where `--field` says, else where Wazuh 4.x
    /// does; nowhere if nothing in an alert names one.
    pub fn places(self, options: &Options) -> Places<'static> {
        let Some(field) = self.field(options) else {
            return Places::Usual(&[]);
        };
        match options.get(FIELD) {
            // What an option may be was looked at when it was read.
            Some(said) => Places::Said(FieldPath::parse_list(said).unwrap_or_default().into()),
            None => Places::Usual(usual(field)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::usual;
    use crate::model::{Field, FieldPath};

    #[test]
    fn what_stands_in_the_sources_are_paths() {
        for field in Field::ALL {
            for path in usual(field) {
                assert_eq!(FieldPath::parse(path.as_str()).as_ref(), Ok(path));
            }
        }
    }
}
