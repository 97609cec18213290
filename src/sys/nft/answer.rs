//! What the kernel answers, read attribute by attribute. Layouts:
//! linux/netlink.h, linux/netfilter/nf_tables.h.

use std::time::Duration;

use super::Held;
use super::names::List;
use super::wire::{
    ATTRIBUTE, HEADER, NFGENMSG, NFTA_EXPR_NAME, NFTA_LIST_ELEM, NFTA_SET_ELEM_LIST_ELEMENTS,
    aligned,
};

const ATTRIBUTE_TYPE: u16 = 0x3fff;

// linux/netfilter/nf_tables.h
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_SET_ELEM_EXPR: u16 = 7;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_COUNTER_PACKETS: u16 = 2;
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

/// The first element in an answer to [`Verb::GetElement`].
pub(super) fn element(object: &[u8]) -> Option<Held> {
    let list = find(object, NFTA_SET_ELEM_LIST_ELEMENTS)?;
    let element = find(list, NFTA_LIST_ELEM)?;
    let left = match find(element, NFTA_SET_ELEM_EXPIRATION) {
        Some(left) => Some(Duration::from_millis(large(left)?)),
        None => None,
    };
    let hits = find(element, NFTA_SET_ELEM_EXPR)
        .filter(|counter| find(counter, NFTA_EXPR_NAME).map(text) == Some(b"counter"))
        .and_then(|counter| find(counter, NFTA_EXPR_DATA))
        .and_then(|data| find(data, NFTA_COUNTER_PACKETS))
        .and_then(large);
    Some(Held { left, hits })
}

fn large(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// The set that this rule, from an answer to [`Messages::rules`], looks up
/// before it ends with a verdict.
pub(super) fn enforced_set(object: &[u8]) -> Option<&str> {
    let expressions = find(object, NFTA_RULE_EXPRESSIONS)?;
    let expression = |name: &[u8]| {
        attributes(expressions)
            .filter(|(kind, _)| *kind == NFTA_LIST_ELEM)
            .find(|(_, value)| find(value, NFTA_EXPR_NAME).map(text) == Some(name))
            .and_then(|(_, value)| find(value, NFTA_EXPR_DATA))
    };
    expression(b"immediate")?;
    let set = find(expression(b"lookup")?, NFTA_LOOKUP_SET)?;
    str::from_utf8(text(set)).ok()
}

/// A set in an answer to [`Messages::sets`].
pub(super) struct Set<'a> {
    pub name: &'a str,
    flags: u32,
    /// The number by which nft(8) knows the type of its keys, and their length
    /// in bytes.
    key: (u32, u32),
}

/// `None`: this is no set.
pub(super) fn set(object: &[u8]) -> Option<Set<'_>> {
    let number = |kind| Some(u32::from_be_bytes(find(object, kind)?.try_into().ok()?));
    Some(Set {
        name: str::from_utf8(text(find(object, NFTA_SET_NAME)?)).ok()?,
        flags: number(NFTA_SET_FLAGS).unwrap_or(0),
        key: (
            number(NFTA_SET_KEY_TYPE).unwrap_or(0),
            number(NFTA_SET_KEY_LEN)?,
        ),
    })
}

impl Set<'_> {
    /// Whether it is as this module makes them: a hash of addresses of this
    /// list's family, with timeouts.
    pub(super) fn suits(&self, list: List) -> bool {
        let timeouts = u32::try_from(libc::NFT_SET_TIMEOUT).expect("the flag is positive");
        // nftables datatype.h: TYPE_IPADDR, TYPE_IP6ADDR.
        let key = match list {
            List::Ipv4(_) => (7, 4),
            List::Ipv6(_) => (8, 16),
        };
        self.flags == timeouts && self.key == key
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use crate::sys::nft::wire::{Key, Messages, Verb};

    use super::{Content, element, enforced_set, replies, set};

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
        let left = element(object).unwrap().left;
        assert_eq!(left, keys(1)[0].timeout);
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
                    let _ = element(object);
                    let _ = (enforced_set(object), set(object).is_some());
                }
            }
        }
    }
}
