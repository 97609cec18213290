//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ripost::model::ServerAddress;

use super::fleet::{Churn, Settings};
use super::lies::Lie;

/// Play a fleet of agents against a real ripost-manager, over real TLS.
///
/// Make a token on the manager that is good for all of them, and say where the
/// identities are to be kept; the next run takes them from there and needs no
/// token:
///
///   TOKEN=$(ripostctl enroll token --uses 1000)
///   fleet_sim --manager siem:1517 --token "$TOKEN" --agents 1000 --dir /tmp/fleet --duration 60
///
/// Then write alerts on the manager, or use `ripostctl run COMMAND --agent all`,
/// and look at what the report says. Nothing is blocked anywhere: the agents
/// only say so. Remove them afterwards with `ripostctl agents revoke ID`.
#[derive(Clone, Debug, Parser)]
#[command(name = "fleet_sim", version, verbatim_doc_comment)]
pub struct Options {
    /// Where the manager listens for its agents.
    #[arg(long, value_name = "HOST:PORT", value_parser = ServerAddress::parse)]
    pub manager: ServerAddress,

    /// A token of `ripostctl enroll token --uses N`, for agents that have no
    /// identity in the folder yet.
    #[arg(long)]
    pub token: Option<String>,

    /// How many agents to play.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub agents: u32,

    /// Where the identities are kept. They are keys: keep it to yourself.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,

    /// The agents call themselves NAME-0, NAME-1, …
    #[arg(long, value_name = "NAME", default_value = "sim")]
    pub name: String,

    /// Agents that dial for the first time, in a second; 0: all at once.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    pub connect_rate: f64,

    /// Dials under way at once, in each process. A manager drops handshakes
    /// beyond 512 from one address.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub dials: usize,

    /// Cut so many of the connections at random in each interval: 5%/10s.
    #[arg(long, value_name = "P%/SECONDSs", value_parser = Churn::parse)]
    pub disconnect: Option<Churn>,

    /// Take so long before an action is acknowledged, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay: u64,

    /// What is reported of an action besides that it has arrived.
    #[arg(long, value_enum, default_value_t)]
    pub answer: Answer,

    /// What the liars among the agents do; several kinds take turns.
    #[arg(long, value_enum, value_name = "KIND,…", value_delimiter = ',')]
    pub lie: Vec<Lie>,

    /// How many of the agents lie, if --lie is given: all unless it says less.
    #[arg(long, value_name = "N", requires = "lie")]
    pub liars: Option<u32>,

    /// Stop after so many seconds. Without it: at Ctrl-C.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,

    /// The form of the report: text and json come once, at the end; lines is
    /// one JSON object for each action and for each look (--every).
    #[arg(long, value_enum, default_value_t)]
    pub report: Form,

    /// Say how it stands every so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub every: f64,

    /// Share the agents out among so many processes: for more agents than one
    /// process may have files open, and for more cores.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub processes: u32,

    /// This is one of several processes, and plays the agents from this number
    /// on; it ends with its stdin.
    #[arg(long, hide = true)]
    pub first: Option<u32>,
}

/// The form of the report.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Form {
    #[default]
    Text,
    Json,
    Lines,
}

impl Form {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Lines => "lines",
        }
    }
}

/// What an agent reports of an action.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Answer {
    /// Only that it has it.
    Taken,
    /// That it is applied, and reverted at its end.
    #[default]
    Applied,
    /// Also that it runs, as a real agent does for one that takes long.
    Running,
}

impl Answer {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Applied => "applied",
            Self::Running => "running",
        }
    }
}

impl Options {
    /// What the agents of this process are to do.
    pub fn settings(&self) -> Settings {
        Settings {
            server: self.manager.clone(),
            answer: self.answer,
            delay: Duration::from_millis(self.delay),
            churn: self.disconnect,
            lies: self.lie.clone(),
            liars: self.liars.unwrap_or(u32::MAX),
            rate: self.connect_rate,
            dials: self.dials,
        }
    }
}
