//! What the executable of an action is told, in the way of its contract.

use std::sync::Arc;

use crate::contract::request::{Message, Told};
use crate::contract::target;
use crate::contract::words::Words;
use crate::ledger::agent::Entry;
use crate::model::action::Contract;
use crate::model::bundled::TargetKind;
use crate::model::{ActionId, Keys, Target};

use super::Agent;

impl Agent {
    /// What is said about this alert; an error tells why nothing can be.
    pub(super) fn speech(&self, entry: &Entry, alert: &[u8]) -> Result<Told, String> {
        let action = &entry.action;
        let contract = match entry.is_bundled {
            true => Contract::Json,
            false => action.contract,
        };
        let message = match contract {
            Contract::Argv(wanted) => {
                let words = Words::new(action, wanted, alert);
                let words = words.map_err(|error| format!("the alert {error}"))?;
                return Ok(Told::Words(words));
            }
            Contract::V5 => Message::v5(action, alert),
            Contract::Json => {
                let row = entry.bundled();
                let fields = action.fields.as_deref();
                let mut extra_args = match row {
                    Some(row) => target::extra_args(row, &action.extra_args, fields).into_owned(),
                    // A script gets its own, and looks into the alert itself.
                    None => action.extra_args.clone(),
                };
                if row.is_some_and(|row| row.target == TargetKind::Host) {
                    // A host that is cut off keeps its managers.
                    let managers = &self.link.borrow().addresses;
                    extra_args.extend(managers.iter().map(ToString::to_string));
                }
                Message::new(&action.agent.name, &action.executable, &extra_args, alert)
            }
        };
        message.map(Told::Lines).map_err(|error| error.to_string())
    }

    /// Which runs must follow each other: those of one executable for one
    /// target. A script whose target is not known before it runs has a lane of
    /// its own; its keys tell later.
    pub(super) fn lane(&self, id: ActionId, target: Option<&Target>) -> Option<Arc<str>> {
        let entry = self.ledger.entry(id)?;
        let executable = &entry.action.executable;
        Some(match (self.keys_of_words(entry), target) {
            (Some(keys), _) => format!("{executable} {keys}").into(),
            (None, Some(target)) => format!("{executable} {target}").into(),
            (None, None) => format!("{executable} {id}").into(),
        })
    }

    /// The keys of a script that is given words: known before it runs, and named
    /// by the alert before they are on record.
    fn keys_of_words(&self, entry: &Entry) -> Option<Keys> {
        match entry.action.contract {
            Contract::Argv(wanted) if !entry.is_bundled => entry.keys.clone().or_else(|| {
                let alert = self.alert(entry.action.id).ok()??;
                let words = Words::new(&entry.action, wanted, &alert).ok()?;
                Some(words.keys())
            }),
            Contract::Argv(_) | Contract::Json | Contract::V5 => None,
        }
    }
}
