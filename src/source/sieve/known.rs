use std::collections::HashMap;

use memchr::memchr;

use crate::alert::{Header, Opening};

/// Rules kept at most, and the bytes they may take. A large installation has a
/// few thousand rules of some 300 bytes each.
const MAX_RULES: usize = 16_384;
const MAX_BYTES: usize = 8 << 20;

/// Ways in which one rule is written that are kept at most.
const MAX_VARIANTS: usize = 4;

/// What each rule costs beside its own bytes.
const OVERHEAD: usize = 128;

/// Places for rules that are found without the table. Most alerts of a moment
/// are of a few rules.
const PLACES: usize = 1 << 10;

/// Rules as they are written, each with whether it meets any condition. They
/// come from alerts and may be chosen to collide, hence the standard hasher where
/// a collision would cost; and they may be ever new, so what is full is emptied at
/// once, as the memo of the matcher is.
#[derive(Debug)]
pub(super) struct Known {
    variants: Vec<Variant>,
    by_id: HashMap<Box<[u8]>, Rule>,
    /// The variant that was found last for each of the places.
    recent: Box<[usize]>,
    bytes: usize,
}

/// Where the variants of one rule are, the latest ones of those that there were.
#[derive(Debug, Default)]
struct Rule {
    at: [usize; MAX_VARIANTS],
    learnt: usize,
}

/// One way in which a rule is written. Its bytes lie side by side: with a hundred
/// rules in turn it is waiting for memory that costs.
#[derive(Debug)]
struct Variant {
    level: Option<u8>,
    matches: bool,
    has_counter: bool,
    /// So many of the bytes are before the counter.
    before: usize,
    bytes: Box<[u8]>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            variants: Vec::new(),
            by_id: HashMap::new(),
            recent: vec![0; PLACES].into(),
            bytes: 0,
        }
    }
}

impl Known {
    /// Whether the rule of a line that opens so meets a condition, if it is known,
    /// and what follows the rule. From the opening to there no newline is.
    pub(super) fn find<'a>(&mut self, opening: Opening<'a>) -> Option<(bool, &'a [u8])> {
        let recent = &mut self.recent[place(opening)?];
        let latest = self.variants.get(*recent);
        if let Some(found) = latest.and_then(|variant| variant.fits(opening)) {
            return Some(found);
        }
        let id = memchr(b'"', opening.rest)?;
        let rule = self.by_id.get(&opening.rest[..id])?;
        rule.variants().iter().find_map(|&at| {
            let found = self.variants[at].fits(opening)?;
            *recent = at;
            Some(found)
        })
    }

    /// Keeps what reading the line of this header in full has shown.
    pub(super) fn learn(&mut self, header: Header<'_>, matches: bool) {
        let Some(variant) = Variant::of(header, matches) else {
            return;
        };
        let bytes = header.id.len() + variant.bytes.len() + OVERHEAD;
        if self.by_id.len() >= MAX_RULES || self.bytes + bytes > MAX_BYTES {
            *self = Self::default();
        }
        // What gives way to a later variant still counts until all is dropped.
        self.bytes += bytes;
        let rule = self.by_id.entry(header.id.into()).or_default();
        let slot = &mut rule.at[rule.learnt % MAX_VARIANTS];
        if rule.learnt < MAX_VARIANTS {
            *slot = self.variants.len();
            self.variants.push(variant);
        } else {
            self.variants[*slot] = variant;
        }
        rule.learnt += 1;
    }
}

impl Rule {
    fn variants(&self) -> &[usize] {
        &self.at[..self.learnt.min(MAX_VARIANTS)]
    }
}

impl Variant {
    /// `None` where a newline stands between members, as in a document of several
    /// lines.
    fn of(header: Header<'_>, matches: bool) -> Option<Self> {
        let remainder = header.remainder()?;
        let after = remainder.after_counter.unwrap_or_default();
        let bytes = [remainder.before_counter, after].concat();
        memchr(b'\n', &bytes).is_none().then(|| Self {
            level: header.opening.level,
            matches,
            has_counter: remainder.after_counter.is_some(),
            before: remainder.before_counter.len(),
            bytes: bytes.into(),
        })
    }

    fn fits<'a>(&self, opening: Opening<'a>) -> Option<(bool, &'a [u8])> {
        let (before, after) = self.bytes.split_at(self.before);
        let behind = opening.behind(before, self.has_counter.then_some(after));
        let behind = behind.filter(|_| self.level == opening.level)?;
        Some((self.matches, behind))
    }
}

/// By what an id begins with, and most often all of it: as many bytes as are read
/// at once. What stands behind a shorter id is mostly the same for each of its
/// alerts, too.
fn place(opening: Opening<'_>) -> Option<usize> {
    let (first, _) = opening.rest.split_first_chunk()?;
    let mixed = u64::from_le_bytes(*first).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 32)
        .ok()
        .map(|mixed| mixed % PLACES)
}

#[cfg(test)]
impl Known {
    pub(super) fn rules(&self) -> usize {
        self.by_id.len()
    }

    /// What is held of variants, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let held = self.variants.iter().map(|variant| variant.bytes.len());
        held.sum()
    }
}
