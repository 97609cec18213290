use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::BootId;
use crate::clock::{Boot, Now, Wall};
use crate::ledger::end::End;
use crate::ledger::offences::Offence;
use crate::model::action::Contract;
use crate::model::bundled::{self, Bundled};
use crate::model::{Action, ActionState, Keys, Record};
use crate::sys::process::ProcessId;

/// Where an action stands on its host.
///
/// ```text
/// Waiting ─> Adding ─> InForce ─> Reverting ─> Ended
///              │  └──> Undoing ───────────────> Ended (failed)
///              └─(interrupted script)─> Redoing ─> Adding
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Accepted; nothing has been started.
    Waiting,
    /// Its executable was started with `add`.
    Adding,
    /// In force.
    InForce,
    /// Being taken back, or waiting for another attempt at it.
    Reverting,
    /// Its `add` broke off; what it may have done is being taken back.
    Undoing,
    /// A script that was interrupted gets `delete`, then `add` again.
    Redoing,
    /// Over.
    Ended,
}

/// Why something was taken back before its end.
const LIFTED: &str = "lifted, as agentd was asked to stop (on_stop in etc/agent.conf)";

/// Why an add did not happen, kept while its traces are removed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Failure {
    pub detail: String,
    pub exit_code: Option<i32>,
    pub stderr: Option<String>,
    pub duration_ms: Option<f64>,
}

/// A process, and the boot in which its number means something.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Started {
    pub process: ProcessId,
    pub boot_id: BootId,
}

/// One action and where it stands. Serialised into the journal; what is
/// skipped there is rebuilt at start.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// The number of the action on this host: they grow, and none is given twice
    /// while the journal tells of the action that had it.
    #[serde(skip)]
    pub number: u64,
    pub action: Arc<Action>,
    /// Whether the file on this host is the bundled executable of that name;
    /// anything else is a script.
    pub is_bundled: bool,
    pub accepted: Wall,
    pub step: Step,
    pub end: Option<End>,
    /// Until when it may begin, if that is not its end.
    #[serde(default)]
    pub begin_by: Option<End>,
    pub keys: Option<Keys>,
    /// Whether the executable has printed `check_keys`, so that it may have gone
    /// on. Of a script that is given words: whether it may have been started.
    pub printed_keys: bool,
    /// The process of the run that was last started.
    pub process: Option<Started>,
    pub since: Option<Wall>,
    pub failure: Option<Box<Failure>>,
    /// A person wants it taken back as soon as its run has ended.
    pub asked: bool,
    /// It is being taken back because agentd was asked to stop.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lifted: bool,
    /// Which block of its target it is, where that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offence: Option<Offence>,
    pub attempts: u32,
    #[serde(skip)]
    pub running: bool,
    /// The holder whose end this one moves.
    #[serde(skip)]
    pub repeat_of: Option<crate::model::ActionId>,
    /// Repeats of this holder that are under way.
    #[serde(skip)]
    pub repeats: u32,
    /// Whether its effect is still to be looked up after a start.
    #[serde(skip)]
    pub must_restore: bool,
    /// Whether the journal has its ends in the clocks of another boot than this.
    #[serde(skip)]
    pub(super) told_anew: bool,
    #[serde(skip)]
    pub(super) alarm: Option<Boot>,
}

impl Entry {
    pub(super) fn new(
        action: Arc<Action>,
        is_bundled: bool,
        end: Option<End>,
        accepted: Wall,
    ) -> Self {
        Self {
            number: 0,
            action,
            is_bundled,
            accepted,
            step: Step::Waiting,
            end,
            begin_by: None,
            keys: None,
            printed_keys: false,
            process: None,
            since: None,
            failure: None,
            asked: false,
            lifted: false,
            offence: None,
            attempts: 0,
            running: false,
            repeat_of: None,
            repeats: 0,
            must_restore: false,
            told_anew: false,
            alarm: None,
        }
    }

    /// The row of the executable, if it is a bundled one.
    pub fn bundled(&self) -> Option<&'static Bundled> {
        self.is_bundled
            .then(|| bundled::find(self.action.executable.as_str()))
            .flatten()
    }

    /// Whether it is in force after its add: a bundled executable that can
    /// revert always is, a script if it has a timeout.
    pub fn is_stateful(&self) -> bool {
        match self.bundled() {
            Some(row) => row.reverts,
            None => self.action.timeout.is_some(),
        }
    }

    /// Whether its script is given words. Then its keys are known, and on record,
    /// before it is started.
    pub fn is_given_words(&self) -> bool {
        match self.action.contract {
            Contract::Argv(_) => self.bundled().is_none(),
            Contract::Json | Contract::V5 => false,
        }
    }

    /// Whether a `delete` follows its add. A script that printed no keys where it
    /// should gets none (it may be a notifier, and 4.x does not revert it) unless
    /// its command says `<revert>yes</revert>`.
    pub(super) fn is_reverted_later(&self) -> bool {
        match self.bundled() {
            Some(row) => row.reverts,
            None => {
                let usual = self.printed_keys || self.action.contract.reverts_without_keys();
                self.is_stateful() && self.action.revert.unwrap_or(usual)
            }
        }
    }

    /// What remains of its time; `None` without an end.
    pub fn left(&self, now: Now, boot_id: &BootId) -> Option<Duration> {
        self.end.as_ref().map(|end| end.left(now, boot_id))
    }

    /// When an action that has not begun need not begin any more.
    pub(super) fn pointless_at(&self) -> Option<&End> {
        self.end.as_ref().or(self.begin_by.as_ref())
    }

    /// From when on an action that has not begun is pointless.
    pub fn begins_before(&self) -> Option<Boot> {
        self.pointless_at().map(End::boot)
    }

    /// Why it was too late for an action to begin.
    pub(super) fn too_late(&self) -> &'static str {
        match self.end {
            Some(_) => "its timeout was over before it could start",
            None => "it waited longer than makes sense before it could start",
        }
    }

    /// The record of an action as it stands now.
    pub fn in_force_record(&self, now: Now, boot_id: &BootId) -> Record {
        let mut record = Record::new(&self.action, self.state(), now.wall);
        record.keys.clone_from(&self.keys);
        record.since = self.since;
        record.detail = self.remark(None);
        if self.step == Step::InForce {
            record.until = self.end.as_ref().map(|end| end.shown(now, boot_id));
            record.verified = self.bundled().map(|_| true);
        }
        record
    }

    /// What there is to say of an action that is or was in force, besides what
    /// its run had to tell.
    pub(super) fn remark(&self, told: Option<String>) -> Option<String> {
        let offence = self.offence.as_ref();
        let offence = match self.step {
            Step::InForce | Step::Reverting => {
                offence.and_then(|offence| offence.shown(self.action.timeout))
            }
            Step::Waiting | Step::Adding | Step::Undoing | Step::Redoing | Step::Ended => None,
        };
        let why = self.lifted.then(|| LIFTED.to_owned());
        let parts: Vec<_> = [why, offence, told].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The state that a person is shown.
    pub fn state(&self) -> ActionState {
        match self.step {
            Step::Waiting => ActionState::Sent,
            Step::Adding | Step::Redoing => ActionState::Running,
            Step::InForce => ActionState::Applied,
            Step::Reverting | Step::Undoing => ActionState::Reverting,
            Step::Ended => ActionState::Done,
        }
    }
}
