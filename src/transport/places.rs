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
/// How many sources are remembered.
const SOURCES: usize = 4_096;

/// Counts wrong tokens. It is a source with many of them that is kept from
/// trying more, never one that nothing is known of: where too many sources are
/// to be remembered, the oldest is forgotten. Whoever has thousands of networks
/// can try more for that, but no honest host is kept out.
#[derive(Debug, Default)]
pub struct Attempts {
    tried: HashMap<Source, Tried>,
}

#[derive(Debug)]
struct Tried {
    since: Boot,
    wrong: u32,
    /// Those of which it is not known yet whether they are wrong.
    open: u32,
}

/// Whether a token may be tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Try {
    /// [`Attempts::tried`] is to be told of the outcome.
    Now,
    /// Once others of its source have an outcome.
    Later,
    /// Too many from its source were wrong.
    No,
}

impl Attempts {
    /// A source wants to try a token.
    pub fn begin(&mut self, source: Source, now: Boot) -> Try {
        let tried = self.of(source, now);
        if tried.wrong >= WRONG {
            return Try::No;
        }
        // Each of those that are open may prove wrong.
        if tried.wrong + tried.open >= WRONG {
            return Try::Later;
        }
        tried.open += 1;
        Try::Now
    }

    /// What has become of a try.
    pub fn tried(&mut self, source: Source, is_wrong: bool, now: Boot) {
        let tried = self.of(source, now);
        tried.open = tried.open.saturating_sub(1);
        tried.wrong += u32::from(is_wrong);
        if tried.wrong == 0 && tried.open == 0 {
            self.tried.remove(&source);
        }
    }

    fn of(&mut self, source: Source, now: Boot) -> &mut Tried {
        if !self.tried.contains_key(&source) && self.tried.len() >= SOURCES {
            let oldest = self.tried.iter().min_by_key(|(_, tried)| tried.since);
            if let Some(oldest) = oldest.map(|(source, _)| *source) {
                self.tried.remove(&oldest);
            }
        }
        let tried = self.tried.entry(source).or_insert(Tried {
            since: now,
            wrong: 0,
            open: 0,
        });
        if tried.since.until(now) >= MINUTE {
            (tried.since, tried.wrong) = (now, 0);
        }
        tried
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::{Attempts, Places, Seat, Source, Try};
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

    fn try_wrong(attempts: &mut Attempts, from: Source, now: u64) -> Try {
        let may = attempts.begin(from, at(now));
        if may == Try::Now {
            attempts.tried(from, true, at(now));
        }
        may
    }

    #[test]
    fn ten_wrong_tokens_a_minute_are_too_many_for_their_source_alone() {
        let mut attempts = Attempts::default();
        let (bad, good) = (source("192.0.2.1"), source("192.0.2.2"));
        for _ in 0..10 {
            assert_eq!(try_wrong(&mut attempts, bad, 0), Try::Now);
        }
        assert_eq!(try_wrong(&mut attempts, bad, 59_999), Try::No);
        assert_eq!(try_wrong(&mut attempts, good, 59_999), Try::Now);
        assert_eq!(try_wrong(&mut attempts, bad, 60_000), Try::Now);
        assert_eq!(try_wrong(&mut attempts, bad, 60_000), Try::Now);
    }

    #[test]
    fn no_more_are_tried_at_once_than_may_be_wrong_and_right_ones_do_not_count() {
        let mut attempts = Attempts::default();
        let from = source("192.0.2.1");
        let mut begin = |wanted| {
            assert_eq!(attempts.begin(from, at(0)), wanted);
        };
        (0..10).for_each(|_| begin(Try::Now));
        begin(Try::Later);
        attempts.tried(from, false, at(0));
        assert_eq!(attempts.begin(from, at(0)), Try::Now);
        for _ in 0..10 {
            assert_eq!(attempts.begin(from, at(0)), Try::Later);
            attempts.tried(from, true, at(0));
        }
        assert_eq!(attempts.begin(from, at(0)), Try::No);
        for _ in 0..1_000 {
            let honest = source("192.0.2.2");
            assert_eq!(attempts.begin(honest, at(0)), Try::Now);
            attempts.tried(honest, false, at(0));
        }
        assert_eq!(attempts.tried.len(), 1);
    }

    #[test]
    fn however_many_sources_send_wrong_tokens_others_may_try_theirs() {
        let mut attempts = Attempts::default();
        let flood = |number: u32| {
            let network = u128::from(number) << 64;
            Source::from(IpAddr::from((0x2001_0db8 << 96 | network).to_be_bytes()))
        };
        for number in 0..10_000 {
            for _ in 0..10 {
                assert_eq!(
                    try_wrong(&mut attempts, flood(number), number.into()),
                    Try::Now
                );
            }
        }
        assert_eq!(attempts.tried.len(), super::SOURCES);
        assert_eq!(attempts.begin(source("203.0.113.1"), at(10_000)), Try::Now);
        assert_eq!(attempts.begin(flood(9_999), at(10_000)), Try::No);
        // One that was forgotten while its token was looked at.
        attempts.tried(flood(1), true, at(10_000));
        assert_eq!(attempts.tried.len(), super::SOURCES);
    }
}
