//! The alerts of actions, and what they name: in memory until the action has
//! its effect, then in the journal.

use std::collections::HashMap;
use std::sync::Arc;

use crate::contract::target;
use crate::journal::JournalError;
use crate::ledger::agent::{Entry, Step};
use crate::model::bundled::{Bundled, Effect, Options, TargetKind};
use crate::model::{ActionId, Mode, Target};

use super::Agent;

/// An alert with what it names, which is looked for once.
#[derive(Debug)]
pub(super) struct Alert {
    pub(super) body: Arc<[u8]>,
    pub(super) target: Option<Target>,
}

pub(super) type Alerts = HashMap<ActionId, Alert>;

impl Agent {
    /// The alert of an action that has not ended.
    pub(super) fn alert(&self, id: ActionId) -> Result<Option<Arc<[u8]>>, JournalError> {
        if let Some(alert) = self.alerts.get(&id) {
            return Ok(Some(Arc::clone(&alert.body)));
        }
        let Some(entry) = self.ledger.entry(id) else {
            return Ok(None);
        };
        let alert = self.reader.alert(entry.number);
        if let Err(error) = &alert {
            log::error!(action:% = id, error:% = error; "cannot read the alert of an action");
        }
        Ok(alert?.map(Into::into))
    }

    /// The alert with which a run is started. After a start, and after somebody
    /// has flushed the tables of the kernel, very much is to be looked up: what
    /// that takes is known without its alert.
    pub(super) fn alert_for(
        &self,
        id: ActionId,
        kind: Mode,
    ) -> Result<Option<Arc<[u8]>>, JournalError> {
        let is_look_up = |entry: &&Entry| kind == Mode::Add && entry.step == Step::InForce;
        let short = self.ledger.entry(id).filter(is_look_up).and_then(short);
        match short {
            Some(alert) => Ok(Some(alert)),
            None => self.alert(id),
        }
    }

    /// What an action acts on, as far as that is known before it runs.
    pub(super) fn target(&self, id: ActionId) -> Option<Target> {
        if let Some(alert) = self.alerts.get(&id) {
            return alert.target.clone();
        }
        let entry = self.ledger.entry(id)?;
        if let Some((row, options, key)) = by_key(entry) {
            return target::read(row.target, &options, key).ok();
        }
        let action = &entry.action;
        let alert = self.alert(id).ok()??;
        target::of_action(action, entry.is_bundled, &alert).ok()?
    }
}

/// What an action is done by that needs nothing but an address, and the key that
/// its executable has named it by, which is how it is written.
fn by_key(entry: &Entry) -> Option<(&'static Bundled, Options, &str)> {
    let is_address =
        |row: &&Bundled| matches!(row.target, TargetKind::Address | TargetKind::Network);
    let row = entry.bundled().filter(is_address)?;
    let mut keys = entry.keys.as_ref()?.iter();
    let key = keys.next().filter(|_| keys.next().is_none())?;
    let options = target::options(row, &entry.action).ok()?;
    Some((row, options, key))
}

/// An alert that is enough to look an effect up, or to put it back.
fn short(entry: &Entry) -> Option<Arc<[u8]>> {
    let (row, options, key) = by_key(entry).filter(|(row, ..)| row.effect == Effect::Kernel)?;
    target::naming(row, &options, key, &entry.action).map(Into::into)
}
