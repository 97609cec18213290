//! Lists of addresses and networks whose packets nf_tables drops. One table
//! `inet ripost`; in it, for each executable, hash sets with timeouts (two of
//! hosts, and one for each prefix length in use) and a chain of its own, so
//! that the revert of one never touches what another holds.
//!
//! Every change is one transaction, sent whole by one `send(2)`. The kernel
//! works it off before the call returns, so all answers are queued by then and
//! are read without waiting. A change states the generation of the rules it
//! was decided on; if anyone has changed them since, the kernel refuses it and
//! it is decided anew. That makes reading and writing one step among any
//! number of processes, without a lock that a killed one could leave behind.
//!
//! Nothing about the rules is remembered between two calls, so lists may be
//! kept open for as long as one likes, whatever others do to the table.
//!
//! Only a program that calls this links libnftnl (see `tests/linkage.rs`).

mod answer;
mod batch;
mod error;
pub mod isolation;
mod items;
mod kernel;
mod look_up;
mod names;
mod ruleset;
mod socket;
mod wire;

pub use error::NftError;
pub use kernel::Kernel;

use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::sys::nft::items::{Items, Order};
use crate::sys::nft::names::Names;
use crate::sys::nft::socket::Socket;

/// A network that is to be in a list; a host is one of the length 32 or 128.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Element {
    pub network: IpNetwork,
    /// How long from now at least, to within the ticks of the kernel (10 ms at
    /// most). `None`: without end.
    pub lasts: Option<Duration>,
}

/// What the kernel says of a network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    Missing,
    There(Held),
}

/// What the kernel knows of an element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held {
    /// What remains until its end; `None` is without end.
    pub left: Option<Duration>,
    /// How many packets it has dropped. `None` where they are not counted: on
    /// a kernel before 5.7, and in a set that was made without counters.
    pub hits: Option<u64>,
}

impl Found {
    fn covers(self, lasts: Option<Duration>) -> bool {
        match self {
            Self::Missing => false,
            Self::There(Held { left: None, .. }) => true,
            Self::There(Held { left, .. }) => lasts.is_some() && left >= lasts,
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

impl Lists {
    /// The lists of the executable `name`. Nothing is made before something is
    /// added.
    pub fn open(name: &str, kernel: Kernel) -> Result<Self, NftError> {
        Ok(Self {
            socket: Socket::open()?,
            names: Names::of(name),
            kernel,
        })
    }

    /// Puts `elements` into their lists, up to 10,000 in one transaction, and
    /// looks them up. One that lasts longer than asked for stays as it is.
    ///
    /// The answers are in the order of `elements`. One that the kernel refuses
    /// has the reason in its place and keeps no other from being added; the
    /// error of the whole means that nothing is known of any.
    #[inline]
    pub fn add(&mut self, elements: &[Element]) -> Result<Vec<Result<Change, NftError>>, NftError> {
        let mut items = Items::of(
            elements
                .iter()
                .map(|element| (element.network, element.lasts)),
        );
        self.carry_out(Order::Add, &mut items)?;
        Ok(items.changes())
    }

    /// Takes `networks` out of their lists, up to 10,000 in one transaction,
    /// and looks them up. The answers are as those of [`Lists::add`].
    #[inline]
    pub fn delete(
        &mut self,
        networks: &[IpNetwork],
    ) -> Result<Vec<Result<Change, NftError>>, NftError> {
        let mut items = Items::of(networks.iter().map(|network| (*network, None)));
        self.carry_out(Order::Delete, &mut items)?;
        Ok(items.changes())
    }

    /// What the kernel says of each of `networks`, in their order.
    pub fn look_up(&mut self, networks: &[IpNetwork]) -> Result<Vec<Found>, NftError> {
        let networks: Vec<IpNetwork> = networks.iter().copied().map(items::bare).collect();
        let seen = look_up::look_up(&mut self.socket, &self.names, &networks)?;
        seen.into_iter()
            .map(|seen| seen.map_err(NftError::of))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Found, Held};

    #[test]
    fn a_longer_block_is_never_shortened() {
        let there = |left| Found::There(Held { left, hits: None });
        let minute = Duration::from_secs(60);
        for (found, lasts, covers) in [
            (Found::Missing, Some(Duration::ZERO), false),
            (there(Some(minute)), Some(minute / 2), true),
            (there(Some(minute)), Some(minute * 2), false),
            (there(Some(minute)), None, false),
            (there(None), Some(minute), true),
            (there(None), None, true),
        ] {
            assert_eq!(found.covers(lasts), covers, "{found:?} {lasts:?}");
        }
    }
}
