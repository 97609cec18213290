//! Netlink messages as bytes: the headers, the attributes and the requests that
//! need no library. Layouts: linux/netlink.h, linux/netfilter/nfnetlink.h,
//! linux/netfilter/nf_tables.h.

use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;

pub(super) const HEADER: usize = 16;
pub(super) const NFGENMSG: usize = 4;
pub(super) const ATTRIBUTE: usize = 4;
const NESTED: u16 = 1 << 15;

// linux/netfilter/nf_tables.h
pub(super) const NFTA_LIST_ELEM: u16 = 1;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
const NFTA_SET_ELEM_EXPIRATION: u16 = 5;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
pub(super) const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_TABLE: u16 = 1;
pub(super) const NFTA_SET_EXPR: u16 = 17;
pub(super) const NFTA_EXPR_NAME: u16 = 1;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;

/// The length of an attribute is a u16, so the elements of one message must
/// stay below 64 KiB; the rest is reserve for the headers around them.
const MAX_ELEMENTS: usize = 60_000;

/// What a message asks for. Values: linux/netfilter/nf_tables.h.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    NewElements,
    GetElement,
    DelElements,
    GetRules,
    GetSets,
    GetGeneration,
}

impl Verb {
    fn kind(self) -> u16 {
        let message = match self {
            Self::NewElements => libc::NFT_MSG_NEWSETELEM,
            Self::GetElement => libc::NFT_MSG_GETSETELEM,
            Self::DelElements => libc::NFT_MSG_DELSETELEM,
            Self::GetRules => libc::NFT_MSG_GETRULE,
            Self::GetSets => libc::NFT_MSG_GETSET,
            Self::GetGeneration => libc::NFT_MSG_GETGEN,
        };
        nf_tables(message)
    }

    fn flags(self) -> i32 {
        match self {
            // Without NLM_F_EXCL: an element that is there is no error.
            Self::NewElements => libc::NLM_F_REQUEST | libc::NLM_F_CREATE,
            Self::GetElement | Self::DelElements | Self::GetGeneration => libc::NLM_F_REQUEST,
            Self::GetRules | Self::GetSets => libc::NLM_F_REQUEST | libc::NLM_F_DUMP,
        }
    }
}

fn nf_tables(message: i32) -> u16 {
    short(libc::NFNL_SUBSYS_NFTABLES << 8 | message)
}

fn short(constant: i32) -> u16 {
    u16::try_from(constant).expect("constants of netlink headers are 16 bits wide")
}

/// One element of a set, as it is sent. Of a network it is the first address:
/// the set knows the length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub address: IpAddr,
    /// How long the kernel keeps it. `None`: without end.
    pub timeout: Option<Duration>,
}

impl Key {
    /// Of a network without bits of a host.
    pub(super) fn of(network: IpNetwork, timeout: Option<Duration>) -> Self {
        Self {
            address: network.ip(),
            timeout,
        }
    }

    fn write_octets(&self, bytes: &mut Vec<u8>) {
        match self.address {
            IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
        }
    }
}

/// A run of messages that is sent at once.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    count: u32,
}

impl Messages {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of messages so far, which is also the sequence number of the
    /// next one.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Appends a message that was built elsewhere, with the number of its
    /// place and without the flags that would make a repetition an error or
    /// every message answered.
    pub(super) fn push_built(&mut self, message: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        let flags = u16::from_ne_bytes([message[6], message[7]]);
        let flags = flags & !short(libc::NLM_F_ACK | libc::NLM_F_EXCL);
        self.bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[start + 8..start + 12].copy_from_slice(&self.count.to_ne_bytes());
        self.count += 1;
    }

    /// Opens a transaction that the kernel refuses with `ERESTART` if the
    /// rules have changed since `generation`.
    pub(super) fn begin(&mut self, generation: u32) {
        self.batch_mark(libc::NFNL_MSG_BATCH_BEGIN, 0, |bytes| {
            let kind = short(libc::NFNL_BATCH_GENID);
            attribute(bytes, kind, &generation.to_be_bytes());
        });
    }

    /// Closes the transaction; with `acked` the kernel confirms it.
    pub(super) fn end(&mut self, acked: bool) {
        let flags = if acked { libc::NLM_F_ACK } else { 0 };
        self.batch_mark(libc::NFNL_MSG_BATCH_END, flags, |_| ());
    }

    fn batch_mark(&mut self, kind: i32, flags: i32, body: impl FnOnce(&mut Vec<u8>)) {
        let flags = libc::NLM_F_REQUEST | flags;
        let family = libc::AF_UNSPEC;
        // res_id of a batch is the subsystem, in network order.
        let resource = short(libc::NFNL_SUBSYS_NFTABLES);
        self.message(short(kind), flags, family, resource, body);
    }

    /// Asks for, adds or deletes elements of `set`; as many messages as it
    /// takes.
    pub(super) fn elements(&mut self, verb: Verb, table: &str, set: &str, keys: &[Key]) {
        let mut rest = keys;
        while !rest.is_empty() {
            let before = rest;
            self.request(verb, |bytes| {
                attribute_text(bytes, NFTA_SET_ELEM_LIST_TABLE, table);
                attribute_text(bytes, NFTA_SET_ELEM_LIST_SET, set);
                nested(bytes, NFTA_SET_ELEM_LIST_ELEMENTS, |bytes| {
                    let start = bytes.len();
                    while let [key, others @ ..] = rest
                        && bytes.len() - start < MAX_ELEMENTS
                    {
                        element(bytes, *key);
                        rest = others;
                    }
                });
            });
            debug_assert!(rest.len() < before.len());
        }
    }

    /// Asks for the rules of `chain`.
    pub(super) fn rules(&mut self, table: &str, chain: &str) {
        self.request(Verb::GetRules, |bytes| {
            attribute_text(bytes, NFTA_RULE_TABLE, table);
            attribute_text(bytes, NFTA_RULE_CHAIN, chain);
        });
    }

    /// Asks for the sets of `table`.
    pub(super) fn sets(&mut self, table: &str) {
        self.request(Verb::GetSets, |bytes| {
            attribute_text(bytes, NFTA_SET_TABLE, table);
        });
    }

    /// Asks for the generation of the rules, a number that every change moves.
    pub(super) fn generation(&mut self) {
        self.request(Verb::GetGeneration, |_| ());
    }

    fn request(&mut self, verb: Verb, body: impl FnOnce(&mut Vec<u8>)) {
        self.message(verb.kind(), verb.flags(), libc::NFPROTO_INET, 0, body);
    }

    fn message(
        &mut self,
        kind: u16,
        flags: i32,
        family: i32,
        resource: u16,
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&short(flags).to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        let family = u8::try_from(family).expect("protocol families are 8 bits wide");
        let [high, low] = resource.to_be_bytes();
        self.bytes.extend_from_slice(&[family, 0, high, low]);
        body(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).expect("a message is below 64 KiB");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.count += 1;
    }
}

/// A built message that makes a set, with a counter for each of its elements.
/// Kernels before 5.7 do not know this attribute of a set and pass over it.
pub(super) fn with_counters(mut message: Vec<u8>) -> Vec<u8> {
    nested(&mut message, NFTA_SET_EXPR, |bytes| {
        attribute_text(bytes, NFTA_EXPR_NAME, "counter");
    });
    let length = u32::try_from(message.len()).expect("a message is below 64 KiB");
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn element(bytes: &mut Vec<u8>, key: Key) {
    nested(bytes, NFTA_LIST_ELEM, |bytes| {
        nested(bytes, NFTA_SET_ELEM_KEY, |bytes| {
            nested_as(bytes, NFTA_DATA_VALUE, |bytes| key.write_octets(bytes));
        });
        if let Some(timeout) = key.timeout {
            // 0 would be "no timeout of its own".
            let millis = u64::try_from(timeout.as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
            attribute(bytes, NFTA_SET_ELEM_TIMEOUT, &millis.to_be_bytes());
            // Without it a kernel that renews elements leaves one alone whose
            // timeout was the same before, however little of it is left
            // (nf_tables_api.c nft_add_set_elem, Linux 6.12).
            attribute(bytes, NFTA_SET_ELEM_EXPIRATION, &millis.to_be_bytes());
        }
    });
}

fn attribute_text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    let mut value = text.as_bytes().to_vec();
    value.push(0);
    attribute(bytes, kind, &value);
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    nested_as(bytes, kind, |bytes| bytes.extend_from_slice(value));
}

fn nested(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    nested_as(bytes, kind | NESTED, body);
}

fn nested_as(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    body(bytes);
    let length = u16::try_from(bytes.len() - start).expect("elements are split below 64 KiB");
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(start + aligned(usize::from(length)), 0);
}

pub(super) fn aligned(length: usize) -> usize {
    length.div_ceil(4) * 4
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::{Key, MAX_ELEMENTS, Messages, Verb, aligned};

    fn keys(count: u32) -> Vec<Key> {
        (0..count)
            .map(|n| Key {
                address: IpAddr::from((0x0a00_0000 + n).to_be_bytes()),
                timeout: Some(Duration::from_secs(600)),
            })
            .collect()
    }

    #[test]
    fn many_elements_are_split_below_the_limit_of_an_attribute() {
        let mut messages = Messages::default();
        messages.elements(
            Verb::NewElements,
            "ripost",
            "firewall_drop_4",
            &keys(10_000),
        );
        assert!(messages.count() > 1);
        let mut rest = messages.bytes();
        let mut seen = 0;
        while let Some(length) = rest.get(..4) {
            let length = u32::from_ne_bytes(length.try_into().unwrap()) as usize;
            assert!(length < MAX_ELEMENTS + 200);
            seen += 1;
            rest = &rest[aligned(length)..];
        }
        assert_eq!(seen, messages.count());
    }
}
