//! The networks of one order and what becomes of each.

use std::time::Duration;

use ipnetwork::IpNetwork;

use super::look_up::Seen;
use super::names::List;
use super::{Change, Found, NftError};

/// The kernel rounds ends to its ticks, of 10 ms at most.
const TICKS: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Add,
    Delete,
}

/// One network and what became of it.
#[derive(Debug)]
pub(super) struct Item {
    pub network: IpNetwork,
    pub lasts: Option<Duration>,
    before: Option<Found>,
    /// What was seen of it last.
    pub after: Found,
    /// Whether a transaction with it was carried out.
    pub written: bool,
    pub refused: Option<Refusal>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Errno(i32),
    Everything,
}

impl Refusal {
    fn error(self) -> NftError {
        match self {
            Self::Errno(errno) => NftError::of(errno),
            Self::Everything => NftError::Everything,
        }
    }
}

impl Item {
    pub(super) fn list(&self) -> List {
        List::of(self.network)
    }

    /// Takes note of what the kernel says of it.
    pub(super) fn saw(&mut self, seen: Seen) {
        match seen {
            Ok(found) => {
                self.before.get_or_insert(found);
                self.after = found;
            }
            Err(errno) => self.refused = Some(Refusal::Errno(errno)),
        }
    }

    /// Whether it is still to be written, `gone` after the order was given.
    pub(super) fn is_open(&self, order: Order, gone: Duration) -> bool {
        let slack = if self.written {
            gone + TICKS
        } else {
            Duration::ZERO
        };
        let done = match order {
            Order::Add => {
                let lasts = self.lasts.map(|lasts| lasts.saturating_sub(slack));
                // Its end may have come before it was looked up.
                let over = self.written && lasts == Some(Duration::ZERO);
                over || self.after.covers(lasts)
            }
            Order::Delete => self.after == Found::Missing,
        };
        self.refused.is_none() && !done
    }
}

/// The networks of an order, each once, list by list.
#[derive(Debug)]
pub(super) struct Items {
    pub items: Vec<Item>,
    /// For each network of the order which item it is.
    places: Vec<usize>,
}

/// Without the bits of a host.
pub(super) fn bare(network: IpNetwork) -> IpNetwork {
    IpNetwork::new(network.network(), network.prefix()).expect("the prefix is that of a network")
}

impl Items {
    /// Of what is named twice the longer end counts.
    pub(super) fn of(order: impl Iterator<Item = (IpNetwork, Option<Duration>)>) -> Self {
        let mut named: Vec<_> = order
            .enumerate()
            .map(|(at, (network, lasts))| (bare(network), lasts, at))
            .collect();
        named.sort_unstable_by_key(|(network, _, _)| (List::of(*network), network.ip()));
        let mut items: Vec<Item> = Vec::with_capacity(named.len());
        let mut places = vec![0; named.len()];
        for (network, lasts, at) in named {
            match items.last_mut().filter(|last| last.network == network) {
                // `None` is longer than everything.
                Some(last) => last.lasts = last.lasts.zip(lasts).map(|(a, b)| a.max(b)),
                None => items.push(Item {
                    network,
                    lasts,
                    before: None,
                    after: Found::Missing,
                    written: false,
                    refused: (network.prefix() == 0).then_some(Refusal::Everything),
                }),
            }
            places[at] = items.len() - 1;
        }
        Self { items, places }
    }

    /// In the order in which they were named.
    pub(super) fn changes(&self) -> Vec<Result<Change, NftError>> {
        let items = self.places.iter().map(|&place| &self.items[place]);
        items
            .map(|item| match item.refused {
                Some(refusal) => Err(refusal.error()),
                None => Ok(Change {
                    before: item.before.unwrap_or(item.after),
                    after: item.after,
                }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Items;

    #[test]
    fn of_what_is_named_twice_the_longer_end_counts() {
        let minutes = |n: u64| Some(Duration::from_secs(n * 60));
        let order = [
            ("192.0.2.7/24", minutes(2)),
            ("192.0.2.0/24", minutes(3)),
            ("192.0.2.0/32", minutes(1)),
            ("192.0.2.9/24", minutes(1)),
            ("2001:db8::1/128", minutes(9)),
            ("2001:db8::1/128", None),
        ];
        let items = Items::of(
            order
                .map(|(text, lasts)| (text.parse().unwrap(), lasts))
                .into_iter(),
        );
        let of = |at: usize| {
            let item = &items.items[items.places[at]];
            (item.network.to_string(), item.lasts)
        };
        let network = ("192.0.2.0/24".to_owned(), minutes(3));
        assert_eq!([of(0), of(1), of(3)], [&network; 3].map(Clone::clone));
        assert_eq!(of(2), ("192.0.2.0/32".to_owned(), minutes(1)));
        assert_eq!(of(4), ("2001:db8::1/128".to_owned(), None));
        assert_eq!(items.items.len(), 3);
    }
}
