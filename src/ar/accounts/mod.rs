//! The accounts of people: who may be acted on, and how one is disabled so that
//! exactly that can be taken back.
//!
//! /etc/shadow is changed here and not by passwd(1): what is ours must be known
//! for certain, and between the end of such a program and a note of it a run can
//! be killed. The module `memory` makes the two one. The bytes that are written
//! are those that `passwd -l` and `usermod -e 1` write.

mod entry;
mod memory;
mod person;

use std::time::Duration;

use crate::ar::{Done, Fail};
use crate::clock;
use crate::model::bundled::Options;
use crate::model::target::UserName;
use crate::sys::shadow::Shadow;
use entry::Entry;
use memory::{Memory, Ours};

pub(super) use memory::MemoryError;
pub use person::{Person, PersonError, Spared, Who, first_person, uid_of};

/// Changes take milliseconds; an administrator with `vipw -s` takes longer than
/// the daemon allows anyway.
const WAIT: Duration = Duration::from_secs(8);

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Why an account is not as it should be.
#[derive(Debug, thiserror::Error)]
enum AccountError {
    #[error("find {0} in /etc/shadow\n(its password stands elsewhere; run pwconv)")]
    NoEntry(UserName),
    #[error(
        "find in /etc/shadow what was written for {0}\n(another program has changed it without its lock)"
    )]
    Lost(UserName),
}

/// Locks the password of a person and, with `--expire`, ends the account, which
/// keeps its holder out whatever the way in.
pub fn disable(person: &Person, options: &Options) -> Result<Done, Fail> {
    let name = &person.name;
    let mut shadow = Shadow::open(WAIT)?;
    let mut memory = Memory::open(name, &shadow)?;
    let entry = find(&shadow, name).ok_or_else(|| AccountError::NoEntry(name.clone()))?;
    let mut ours = still_ours(memory.ours(), &entry);
    let mut new = entry.clone();
    if options.get("--expire").is_some() && !is_over(&entry) {
        ours.expired = Some(entry.expires());
        new = new.expiring(entry::OVER);
    }
    if !entry.is_locked() {
        new = new.locked();
        ours.locked = Some(new.fingerprint());
    }
    if new == entry {
        memory.disown(ours.clone())?;
        if ours != Ours::default() {
            return Ok(Done::in_place());
        }
        let why = format!("{name} is locked in /etc/shadow, and not by us");
        return Ok(Done::already(why));
    }
    put(&mut shadow, &mut memory, name, &new, ours)?;
    Ok(Done::applied())
}

/// Takes back what [`disable`] did to the account and nobody has changed since.
pub fn enable(name: &UserName) -> Result<Done, Fail> {
    let mut shadow = Shadow::open(WAIT)?;
    let mut memory = Memory::open(name, &shadow)?;
    if *memory.ours() == Ours::default() {
        return Ok(Done::absent());
    }
    let entry = find(&shadow, name);
    let ours = entry.as_ref().map(|entry| still_ours(memory.ours(), entry));
    let (Some(entry), Some(ours)) = (entry, ours.filter(|ours| *ours != Ours::default())) else {
        memory.disown(Ours::default())?;
        return Ok(Done::absent().saying("somebody has changed the account since it was disabled"));
    };
    let mut new = entry;
    if ours.locked.is_some() {
        new = new.unlocked();
    }
    if let Some(before) = &ours.expired {
        new = new.expiring(before);
    }
    let is_all = ours == *memory.ours();
    put(&mut shadow, &mut memory, name, &new, Ours::default())?;
    if is_all {
        return Ok(Done::reverted());
    }
    Ok(Done::reverted().saying("somebody has changed the rest since it was disabled"))
}

/// Writes it and looks it up.
fn put(
    shadow: &mut Shadow,
    memory: &mut Memory,
    name: &UserName,
    new: &Entry,
    ours: Ours,
) -> Result<(), Fail> {
    let text = new.put(shadow.text(), name.as_str());
    memory.change(shadow, &text, ours)?;
    match find(shadow, name) {
        Some(found) if found == *new => Ok(()),
        Some(_) | None => Err(AccountError::Lost(name.clone()).into()),
    }
}

fn find(shadow: &Shadow, name: &UserName) -> Option<Entry> {
    Entry::find(shadow.text(), name.as_str())
}

/// What of our work nobody has undone or done anew.
fn still_ours(ours: &Ours, entry: &Entry) -> Ours {
    let locked = ours.locked.clone();
    let expired = ours.expired.clone();
    Ours {
        locked: locked.filter(|password| *password == entry.fingerprint()),
        expired: expired.filter(|_| entry.expires() == entry::OVER),
    }
}

/// Whether the account has ended by itself (shadow(5)).
fn is_over(entry: &Entry) -> bool {
    let today = clock::wall().millis() / DAY_MILLIS;
    let end = entry.expires().parse::<i64>();
    end.is_ok_and(|day| day > 0 && day <= today)
}
