//! Who may wait to be known. Until a peer has proved who it is it holds one of
//! a fixed number of places, so that ten thousand half-open handshakes cost
//! little and keep nobody else out.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::clock::Boot;

/// Somebody on the network, as far as an address tells: an IPv4 address, or
/// the 64 bits of an IPv6 one that are a network, since whoever has one address
/// there has them all (RFC 4291 2.5.4).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
}

/// Names one place for as long as it is taken; later ones are greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place(u64);

/// Places, and who holds them. `T` is what ends a holder.
#[derive(Debug)]
pub struct Places<T> {
    limit: usize,
    /// For how long a place is safe from those who hold as many.
    grace: Duration,
    next: u64,
    taken: BTreeMap<Place, Holder<T>>,
    counts: HashMap<Source, usize>,
}

#[derive(Debug)]
struct Holder<T> {
    source: Source,
    since: Boot,
    end: Option<T>,
}

/// What a newcomer gets.
#[derive(Debug, Eq, PartialEq)]
pub enum Seat<T> {
    Free(Place),
    /// Somebody else has lost this place and is to be ended with this.
    Instead(Place, Option<T>),
    /// None: its own source holds as many as any other, and all came just now.
    None,
}

impl<T> Places<T> {
    pub fn new(limit: usize, grace: Duration) -> Self {
        Self {
            limit,
            grace,
            next: 0,
            taken: BTreeMap::new(),
            counts: HashMap::new(),
        }
    }

    /// A place for somebody from `source`. When all are taken, the source that
    /// holds most of them loses its oldest. Only against newcomers whose own
    /// source would then hold as many it keeps those that are younger than the
    /// grace: a thousand honest agents that come at once, be it from one
    /// address or from a thousand, would otherwise push each other out for ever.
    pub fn take(&mut self, source: Source, now: Boot) -> Seat<T> {
        if self.taken.len() < self.limit {
            return Seat::Free(self.seat(source, now));
        }
        let Some((victim, holder)) = self.victim() else {
            return Seat::None;
        };
        let own = self.counts.get(&source).copied().unwrap_or(0);
        let is_as_many = own + 1 >= self.counts[&holder.source];
        if is_as_many && holder.since.until(now) < self.grace {
            return Seat::None;
        }
        let end = self.leave(victim);
        Seat::Instead(self.seat(source, now), end)
    }

    /// Says what ends the holder of a place.
    pub fn hold(&mut self, place: Place, end: T) {
        if let Some(holder) = self.taken.get_mut(&place) {
            holder.end = Some(end);
        }
    }

    /// Gives a place back, unless it was lost before.
    pub fn leave(&mut self, place: Place) -> Option<T> {
        let holder = self.taken.remove(&place)?;
        if let Some(count) = self.counts.get_mut(&holder.source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&holder.source);
            }
        }
        holder.end
    }

    /// Takes the place of the oldest holder of the source that holds most.
    pub fn evict(&mut self) -> Option<T> {
        let (victim, _) = self.victim()?;
        self.leave(victim)
    }

    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    fn victim(&self) -> Option<(Place, &Holder<T>)> {
        let most = self.counts.values().max()?;
        self.taken
            .iter()
            .find(|(_, holder)| self.counts[&holder.source] == *most)
            .map(|(place, holder)| (*place, holder))
    }

    fn seat(&mut self, source: Source, now: Boot) -> Place {
        let place = Place(self.next);
        self.next += 1;
        *self.counts.entry(source).or_default() += 1;
        let holder = Holder {
            source,
            since: now,
            end: None,
        };
        self.taken.insert(place, holder);
        place
    }
}

/// How many wrong tokens a source may send in a minute.
const WRONG: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// How many sources are remembered; those that come while all are fresh are
/// turned away.
const SOURCES: usize = 4_096;

/// Counts wrong tokens.
#[derive(Debug, Default)]
pub struct Attempts {
    wrong: HashMap<Source, (Boot, u32)>,
}

impl Attempts {
    /// Whether a source may try a token now.
    pub fn may(&mut self, source: Source, now: Boot) -> bool {
        if self.wrong.len() >= SOURCES {
            self.wrong.retain(|_, (since, _)| since.until(now) < MINUTE);
        }
        match self.wrong.get(&source) {
            Some((since, count)) => *count < WRONG || since.until(now) >= MINUTE,
            None => self.wrong.len() < SOURCES,
        }
    }

    /// A source has sent a wrong token.
    pub fn failed(&mut self, source: Source, now: Boot) {
        let (since, count) = self.wrong.entry(source).or_insert((now, 0));
        if since.until(now) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::{Attempts, Places, Seat, Source};
    use crate::clock::Boot;

    const GRACE: Duration = Duration::from_secs(1);

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    const fn at(millis: u64) -> Boot {
        Boot::from_millis(millis)
    }

    /// Takes a place whose holder is ended with its own name.
    fn enter(
        places: &mut Places<&'static str>,
        from: &str,
        name: &'static str,
        now: u64,
    ) -> Option<Option<&'static str>> {
        let (place, ended) = match places.take(source(from), at(now)) {
            Seat::Free(place) => (place, None),
            Seat::Instead(place, ended) => (place, ended),
            Seat::None => return None,
        };
        places.hold(place, name);
        Some(ended)
    }

    #[test]
    fn the_oldest_of_the_greatest_source_makes_room_for_another_source() {
        let mut places = Places::new(3, GRACE);
        enter(&mut places, "192.0.2.1", "honest", 0);
        enter(&mut places, "192.0.2.2", "flood 1", 1);
        enter(&mut places, "192.0.2.2", "flood 2", 2);
        assert_eq!(
            enter(&mut places, "192.0.2.3", "late", 3),
            Some(Some("flood 1"))
        );
        assert_eq!(places.taken(), 3);
    }

    #[test]
    fn a_flood_of_one_source_never_ends_another_one() {
        let mut places = Places::new(8, GRACE);
        enter(&mut places, "192.0.2.1", "honest", 0);
        for now in 1..10_000 {
            let ended = enter(&mut places, "192.0.2.2", "flood", now);
            assert_ne!(ended, Some(Some("honest")), "{now}");
        }
        assert_eq!(places.taken(), 8);
    }

    #[test]
    fn a_rush_of_one_source_does_not_push_itself_out_but_a_standing_one_goes() {
        let mut places = Places::new(2, GRACE);
        enter(&mut places, "192.0.2.1", "first", 0);
        enter(&mut places, "192.0.2.1", "second", 0);
        assert_eq!(enter(&mut places, "192.0.2.1", "third", 999), None);
        assert_eq!(
            enter(&mut places, "192.0.2.1", "third", 1_000),
            Some(Some("first"))
        );
    }

    #[test]
    fn a_rush_of_many_sources_does_not_push_itself_out_either() {
        let mut places = Places::new(2, GRACE);
        enter(&mut places, "192.0.2.1", "first", 0);
        enter(&mut places, "192.0.2.2", "second", 0);
        assert_eq!(enter(&mut places, "192.0.2.3", "third", 999), None);
        assert_eq!(
            enter(&mut places, "192.0.2.3", "third", 1_000),
            Some(Some("first"))
        );
    }

    #[test]
    fn a_place_that_is_given_back_is_free_again() {
        let mut places = Places::new(1, GRACE);
        let Seat::Free(place) = places.take(source("192.0.2.1"), at(0)) else {
            panic!("no place");
        };
        places.hold(place, "first");
        assert_eq!(places.leave(place), Some("first"));
        assert_eq!(places.leave(place), None);
        assert_eq!(places.counts.len(), 0);
        assert_eq!(enter(&mut places, "192.0.2.1", "second", 0), Some(None));
        assert_eq!(places.evict(), Some("second"));
        assert_eq!(places.evict(), None);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn ten_wrong_tokens_a_minute_are_too_many_for_their_source_alone() {
        let mut attempts = Attempts::default();
        let (bad, good) = (source("192.0.2.1"), source("192.0.2.2"));
        for _ in 0..10 {
            assert!(attempts.may(bad, at(0)));
            attempts.failed(bad, at(0));
        }
        assert!(!attempts.may(bad, at(59_999)));
        assert!(attempts.may(good, at(59_999)));
        assert!(attempts.may(bad, at(60_000)));
        attempts.failed(bad, at(60_000));
        assert!(attempts.may(bad, at(60_000)));
    }

    #[test]
    fn what_is_remembered_of_wrong_tokens_is_bounded() {
        let mut attempts = Attempts::default();
        for number in 0..10_000u32 {
            let from = Source::from(IpAddr::from(number.to_be_bytes()));
            if attempts.may(from, at(0)) {
                attempts.failed(from, at(0));
            }
        }
        assert_eq!(attempts.wrong.len(), super::SOURCES);
        assert!(attempts.may(source("203.0.113.1"), at(60_000)));
    }
}
