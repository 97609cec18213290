//! The host's own look at an action before it runs.

use ipnetwork::IpNetwork;

use crate::clock::{self, Boot};
use crate::model::Target;
use crate::policy::{self, Verdict, WhiteList};
use crate::sys::host;

/// How long what the host knows of itself is believed, in milliseconds.
const FACTS_KEEP: u64 = 2_000;

#[derive(Debug)]
pub(super) struct Guards {
    /// That of the manager; no new action starts before there has been one.
    white_list: Option<WhiteList>,
    host: policy::Guards,
    read_at: Option<Boot>,
}

impl Guards {
    /// `stored` is the white list the journal kept.
    pub(super) fn new(stored: Option<&str>) -> Self {
        let white_list = stored.and_then(|text| match serde_json::from_str(text) {
            Ok(list) => Some(list),
            Err(error) => {
                log::error!(error:% = error; "the stored white list is not valid; waiting for the manager to send it");
                None
            }
        });
        Self {
            white_list,
            host: policy::Guards::default(),
            read_at: None,
        }
    }

    /// Takes the manager's list in. Returns the text to store, if it is another
    /// than before.
    pub(super) fn set_white_list(&mut self, networks: Vec<IpNetwork>) -> Option<String> {
        let list = WhiteList::new(networks);
        if self.white_list.as_ref() == Some(&list) {
            return None;
        }
        let text = serde_json::to_string(&list).expect("a list of networks always serialises");
        self.white_list = Some(list);
        Some(text)
    }

    pub(super) fn has_white_list(&self) -> bool {
        self.white_list.is_some()
    }

    /// `None` while there has been no white list.
    pub(super) fn judge(&mut self, target: Option<&Target>, local: &WhiteList) -> Option<Verdict> {
        self.white_list.as_ref()?;
        if target.is_some() {
            self.refresh();
        }
        let list = self.white_list.as_ref()?;
        Some(policy::judge_host(target, list, local, &self.host))
    }

    fn refresh(&mut self) {
        let now = clock::boot();
        if self
            .read_at
            .is_some_and(|at| at.millis() + FACTS_KEEP > now.millis())
        {
            return;
        }
        match host::facts() {
            Ok(facts) => {
                self.host = policy::Guards::new(facts, Vec::new());
                self.read_at = Some(now);
            }
            // What was known before still protects the host.
            Err(error) => {
                log::error!(error:% = error; "cannot read this host's addresses, gateways and name servers")
            }
        }
    }
}
