//! What the kernel answers, read attribute by attribute. Layouts:
//! linux/netlink.h, linux/netfilter/nf_tables.h.

use std::time::Duration;

use super::wire::{
    ATTRIBUTE, HEADER, NFGENMSG, NFTA_LIST_ELEM, NFTA_SET_ELEM_LIST_ELEMENTS, aligned,
};

const ATTRIBUTE_TYPE: u16 = 0x3fff;

// linux/netfilter/nf_tables.h
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_GEN_ID: u16 = 1;

/// One message from the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    /// The number of the message it answers.
    pub sequence: u32,
    pub content: Content<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// The message was carried out (only if it asked for an answer).
    Done,
    /// The message failed with this errno.
    Error(i32),
    /// Attributes of an object of nf_tables.
    Object(&'a [u8]),
}

/// The messages of one datagram.
pub(super) fn replies(datagram: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(number(rest)?).ok()?;
        // A datagram that did not fit ends in the middle of its last message.
        let message = &rest[..length.min(rest.len())];
        let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        let sequence = number(message.get(8..)?)?;
        let body = message.get(HEADER..)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        let content = match i32::from(kind) {
            libc::NLMSG_ERROR => match number(body)?.cast_signed() {
                0 => Content::Done,
                errno => Content::Error(-errno),
            },
            libc::NLMSG_DONE => Content::Done,
            _ => Content::Object(body.get(NFGENMSG..)?),
        };
        Some(Reply { sequence, content })
    })
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(ATTRIBUTE..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind & ATTRIBUTE_TYPE, value))
    })
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

fn text(value: &[u8]) -> &[u8] {
    value.strip_suffix(&[0]).unwrap_or(value)
}

/// The generation in an answer to [`Messages::generation`].
pub(super) fn generation(object: &[u8]) -> Option<u32> {
    let value = find(object, NFTA_GEN_ID)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// What remains of the first element in an answer to [`Verb::GetElement`]:
/// `Some(None)` is an element without end, `None` no element at all.
pub(super) fn remaining(object: &[u8]) -> Option<Option<Duration>> {
    let list = find(object, NFTA_SET_ELEM_LIST_ELEMENTS)?;
    let element = find(list, NFTA_LIST_ELEM)?;
    let Some(left) = find(element, NFTA_SET_ELEM_EXPIRATION) else {
        return Some(None);
    };
    let millis = u64::from_be_bytes(left.try_into().ok()?);
    Some(Some(Duration::from_millis(millis)))
}

/// Whether this rule, from an answer to [`Messages::rules`], looks up `set`
/// and ends with a verdict.
pub(super) fn rule_uses(object: &[u8], set: &str) -> bool {
    let Some(expressions) = find(object, NFTA_RULE_EXPRESSIONS) else {
        return false;
    };
    let expression = |name: &[u8]| {
        attributes(expressions)
            .filter(|(kind, _)| *kind == NFTA_LIST_ELEM)
            .find(|(_, value)| find(value, NFTA_EXPR_NAME).map(text) == Some(name))
            .and_then(|(_, value)| find(value, NFTA_EXPR_DATA))
    };
    let looks_up = expression(b"lookup")
        .and_then(|data| find(data, NFTA_LOOKUP_SET))
        .is_some_and(|name| text(name) == set.as_bytes());
    looks_up && expression(b"immediate").is_some()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::wire::{Key, Messages, Verb};
    use super::{Content, remaining, replies};

    fn keys(count: u8) -> Vec<Key> {
        (0..count)
            .map(|n| Key {
                address: IpAddr::from([192, 0, 2, n]),
                timeout: Some(Duration::from_secs(600)),
            })
            .collect()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut messages = Messages::default();
        messages.elements(Verb::GetElement, "ripost", "firewall_drop_4", &keys(1));
        let reply = replies(messages.bytes()).next().unwrap();
        let Content::Object(object) = reply.content else {
            panic!("{reply:?}");
        };
        assert_eq!(remaining(object), Some(keys(1)[0].timeout));
    }

    #[test]
    fn a_datagram_cut_anywhere_ends_the_reading_without_a_panic() {
        let mut messages = Messages::default();
        messages.begin(7);
        messages.elements(Verb::NewElements, "ripost", "firewall_drop_4", &keys(3));
        messages.end(true);
        for length in 0..messages.bytes().len() {
            for reply in replies(&messages.bytes()[..length]) {
                if let Content::Object(object) = reply.content {
                    let _ = remaining(object);
                }
            }
        }
    }
}
