//! How the executables write `logs/active-responses.log`.

/// Whose readers the lines are for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogLayout {
    /// Those of Wazuh 4.x: the steps of each run, with what it was told as JSON.
    #[default]
    Wazuh,
    /// Those of OSSEC: a line for each run that did something, as its scripts
    /// have logged their arguments.
    Ossec,
}

impl LogLayout {
    /// Where agentd says below the home which layout is in force; without the
    /// file it is that of Wazuh. Executables read it there because they know of
    /// no configuration and have nothing else from agentd that execd would not
    /// give them.
    pub const FILE: &str = "queue/log_layout";

    /// Of what stands in the file. What is unknown is Wazuh's: a later agentd
    /// may have written it.
    pub fn in_file(bytes: &[u8]) -> Self {
        match bytes.trim_ascii() {
            b"ossec" => Self::Ossec,
            _ => Self::Wazuh,
        }
    }

    /// What stands in the file; `None`: there is none.
    pub fn file(self) -> Option<&'static [u8]> {
        match self {
            Self::Wazuh => None,
            Self::Ossec => Some(b"ossec\n"),
        }
    }
}
