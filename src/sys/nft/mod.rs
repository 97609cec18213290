//! Lists of addresses whose packets nf_tables drops. One table `inet ripost`;
//! in it, for each executable, two hash sets with timeouts and a chain of its
//! own, so that the revert of one never touches what another holds.
//!
//! Every change is one transaction, sent whole by one `send(2)`. The kernel
//! works it off before the call returns, so all answers are queued by then and
//! are read without waiting. A change states the generation of the rules it
//! was decided on; if anyone has changed them since, the kernel refuses it and
//! it is decided anew. That makes reading and writing one step among any
//! number of processes, without a lock that a killed one could leave behind.
//!
//! Only a program that calls this links libnftnl (see `tests/nft_link.rs`).

mod answer;
mod error;
mod kernel;
mod ruleset;
mod socket;
mod wire;

pub use error::NftError;
pub use kernel::Kernel;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock;
use crate::sys::nft::answer::Content;
use crate::sys::nft::ruleset::{Names, TABLE};
use crate::sys::nft::socket::Socket;
use crate::sys::nft::wire::{Key, Messages, Verb};

/// How often a change is decided anew before it counts as contended. Each
/// round means that another program has completed a change.
const MAX_ROUNDS: u32 = 1_000;

/// How many rounds may find that something has vanished in between, which is
/// an element that expired. More often it is a part that the kernel lacks.
const MAX_VANISHED: u32 = 16;

/// How many single look-ups are sent at once: the answers of 64 fit a receive
/// buffer of the default size several times.
const LOOK_UPS: usize = 64;

/// The kernel rounds ends to its ticks, of 10 ms at most.
const TICKS: Duration = Duration::from_millis(20);

/// An address that is to be in a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Element {
    pub address: IpAddr,
    /// How long from now at least, to within the ticks of the kernel (10 ms at
    /// most). `None`: without end.
    pub lasts: Option<Duration>,
}

/// What the kernel says of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    Missing,
    /// In the list for what remains until its end.
    Until(Duration),
    Endless,
}

impl Found {
    fn covers(self, lasts: Option<Duration>) -> bool {
        match (self, lasts) {
            (Self::Missing, _) | (Self::Until(_), None) => false,
            (Self::Until(left), Some(lasts)) => left >= lasts,
            (Self::Endless, _) => true,
        }
    }
}

/// What was found before a change and what was looked up after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    pub before: Found,
    pub after: Found,
}

/// The lists of one executable, over a netlink socket of its own. Closing it
/// after a deletion takes the kernel about 16 ms (it waits for the last reader
/// of what was deleted), so whoever is in a hurry reports first.
#[derive(Debug)]
pub struct Lists {
    socket: Socket,
    names: Names,
    kernel: Kernel,
}

/// What became of a transaction.
#[derive(Clone, Copy)]
enum Sent {
    Done,
    /// It was decided on rules that have changed since.
    Stale,
    /// It names something that is not there (any more).
    Vanished,
}

/// Counts the rounds of one change.
#[derive(Default)]
struct Rounds {
    all: u32,
    vanished: u32,
}

impl Rounds {
    fn after(&mut self, sent: Sent) -> Result<(), NftError> {
        self.all += 1;
        match sent {
            Sent::Done => {}
            Sent::Stale => std::thread::yield_now(),
            Sent::Vanished => self.vanished += 1,
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
    /// The lists of the executable `name`. Nothing is made before the first
    /// address is added.
    pub fn open(name: &str, kernel: Kernel) -> Result<Self, NftError> {
        Ok(Self {
            socket: Socket::open()?,
            names: Names::of(name),
            kernel,
        })
    }

    /// Puts `elements` into their lists, in one transaction, and looks them
    /// up. One that lasts longer than asked for stays as it is. The answers
    /// are in the order of `elements`.
    #[inline]
    pub fn add(&mut self, elements: &[Element]) -> Result<Vec<Change>, NftError> {
        let start = clock::boot_nanos();
        let addresses: Vec<IpAddr> = elements.iter().map(|element| element.address).collect();
        let mut before = None;
        let mut written = false;
        let mut rounds = Rounds::default();
        loop {
            let generation = self.generation()?;
            let found = self.look_up(&addresses)?;
            let enforced = self.enforced()?;
            let gone = Duration::from_nanos(clock::boot_nanos() - start);
            let slack = if written {
                gone + TICKS
            } else {
                Duration::ZERO
            };
            let short: Vec<(Found, Element)> = found
                .iter()
                .zip(elements)
                .filter(|(found, element)| {
                    !found.covers(element.lasts.map(|lasts| lasts.saturating_sub(slack)))
                })
                .map(|(found, element)| (*found, *element))
                .collect();
            let before = before.get_or_insert_with(|| found.clone());
            if enforced && short.is_empty() {
                return Ok(changes(before, &found));
            }
            let sent = self.write(generation, enforced, &short)?;
            written |= matches!(sent, Sent::Done);
            rounds.after(sent)?;
        }
    }

    /// Takes `addresses` out of their lists, in one transaction, and looks
    /// them up. The answers are in the order of `addresses`.
    pub fn delete(&mut self, addresses: &[IpAddr]) -> Result<Vec<Change>, NftError> {
        let mut before = None;
        let mut rounds = Rounds::default();
        loop {
            let generation = self.generation()?;
            let found = self.look_up(addresses)?;
            let present = present(found.iter().copied().zip(addresses.iter().copied()));
            let before = before.get_or_insert_with(|| found.clone());
            if present.is_empty() {
                return Ok(changes(before, &found));
            }
            let mut messages = Messages::default();
            messages.begin(generation);
            self.elements(&mut messages, Verb::DelElements, &present);
            rounds.after(self.commit(messages)?)?;
        }
    }

    /// What the kernel says of each of `addresses`, in their order.
    pub fn look_up(&mut self, addresses: &[IpAddr]) -> Result<Vec<Found>, NftError> {
        let mut found = Vec::with_capacity(addresses.len());
        for some in addresses.chunks(LOOK_UPS) {
            found.extend(self.look_up_some(some)?);
        }
        Ok(found)
    }

    fn look_up_some(&mut self, addresses: &[IpAddr]) -> Result<Vec<Found>, NftError> {
        let mut messages = Messages::default();
        for address in addresses {
            let wanted = [key(*address, None)];
            messages.elements(Verb::GetElement, TABLE, self.set_of(*address), &wanted);
        }
        let mut found = vec![None; addresses.len()];
        let mut failed = None;
        self.socket.exchange(&messages, |reply| {
            let slot = usize::try_from(reply.sequence)
                .ok()
                .and_then(|n| found.get_mut(n));
            match (reply.content, slot) {
                (Content::Object(object), Some(slot)) => {
                    *slot = answer::remaining(object).map(|left| match left {
                        Some(left) => Found::Until(left),
                        None => Found::Endless,
                    });
                }
                // No such table, set or element.
                (Content::Error(libc::ENOENT), Some(slot)) => *slot = Some(Found::Missing),
                (Content::Error(errno), _) => failed = Some(errno),
                (Content::Done | Content::Object(_), _) => {}
            }
        })?;
        match failed {
            Some(errno) => Err(NftError::of(errno)),
            None => found
                .into_iter()
                .collect::<Option<_>>()
                .ok_or(NftError::NoAnswer),
        }
    }

    /// Whether the rules that drop what the lists hold are in the chain.
    fn enforced(&mut self) -> Result<bool, NftError> {
        let names = self.names.clone();
        let mut messages = Messages::default();
        messages.rules(TABLE, &names.chain);
        let (mut ipv4, mut ipv6) = (false, false);
        self.socket.exchange(&messages, |reply| {
            if let Content::Object(object) = reply.content {
                ipv4 |= answer::rule_uses(object, &names.ipv4);
                ipv6 |= answer::rule_uses(object, &names.ipv6);
            }
        })?;
        Ok(ipv4 && ipv6)
    }

    fn generation(&mut self) -> Result<u32, NftError> {
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

    #[inline]
    fn write(
        &mut self,
        generation: u32,
        enforced: bool,
        short: &[(Found, Element)],
    ) -> Result<Sent, NftError> {
        let mut messages = Messages::default();
        messages.begin(generation);
        if !enforced {
            ruleset::set_up(&mut messages, &self.names);
        }
        if !self.kernel.renews {
            let present = present(short.iter().map(|(found, e)| (*found, e.address)));
            self.elements(&mut messages, Verb::DelElements, &present);
        }
        let wanted: Vec<Key> = short
            .iter()
            .map(|(_, element)| key(element.address, element.lasts))
            .collect();
        self.elements(&mut messages, Verb::NewElements, &wanted);
        self.commit(messages)
    }

    fn elements(&self, messages: &mut Messages, verb: Verb, keys: &[Key]) {
        let (ipv4, ipv6): (Vec<Key>, Vec<Key>) = keys.iter().partition(|key| key.address.is_ipv4());
        messages.elements(verb, TABLE, &self.names.ipv4, &ipv4);
        messages.elements(verb, TABLE, &self.names.ipv6, &ipv6);
    }

    fn commit(&mut self, mut messages: Messages) -> Result<Sent, NftError> {
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
            Some(libc::ERESTART) => Ok(Sent::Stale),
            Some(libc::ENOENT) => Ok(Sent::Vanished),
            Some(errno) => Err(NftError::of(errno)),
            None if confirmed || !confirms || !complete => Ok(Sent::Done),
            None => Err(NftError::NoAnswer),
        }
    }

    fn set_of(&self, address: IpAddr) -> &str {
        match address {
            IpAddr::V4(_) => &self.names.ipv4,
            IpAddr::V6(_) => &self.names.ipv6,
        }
    }
}

fn key(address: IpAddr, timeout: Option<Duration>) -> Key {
    Key { address, timeout }
}

/// The keys to delete: of what is there, each once, as the second deletion of
/// one element in a transaction fails.
fn present(found: impl Iterator<Item = (Found, IpAddr)>) -> Vec<Key> {
    let there = found.filter(|(found, _)| *found != Found::Missing);
    let addresses: BTreeSet<IpAddr> = there.map(|(_, address)| address).collect();
    addresses
        .into_iter()
        .map(|address| key(address, None))
        .collect()
}

fn changes(before: &[Found], after: &[Found]) -> Vec<Change> {
    before
        .iter()
        .zip(after)
        .map(|(&before, &after)| Change { before, after })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Found;

    #[test]
    fn a_longer_block_is_never_shortened() {
        let minute = Duration::from_secs(60);
        for (found, lasts, covers) in [
            (Found::Missing, Some(Duration::ZERO), false),
            (Found::Until(minute), Some(minute / 2), true),
            (Found::Until(minute), Some(minute * 2), false),
            (Found::Until(minute), None, false),
            (Found::Endless, Some(minute), true),
            (Found::Endless, None, true),
        ] {
            assert_eq!(found.covers(lasts), covers, "{found:?} {lasts:?}");
        }
    }
}
