//! `<format>`: how the alerts of a source are written.

use std::sync::Arc;

use super::map;
use crate::config::block::Block;
use crate::config::report::Report;
use crate::config::value;
use crate::model::mapping::Mapping;

/// The shape of the alerts of a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Format {
    /// Told from each line.
    Auto,
    /// Wazuh 4.x `alerts.json`.
    Wazuh,
    /// Suricata `eve.json`.
    Suricata,
    /// Falco's events as JSON.
    Falco,
    /// CrowdSec's alerts and decisions.
    Crowdsec,
    /// Wazuh 5 findings.
    Wazuh5,
    /// OSSEC `alerts.log` and `alerts.json`.
    Ossec,
    /// JSON of anybody's, in which the configuration says where all stands.
    Generic(Arc<Mapping>),
}

#[derive(Clone, Copy)]
enum Known {
    Built(fn() -> Format),
    Generic,
}

const FORMATS: [(&str, Known); 8] = [
    ("auto", Known::Built(|| Format::Auto)),
    ("wazuh", Known::Built(|| Format::Wazuh)),
    ("suricata", Known::Built(|| Format::Suricata)),
    ("falco", Known::Built(|| Format::Falco)),
    ("crowdsec", Known::Built(|| Format::Crowdsec)),
    ("wazuh5", Known::Built(|| Format::Wazuh5)),
    ("ossec", Known::Built(|| Format::Ossec)),
    ("generic", Known::Generic),
];

impl Format {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Wazuh => "wazuh",
            Self::Suricata => "suricata",
            Self::Falco => "falco",
            Self::Crowdsec => "crowdsec",
            Self::Wazuh5 => "wazuh5",
            Self::Ossec => "ossec",
            Self::Generic(_) => "generic",
        }
    }
}

/// What a block says of it, with its `<map>` elements; `None` if something is
/// wrong and has been reported.
pub(super) fn read(block: &Block<'_>, report: &mut Report<'_>) -> Option<Format> {
    let offer = "auto, wazuh, wazuh5, ossec, suricata, falco, crowdsec or generic";
    let known = block.setting("format", report, |value, report| {
        let known = value::word(value, &FORMATS, offer, report)?;
        Some((known, value.node.text_at))
    });
    let Some((known, at)) = known.ok()? else {
        map::refuse(block, Format::Auto.word(), report);
        return Some(Format::Auto);
    };
    match known {
        Known::Built(format) => {
            let format = format();
            map::refuse(block, format.word(), report);
            Some(format)
        }
        Known::Generic => {
            map::read(block, at, report).map(|mapping| Format::Generic(Arc::new(mapping)))
        }
    }
}
