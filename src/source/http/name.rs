//! What names an alert that came by HTTP.
//!
//! A sender that got no answer sends again, and must find the actions that his
//! first try led to. So the name of an alert, from which the ids of its actions
//! are derived, comes from what he sends:
//!
//! * with the header `Idempotency-Key` from the key, the bytes of the alert, and
//!   how many the same there are before it under that key in this request;
//! * else from its bytes, where it has an id or a time of its own: nothing else
//!   tells one alert from the next then;
//! * else it is new each time, unless the same bytes were in a request that has
//!   got no answer lately ([`Unanswered`]).
//!
//! Generation and offset of a line are the two halves of a SHA-256, cut to 128
//! bits. What is new has the generation of this life of the source, and is
//! counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::{self, Boot};
use crate::model::position::Generation;

/// How long a sender that got no answer may take to send again.
const MEMORY: Duration = Duration::from_secs(600);

/// Alerts that are remembered.
const MOST: usize = 10_000;

/// Names a line, together with its source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Name {
    pub(super) generation: Generation,
    pub(super) offset: u64,
}

/// What an alert has of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Own {
    /// An id or a time.
    Something,
    Nothing,
}

/// The names of one life of a source.
#[derive(Debug)]
pub(super) struct Names {
    generation: Generation,
    next: AtomicU64,
    unanswered: Mutex<Unanswered>,
}

/// An alert without a name of its own: its bytes, and how many the same there
/// are before it in its request.
type Nameless = ([u8; 32], usize);

/// The names of those that were handed over and whose sender does not know of
/// it, and since when.
#[derive(Debug, Default)]
struct Unanswered {
    names: HashMap<Nameless, (u64, Boot)>,
}

impl Names {
    pub(super) fn new(generation: Generation) -> Self {
        Self {
            generation,
            next: AtomicU64::new(0),
            unanswered: Mutex::default(),
        }
    }

    /// What lines are counted in that are new each time.
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// The names of the alerts of one request.
    pub(super) fn request(&self, key: Option<Vec<u8>>) -> Request<'_> {
        Request {
            names: self,
            key,
            same: HashMap::new(),
            drawn: Vec::new(),
        }
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names for the alerts of one request, in their order. Dropped without
/// [`Request::answered`], it is remembered what they were.
#[derive(Debug)]
pub(super) struct Request<'a> {
    names: &'a Names,
    key: Option<Vec<u8>>,
    /// How many of the same bytes there were.
    same: HashMap<[u8; 32], usize>,
    drawn: Vec<(Nameless, u64)>,
}

impl Request<'_> {
    pub(super) fn name(&mut self, alert: &[u8], own: Own) -> Name {
        let bytes: [u8; 32] = Sha256::digest(alert).into();
        if let (None, Own::Something) = (&self.key, own) {
            return derived(&[b"alert", &bytes]);
        }
        let same = self.same.entry(bytes).or_default();
        let before = *same;
        *same += 1;
        if let Some(key) = &self.key {
            return derived(&[b"key", key, &bytes, &before.to_be_bytes()]);
        }
        let nameless = (bytes, before);
        let known = self.names.unanswered().take(&nameless, clock::boot());
        let offset = known.unwrap_or_else(|| self.names.next.fetch_add(1, Ordering::Relaxed));
        self.drawn.push((nameless, offset));
        Name {
            generation: self.names.generation,
            offset,
        }
    }

    /// The sender is about to be told that they are stored.
    pub(super) fn answered(mut self) {
        self.drawn.clear();
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if !self.drawn.is_empty() {
            let drawn = std::mem::take(&mut self.drawn);
            self.names.unanswered().keep(drawn, clock::boot());
        }
    }
}

impl Unanswered {
    fn take(&mut self, nameless: &Nameless, now: Boot) -> Option<u64> {
        let (offset, since) = self.names.remove(nameless)?;
        (since.until(now) < MEMORY).then_some(offset)
    }

    fn keep(&mut self, drawn: Vec<(Nameless, u64)>, now: Boot) {
        self.names.retain(|_, (_, since)| since.until(now) < MEMORY);
        for (nameless, offset) in drawn {
            if self.names.len() < MOST {
                self.names.insert(nameless, (offset, now));
            }
        }
    }
}

/// The parts are delimited by their lengths.
fn derived(parts: &[&[u8]]) -> Name {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let half = |at: usize| {
        let bytes = digest[at..at + 8].try_into();
        u64::from_be_bytes(bytes.expect("SHA-256 has 32 bytes"))
    };
    Name {
        generation: Generation(half(0)),
        offset: half(8),
    }
}

#[cfg(test)]
mod tests {
    use super::{MEMORY, MOST, Name, Nameless, Names, Own, Unanswered};
    use crate::clock::Boot;
    use crate::model::position::Generation;

    fn names(names: &Names, key: Option<&str>, alerts: &[(&str, Own)]) -> Vec<Name> {
        let mut request = names.request(key.map(|key| key.as_bytes().to_vec()));
        let named = alerts
            .iter()
            .map(|(alert, own)| request.name(alert.as_bytes(), *own))
            .collect();
        request.answered();
        named
    }

    #[test]
    fn an_alert_of_its_own_id_or_time_has_one_name_for_ever() {
        let alerts = [
            ("a", Own::Something),
            ("b", Own::Something),
            ("a", Own::Something),
        ];
        let first = names(&Names::new(Generation(1)), None, &alerts);
        assert_eq!(first, names(&Names::new(Generation(2)), None, &alerts));
        assert_eq!(first[0], first[2]);
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn a_key_names_what_is_sent_under_it_and_nothing_else() {
        for own in [Own::Something, Own::Nothing] {
            let alerts = [("a", own), ("a", own), ("b", own)];
            let one = names(&Names::new(Generation(1)), Some("k"), &alerts);
            assert_eq!(one, names(&Names::new(Generation(2)), Some("k"), &alerts));
            assert!(one[0] != one[1] && one[1] != one[2]);
            let other = names(&Names::new(Generation(1)), Some("l"), &alerts);
            assert!(one.iter().all(|name| !other.contains(name)));
            // A sender that has one key for everything loses nothing.
            let more = names(&Names::new(Generation(1)), Some("k"), &[("c", own)]);
            assert!(!one.contains(&more[0]));
        }
    }

    #[test]
    fn an_alert_without_anything_is_new_each_time() {
        let source = Names::new(Generation(7));
        let alerts = [("a", Own::Nothing), ("a", Own::Nothing)];
        let mut all = names(&source, None, &alerts);
        all.extend(names(&source, None, &alerts));
        let offsets: Vec<u64> = all.iter().map(|name| name.offset).collect();
        assert_eq!(offsets, [0, 1, 2, 3]);
        assert!(all.iter().all(|name| name.generation == Generation(7)));
    }

    #[test]
    fn what_got_no_answer_keeps_its_name_when_it_is_sent_again() {
        let source = Names::new(Generation(7));
        let mut cut_off = source.request(None);
        let first = [
            cut_off.name(b"a", Own::Nothing),
            cut_off.name(b"a", Own::Nothing),
            cut_off.name(b"b", Own::Nothing),
        ];
        // A request beside it is another one.
        let beside = names(&source, None, &[("a", Own::Nothing)]);
        assert!(!first.contains(&beside[0]));
        drop(cut_off);
        let again = [
            ("b", Own::Nothing),
            ("a", Own::Nothing),
            ("a", Own::Nothing),
        ];
        let again = names(&source, None, &again);
        assert_eq!(again, [first[2], first[0], first[1]]);
        // Now it has been answered.
        let later = names(&source, None, &[("a", Own::Nothing)]);
        assert!(!first.contains(&later[0]));
    }

    #[test]
    fn what_is_remembered_is_bounded_in_time_and_number() {
        let nameless = |number: usize| -> Nameless { ([7; 32], number) };
        let at = |millis: u64| Boot::from_millis(millis);
        let memory = u64::try_from(MEMORY.as_millis()).unwrap();
        let mut unanswered = Unanswered::default();
        unanswered.keep(vec![(nameless(1), 1), (nameless(2), 2)], at(0));
        assert_eq!(unanswered.take(&nameless(1), at(memory - 1)), Some(1));
        assert_eq!(unanswered.take(&nameless(1), at(memory - 1)), None);
        assert_eq!(unanswered.take(&nameless(2), at(memory)), None);
        let many = (0..2 * MOST).map(|number| (nameless(number), 0)).collect();
        unanswered.keep(many, at(0));
        assert_eq!(unanswered.names.len(), MOST);
        unanswered.keep(vec![(nameless(0), 9)], at(memory));
        assert_eq!(unanswered.names.len(), 1);
    }
}
