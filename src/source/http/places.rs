//! Who is connected, and who has to leave when there is no place.
//!
//! Whoever has shown the token keeps his place until he is idle for too long.
//! Of the others, who may only be there to be in the way, the one that has been
//! there for longest makes room: he has had the most time to show it.

use std::net::IpAddr;

use tokio::task::AbortHandle;

/// A connection, by its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place(u64);

#[derive(Debug)]
struct Guest<T> {
    place: Place,
    peer: IpAddr,
    is_known: bool,
    /// What ends the connection, once it is held.
    task: Option<T>,
}

/// The connections of a source, in the order in which they came.
#[derive(Debug)]
pub(super) struct Places<T = AbortHandle> {
    guests: Vec<Guest<T>>,
    most: usize,
    most_per_peer: usize,
    last: u64,
}

/// What a newcomer gets.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Seat<T = AbortHandle> {
    Free(Place),
    /// That of another one, who has to be ended.
    Instead(Place, Option<T>),
    None,
}

impl<T> Places<T> {
    pub(super) fn new(most: usize, most_per_peer: usize) -> Self {
        Self {
            guests: Vec::new(),
            most,
            most_per_peer,
            last: 0,
        }
    }

    pub(super) fn take(&mut self, peer: IpAddr) -> Seat<T> {
        let of_peer = self.guests.iter().filter(|guest| guest.peer == peer);
        let leaver = if of_peer.count() >= self.most_per_peer {
            self.oldest_stranger(|guest| guest.peer == peer)
        } else if self.guests.len() >= self.most {
            self.oldest_stranger(|_| true)
        } else {
            return Seat::Free(self.add(peer));
        };
        match leaver {
            Some(index) => {
                let ended = self.guests.remove(index).task;
                Seat::Instead(self.add(peer), ended)
            }
            None => Seat::None,
        }
    }

    fn oldest_stranger(&self, of: impl Fn(&Guest<T>) -> bool) -> Option<usize> {
        let mut guests = self.guests.iter();
        guests.position(|guest| !guest.is_known && of(guest))
    }

    fn add(&mut self, peer: IpAddr) -> Place {
        self.last += 1;
        let place = Place(self.last);
        self.guests.push(Guest {
            place,
            peer,
            is_known: false,
            task: None,
        });
        place
    }

    /// Says what ends a connection.
    pub(super) fn hold(&mut self, place: Place, task: T) {
        if let Some(guest) = self.guest(place) {
            guest.task = Some(task);
        }
    }

    /// The token was shown there.
    pub(super) fn know(&mut self, place: Place) {
        if let Some(guest) = self.guest(place) {
            guest.is_known = true;
        }
    }

    pub(super) fn leave(&mut self, place: Place) {
        self.guests.retain(|guest| guest.place != place);
    }

    fn guest(&mut self, place: Place) -> Option<&mut Guest<T>> {
        self.guests.iter_mut().find(|guest| guest.place == place)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Place, Places, Seat};

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn free(places: &mut Places<&'static str>, last: u8, task: &'static str) -> Place {
        let Seat::Free(place) = places.take(peer(last)) else {
            panic!("{task} has no place");
        };
        places.hold(place, task);
        place
    }

    #[test]
    fn the_oldest_stranger_makes_room_and_nobody_who_is_known_does() {
        let mut places = Places::new(3, 3);
        let first = free(&mut places, 1, "first");
        let second = free(&mut places, 2, "second");
        free(&mut places, 3, "third");
        places.know(first);
        let Seat::Instead(fourth, Some("second")) = places.take(peer(4)) else {
            panic!("the second is the oldest stranger");
        };
        places.know(fourth);
        // He is gone already.
        places.leave(second);
        let Seat::Instead(fifth, Some("third")) = places.take(peer(4)) else {
            panic!("the third is the only stranger");
        };
        places.know(fifth);
        assert_eq!(places.take(peer(5)), Seat::None);
        places.leave(first);
        assert!(matches!(places.take(peer(5)), Seat::Free(_)));
    }

    #[test]
    fn who_has_many_connections_makes_room_for_himself() {
        let mut places = Places::new(9, 2);
        free(&mut places, 7, "other");
        free(&mut places, 1, "first");
        let second = free(&mut places, 1, "second");
        places.know(second);
        assert!(
            matches!(places.take(peer(1)), Seat::Instead(third, Some("first")) if {
                places.know(third);
                true
            })
        );
        assert_eq!(places.take(peer(1)), Seat::None);
        free(&mut places, 2, "another");
    }
}
