//! The objects that hold a list of addresses, built with libnftnl: the table
//! all bundled executables share, and one chain and two sets for each of them.
//!
//! All functions from here up to [`super::Lists::add`] that are not generic are
//! `#[inline]`, so that they are compiled into the programs that call them and
//! not into the library. Otherwise whatever shares an object file with them
//! would be linked to libnftnl too, with a linker such as ld.bfd that looks at
//! whole object files.

use std::ffi::CString;
use std::net::{Ipv4Addr, Ipv6Addr};

use nftnl::nftnl_sys::{NFTNL_SET_FLAGS, nftnl_set_set_u32};
use nftnl::set::{Set, SetKey};
use nftnl::{Chain, ChainType, Hook, MsgType, NlMsg, Policy, ProtoFamily, Rule, Table, nft_expr};

use crate::sys::nft::wire::Messages;

/// Everything in this table is ours; `nft delete table inet ripost` undoes it.
pub(super) const TABLE: &str = "ripost";

/// Before conntrack (-200), so that dropped packets make no connections.
/// Prerouting also sees what is forwarded or redirected to containers.
const PRIORITY_RAW: i32 = -300;

/// The names of one executable's objects.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub chain: String,
    pub ipv4: String,
    pub ipv6: String,
}

impl Names {
    /// For the executable `name`; nft(8) knows no `-` in names.
    pub(super) fn of(name: &str) -> Self {
        let chain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        Self {
            ipv4: format!("{chain}_4"),
            ipv6: format!("{chain}_6"),
            chain,
        }
    }
}

/// Adds the messages that make everything `names` stands for. What is there
/// already stays as it is, elements included; the rules are written anew.
#[inline]
pub(super) fn set_up(messages: &mut Messages, names: &Names) {
    let table = Table::new(c_string(TABLE), ProtoFamily::Inet);
    push(messages, &table, MsgType::Add);
    let ipv4 = set::<Ipv4Addr>(&names.ipv4, 4, &table);
    push(messages, &ipv4, MsgType::Add);
    let ipv6 = set::<Ipv6Addr>(&names.ipv6, 6, &table);
    push(messages, &ipv6, MsgType::Add);

    let mut chain = Chain::new(c_string(&names.chain), &table);
    chain.set_hook(Hook::PreRouting, PRIORITY_RAW);
    chain.set_type(ChainType::Filter);
    chain.set_policy(Policy::Accept);
    push(messages, &chain, MsgType::Add);
    // Without a handle this means all rules of the chain.
    push(messages, &Rule::new(&chain), MsgType::Del);

    let mut rule = drop_rule(&chain, libc::NFPROTO_IPV4);
    rule.add_expr(&nft_expr!(payload ipv4 saddr));
    push_drop(messages, rule, &ipv4);
    let mut rule = drop_rule(&chain, libc::NFPROTO_IPV6);
    rule.add_expr(&nft_expr!(payload ipv6 saddr));
    push_drop(messages, rule, &ipv6);
}

#[inline]
fn drop_rule<'a>(chain: &'a Chain<'a>, family: i32) -> Rule<'a> {
    let family = u8::try_from(family).expect("protocol families are 8 bits wide");
    let mut rule = Rule::new(chain);
    rule.add_expr(&nft_expr!(meta nfproto));
    rule.add_expr(&nft_expr!(cmp == family));
    rule
}

#[inline]
fn push_drop<K>(messages: &mut Messages, mut rule: Rule<'_>, set: &Set<'_, K>) {
    rule.add_expr(&nft_expr!(lookup set));
    rule.add_expr(&nft_expr!(counter));
    rule.add_expr(&nft_expr!(verdict drop));
    push(messages, &rule, MsgType::Add);
}

/// A hash set whose elements may have a timeout each.
#[inline]
fn set<'a, K: SetKey>(name: &str, id: u32, table: &'a Table) -> Set<'a, K> {
    let set = Set::new_named(&c_string(name), id, table, ProtoFamily::Inet);
    let flags = u32::try_from(libc::NFT_SET_TIMEOUT).expect("the flag is positive");
    let attribute = u16::try_from(NFTNL_SET_FLAGS).expect("attribute numbers are small");
    // SAFETY: `as_ptr` is the set that `set` owns and nobody else uses; the
    // attribute is one of those that hold a u32.
    unsafe { nftnl_set_set_u32(set.as_ptr().as_ptr(), attribute, flags) };
    set
}

fn c_string(name: &str) -> CString {
    CString::new(name).expect("names of tables, chains and sets are our own, without NUL")
}

/// Serialises `object` into a buffer of the size that `NlMsg` asks for and
/// appends what it wrote.
#[inline]
fn push(messages: &mut Messages, object: &impl NlMsg, kind: MsgType) {
    let size = usize::try_from(nftnl::nft_nlmsg_maxsize()).expect("about 64 KiB");
    // Words, because a netlink header must be aligned to four bytes.
    let mut buffer = vec![0_u32; size.div_ceil(4)];
    // SAFETY: `buffer` has at least `nft_nlmsg_maxsize()` bytes, which is what
    // `write` requires, is aligned for a netlink header, and outlives the call.
    unsafe { object.write(buffer.as_mut_ptr().cast(), 0, kind) };
    let length = usize::try_from(buffer[0]).expect("a message is below 64 KiB");
    let bytes: Vec<u8> = buffer[..length.div_ceil(4)]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    messages.push_built(&bytes);
}

#[cfg(test)]
mod tests {
    use super::{Names, set_up};
    use crate::sys::nft::wire::Messages;

    #[test]
    fn executables_keep_their_objects_apart() {
        let names = Names::of("firewall-drop");
        assert_eq!(names.chain, "firewall_drop");
        assert_eq!(names.ipv4, "firewall_drop_4");
        assert_ne!(names.ipv6, Names::of("block-ip").ipv6);
    }

    #[test]
    fn a_set_up_asks_for_no_answer_per_message() {
        let mut messages = Messages::default();
        set_up(&mut messages, &Names::of("firewall-drop"));
        assert_eq!(messages.count(), 7);
        let mut rest = messages.bytes();
        let mut expected = 0_u32;
        while let Some(header) = rest.get(..16) {
            let flags = u16::from_ne_bytes([header[6], header[7]]);
            assert_eq!(i32::from(flags) & libc::NLM_F_ACK, 0);
            assert_eq!(header[8..12], expected.to_ne_bytes());
            expected += 1;
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
            rest = &rest[length as usize..];
        }
        assert_eq!(expected, messages.count());
    }
}
