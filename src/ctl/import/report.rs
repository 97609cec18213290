//! What became of each thing, for people and as JSON.

use serde::Serialize;

use crate::ctl::table::table;

/// One thing of the source.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) what: What,
    pub(super) name: String,
    /// In the configuration of the source, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    pub(super) outcome: Outcome,
    /// Why it differs or is not possible; else what there is to know.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) why: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) instead: String,
}

/// What kind of thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// The configuration as a whole.
    File,
    /// What alerts are read from.
    Alerts,
    Command,
    Response,
    WhiteList,
    /// A section that nobody knows.
    Section,
    /// A setting that nobody knows.
    Setting,
    /// What an agent calls its manager.
    Server,
    Script,
    /// A file below `etc/lists`.
    List,
    /// A configuration that was pushed to agents.
    SharedFile,
    Agent,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    TakenOver,
    Differs,
    NotPossible,
}

impl What {
    /// In a sentence.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Alerts => "alerts",
            Self::Command => "command",
            Self::Response => "response",
            Self::WhiteList => "white list",
            Self::Section => "section",
            Self::Setting => "setting",
            Self::Server => "server",
            Self::Script => "script",
            Self::List => "list",
            Self::SharedFile => "shared file",
            Self::Agent => "agent",
        }
    }
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::TakenOver => "taken over",
            Self::Differs => "taken over, differs",
            Self::NotPossible => "not possible",
        }
    }
}

impl Row {
    pub(super) fn taken(what: What, name: impl Into<String>) -> Self {
        Self {
            what,
            name: name.into(),
            line: None,
            outcome: Outcome::TakenOver,
            why: String::new(),
            instead: String::new(),
        }
    }

    pub(super) fn not_possible(
        what: What,
        name: impl Into<String>,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        let mut row = Self::taken(what, name);
        row.outcome = Outcome::NotPossible;
        row.why = why.into();
        row.instead = instead.into();
        row
    }

    pub(super) fn differs(
        what: What,
        name: impl Into<String>,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        let mut row = Self::not_possible(what, name, why, instead);
        row.outcome = Outcome::Differs;
        row
    }

    /// With something to know that changes nothing.
    #[must_use]
    pub(super) fn saying(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }
}

/// For people.
pub(super) fn shown(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let why = [&*row.why, &*row.instead]
                .into_iter()
                .filter(|text| !text.is_empty());
            [
                row.what.label().to_owned(),
                row.name.clone(),
                row.line.map(|line| line.to_string()).unwrap_or_default(),
                row.outcome.label().to_owned(),
                why.collect::<Vec<_>>().join("; "),
            ]
        })
        .collect();
    table(["WHAT", "NAME", "LINE", "OUTCOME", "WHY"], &rows)
}

/// How many there are of each outcome, in one line.
pub(super) fn counted(rows: &[Row]) -> String {
    let all = [Outcome::TakenOver, Outcome::Differs, Outcome::NotPossible];
    let parts = all.map(|outcome| {
        let count = rows.iter().filter(|row| row.outcome == outcome).count();
        format!("{count} {}", outcome.label())
    });
    parts.join("; ")
}
