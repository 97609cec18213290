use std::collections::HashMap;

use crate::alert::{Header, Remainder};

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
    rules: Vec<Rule>,
    by_id: HashMap<Box<[u8]>, usize>,
    /// The rule that was found last for each of the places.
    recent: Box<[usize]>,
    bytes: usize,
}

#[derive(Debug)]
struct Rule {
    id: Box<[u8]>,
    variants: Vec<Variant>,
}

#[derive(Debug)]
struct Variant {
    level: Option<u8>,
    before_counter: Box<[u8]>,
    after_counter: Option<Box<[u8]>>,
    matches: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            by_id: HashMap::new(),
            recent: vec![0; PLACES].into(),
            bytes: 0,
        }
    }
}

impl Known {
    /// Whether the rule of this header meets a condition, if it is known, and what
    /// follows the rule in its line.
    pub(super) fn find<'a>(&mut self, header: Header<'a>) -> Option<(bool, &'a [u8])> {
        let rule = self.rule(header.id)?;
        rule.variants.iter().find_map(|variant| {
            let behind = header.behind(variant.remainder());
            let behind = behind.filter(|_| variant.level == header.level)?;
            Some((variant.matches, behind))
        })
    }

    fn rule(&mut self, id: &[u8]) -> Option<&Rule> {
        let recent = &mut self.recent[place(id)];
        if self.rules.get(*recent).is_none_or(|rule| *rule.id != *id) {
            *recent = *self.by_id.get(id)?;
        }
        self.rules.get(*recent)
    }

    /// Keeps what reading the line of this header in full has shown.
    pub(super) fn learn(&mut self, header: Header<'_>, matches: bool) {
        let Some(remainder) = header.remainder() else {
            return;
        };
        let after = remainder.after_counter.map_or(0, <[u8]>::len);
        let bytes = header.id.len() + remainder.before_counter.len() + after + OVERHEAD;
        if self.rules.len() >= MAX_RULES || self.bytes + bytes > MAX_BYTES {
            *self = Self::default();
        }
        // What is dropped with full variants still counts until all is dropped.
        self.bytes += bytes;
        let next = self.rules.len();
        let at = *self.by_id.entry(header.id.into()).or_insert(next);
        if at == next {
            self.rules.push(Rule {
                id: header.id.into(),
                variants: Vec::new(),
            });
        }
        let variants = &mut self.rules[at].variants;
        if variants.len() >= MAX_VARIANTS {
            variants.clear();
        }
        variants.push(Variant {
            level: header.level,
            before_counter: remainder.before_counter.into(),
            after_counter: remainder.after_counter.map(Into::into),
            matches,
        });
    }
}

/// By the last bytes of an id, in which most ids differ.
fn place(id: &[u8]) -> usize {
    let last = id.iter().rev().take(4);
    let number = last.fold(0, |number: usize, byte| number * 13 + usize::from(*byte));
    number % PLACES
}

#[cfg(test)]
impl Known {
    pub(super) fn rules(&self) -> usize {
        self.rules.len()
    }

    /// What is held of variants, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let variants = self.rules.iter().flat_map(|rule| &rule.variants);
        let held = variants.map(|variant| {
            let after = variant.after_counter.as_deref().unwrap_or_default();
            variant.before_counter.len() + after.len()
        });
        held.sum()
    }
}

impl Variant {
    fn remainder(&self) -> Remainder<'_> {
        Remainder {
            before_counter: &self.before_counter,
            after_counter: self.after_counter.as_deref(),
        }
    }
}
