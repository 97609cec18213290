//! Changing many elements at once.
//!
//! A batch is worked off in parts, each of them one transaction. The first part
//! is as large as a transaction may be. Where someone else has changed the
//! rules in between, or the kernel refuses something, nothing of the part has
//! happened; it is tried again half as large. So an element that the kernel
//! refuses ends up alone, with its reason, and while others write without a
//! pause, parts become small enough to fit in between. After a part that
//! succeeds the next is twice as large.

use std::time::Duration;

use ipnetwork::IpNetwork;

use super::answer::{self, Content};
use super::items::{Item, Items, Order, Refusal};
use super::look_up::look_up;
use super::names::{List, TABLE};
use super::ruleset::{self, Plan};
use super::wire::{Key, Messages, Verb};
use super::{Found, Lists, NftError};
use crate::clock;

/// The elements of one transaction at most. With more the kernel's hash grows
/// only after the transaction, and each insertion walks long chains.
const LARGEST: usize = 10_000;

/// What an element of IPv6 takes at most, to be deleted and added again.
const ELEMENT_BYTES: usize = 88;

/// What else a transaction with a set-up may take.
const SET_UP_BYTES: usize = 64 << 10;

/// How often a part is decided anew before it counts as contended. Each round
/// means that another program has completed a change.
const MAX_ROUNDS: u32 = 1_000;

/// How many rounds may find that something has vanished in between, which is
/// an element that expired. More often it is a part that the kernel lacks.
const MAX_VANISHED: u32 = 32;

/// What became of a part, or of its transaction.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// All of it is as it should be.
    Done,
    /// It was written, and is to be looked up.
    Written,
    /// It was decided on rules that have changed since.
    Stale,
    /// It names something that is not there (any more).
    Vanished,
    /// The kernel refuses something in it.
    Refused(i32),
}

/// Counts the rounds of one part.
#[derive(Default)]
pub(super) struct Rounds {
    all: u32,
    vanished: u32,
}

impl Rounds {
    pub(super) fn after(&mut self, step: Step) -> Result<(), NftError> {
        self.all += 1;
        match step {
            Step::Done => *self = Self::default(),
            Step::Stale => std::thread::yield_now(),
            Step::Vanished => self.vanished += 1,
            Step::Written | Step::Refused(_) => {}
        }
        if self.vanished > MAX_VANISHED {
            return Err(NftError::of(libc::ENOENT));
        }
        if self.all > MAX_ROUNDS {
            return Err(NftError::Contended);
        }
        Ok(())
    }
}

impl Lists {
    /// Works off all `items`.
    #[inline]
    pub(super) fn carry_out(&mut self, order: Order, items: &mut Items) -> Result<(), NftError> {
        let start = clock::boot_nanos();
        let room = self.socket.room().saturating_sub(SET_UP_BYTES) / ELEMENT_BYTES;
        let largest = room.clamp(1, LARGEST);
        let mut size = largest;
        let mut rounds = Rounds::default();
        let mut rest = 0..items.items.len();
        while !rest.is_empty() {
            let end = rest.end.min(rest.start + size);
            let part = &mut items.items[rest.start..end];
            let step = self.round(order, part, start)?;
            rounds.after(step)?;
            let halved = (part.len() / 2).max(1);
            match (step, part) {
                (Step::Done, _) => {
                    rest.start = end;
                    size = (size * 2).min(largest);
                }
                (Step::Written, _) => {}
                (Step::Refused(errno), [alone]) => alone.refused = Some(Refusal::Errno(errno)),
                (Step::Stale | Step::Vanished | Step::Refused(_), _) => size = halved,
            }
        }
        Ok(())
    }

    /// Looks a part up and, if it is not as it should be, writes it.
    #[inline]
    fn round(&mut self, order: Order, part: &mut [Item], start: u64) -> Result<Step, NftError> {
        let generation = self.generation()?;
        let mut part: Vec<&mut Item> = part
            .iter_mut()
            .filter(|item| item.refused.is_none())
            .collect();
        let networks: Vec<IpNetwork> = part.iter().map(|item| item.network).collect();
        let seen = look_up(&mut self.socket, &self.names, &networks)?;
        for (item, seen) in part.iter_mut().zip(seen) {
            item.saw(seen);
        }
        part.retain(|item| item.refused.is_none());
        let needed = match order {
            Order::Add => lists(&part),
            Order::Delete => Vec::new(),
        };
        let enforced = self.enforces(&needed)?;
        let gone = Duration::from_nanos(clock::boot_nanos() - start);
        part.retain(|item| item.is_open(order, gone));
        if part.is_empty() && enforced {
            return Ok(Step::Done);
        }
        let mut messages = Messages::default();
        messages.begin(generation);
        if !enforced {
            match self.plan(&needed)? {
                Some(plan) => ruleset::set_up(&mut messages, &self.names, &plan),
                None => return Ok(Step::Refused(libc::EEXIST)),
            }
        }
        self.elements(&mut messages, order, &part);
        let step = self.commit(messages)?;
        for item in part {
            item.written |= matches!(step, Step::Written);
        }
        Ok(step)
    }

    /// Adds the messages that do to `part` what the order says.
    fn elements(&self, messages: &mut Messages, order: Order, part: &[&mut Item]) {
        for of_list in part.chunk_by(|a, b| a.list() == b.list()) {
            let set = self.names.set(of_list[0].list());
            let there = of_list.iter().filter(|item| item.after != Found::Missing);
            let there: Vec<Key> = there.map(|item| Key::of(item.network, None)).collect();
            if order == Order::Delete || !self.kernel.renews {
                messages.elements(Verb::DelElements, TABLE, &set, &there);
            }
            if order == Order::Add {
                let keys = of_list.iter().map(|item| Key::of(item.network, item.lasts));
                let keys: Vec<Key> = keys.collect();
                messages.elements(Verb::NewElements, TABLE, &set, &keys);
            }
        }
    }

    /// Whether there are rules in the chain that drop what all of these lists
    /// hold.
    fn enforces(&mut self, needed: &[List]) -> Result<bool, NftError> {
        if needed.is_empty() {
            return Ok(true);
        }
        let mut messages = Messages::default();
        messages.rules(TABLE, &self.names.chain);
        let (names, mut enforced) = (&self.names, Vec::new());
        self.socket.exchange(&messages, |reply| {
            if let Content::Object(object) = reply.content {
                enforced.extend(answer::enforced_set(object).and_then(|set| names.list(set)));
            }
        })?;
        Ok(needed.iter().all(|list| enforced.contains(list)))
    }

    /// What is to be made so that all of these lists, those of hosts, and what
    /// else is there is enforced. `None`: a set of one of the names is of
    /// another shape.
    fn plan(&mut self, needed: &[List]) -> Result<Option<Plan>, NftError> {
        let mut messages = Messages::default();
        messages.sets(TABLE);
        let (names, mut there) = (&self.names, Vec::new());
        self.socket.exchange(&messages, |reply| {
            if let Content::Object(object) = reply.content
                && let Some(set) = answer::set(object)
                && let Some(list) = names.list(set.name)
            {
                there.push((list, set.suits(list)));
            }
        })?;
        let misfits = |list: &List| there.contains(&(*list, false));
        if needed.iter().any(misfits) {
            return Ok(None);
        }
        let mut missing = needed.to_vec();
        missing.extend([List::HOSTS_4, List::HOSTS_6]);
        missing.retain(|list| there.iter().all(|(other, _)| other != list));
        missing.sort_unstable();
        missing.dedup();
        let suits = there.iter().filter(|(_, suits)| *suits);
        let mut enforced: Vec<List> = suits.map(|(list, _)| *list).collect();
        enforced.extend(&missing);
        enforced.sort_unstable();
        Ok(Some(Plan {
            missing,
            enforced,
            counts: self.kernel.counts,
        }))
    }

    pub(super) fn generation(&mut self) -> Result<u32, NftError> {
        let mut messages = Messages::default();
        messages.generation();
        let mut answer = Err(NftError::NoAnswer);
        self.socket
            .exchange(&messages, |reply| match reply.content {
                Content::Object(object) => {
                    answer = answer::generation(object).ok_or(NftError::NoAnswer);
                }
                // nfnetlink.c: no subsystem answers to this number.
                Content::Error(libc::EINVAL) => answer = Err(NftError::NotInKernel),
                Content::Error(errno) => answer = Err(NftError::of(errno)),
                Content::Done => {}
            })?;
        answer
    }

    pub(super) fn commit(&mut self, mut messages: Messages) -> Result<Step, NftError> {
        let end = messages.count();
        let confirms = self.kernel.confirms;
        messages.end(confirms);
        let (mut confirmed, mut failed) = (false, None);
        let complete = self
            .socket
            .exchange(&messages, |reply| match reply.content {
                Content::Error(errno) => failed = failed.or(Some(errno)),
                Content::Done => confirmed |= reply.sequence == end,
                Content::Object(_) => {}
            })?;
        match failed {
            Some(libc::ERESTART) => Ok(Step::Stale),
            Some(libc::ENOENT) => Ok(Step::Vanished),
            // Without the privilege the generation could not have been read
            // (nfnetlink.c nfnetlink_rcv), so it is the table that is closed
            // to us (nf_tables_api.c nft_table_lookup).
            Some(libc::EPERM) => Err(NftError::Owned),
            Some(errno) if NftError::concerns_all(errno) => Err(NftError::of(errno)),
            Some(errno) => Ok(Step::Refused(errno)),
            None if confirmed || !confirms || !complete => Ok(Step::Written),
            None => Err(NftError::NoAnswer),
        }
    }
}

/// Those of `part`, each once.
fn lists(part: &[&mut Item]) -> Vec<List> {
    let mut lists: Vec<List> = part.iter().map(|item| item.list()).collect();
    lists.dedup();
    lists
}
