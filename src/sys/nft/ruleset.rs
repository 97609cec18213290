//! The objects that hold lists of addresses and networks, built with libnftnl:
//! the table all bundled executables share, and for each of them one chain, two
//! sets of hosts, and one set for each prefix length that is in use.
//!
//! A set of networks is a hash as well: the address of a packet is masked, then
//! looked up. A set of intervals would refuse a network that lies in another.
//!
//! All functions from here up to [`super::Lists::add`] that are not generic are
//! `#[inline]`, so that they are compiled into the programs that call them and
//! not into the library. Otherwise whatever shares an object file with them
//! would be linked to libnftnl too, with a linker such as ld.bfd that looks at
//! whole object files.

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nftnl::nftnl_sys::{NFTNL_SET_FLAGS, nftnl_set_set_u32};
use nftnl::set::{Set, SetKey};
use nftnl::{Chain, ChainType, Hook, MsgType, NlMsg, Policy, ProtoFamily, Rule, Table, nft_expr};

use crate::sys::nft::names::{List, Names, TABLE};
use crate::sys::nft::wire::{self, Messages};

/// Before conntrack (-200), so that dropped packets make no connections.
/// Prerouting also sees what is forwarded or redirected to containers.
const PRIORITY_RAW: i32 = -300;

/// What is to be made.
#[derive(Debug)]
pub(super) struct Plan {
    /// The sets that are not there.
    pub missing: Vec<List>,
    /// The lists whose packets are to be dropped.
    pub enforced: Vec<List>,
    /// Whether the new sets count packets for each element.
    pub counts: bool,
}

/// Adds the messages of `plan`. The rules of the chain are written anew.
#[inline]
pub(super) fn set_up(messages: &mut Messages, names: &Names, plan: &Plan) {
    let table = Table::new(c_string(TABLE), ProtoFamily::Inet);
    push(messages, &table, MsgType::Add);
    for (id, &list) in (1..).zip(&plan.missing) {
        let built = match list {
            List::Ipv4(_) => built(&set::<Ipv4Addr>(names, list, id, &table), MsgType::Add),
            List::Ipv6(_) => built(&set::<Ipv6Addr>(names, list, id, &table), MsgType::Add),
        };
        messages.push_built(&if plan.counts {
            wire::with_counters(built)
        } else {
            built
        });
    }
    let mut chain = Chain::new(c_string(&names.chain), &table);
    chain.set_hook(Hook::PreRouting, PRIORITY_RAW);
    chain.set_type(ChainType::Filter);
    chain.set_policy(Policy::Accept);
    push(messages, &chain, MsgType::Add);
    // Without a handle this means all rules of the chain.
    push(messages, &Rule::new(&chain), MsgType::Del);
    for &list in &plan.enforced {
        let rule = match list {
            List::Ipv4(_) => drop_rule::<Ipv4Addr>(&chain, names, list, &table),
            List::Ipv6(_) => drop_rule::<Ipv6Addr>(&chain, names, list, &table),
        };
        push(messages, &rule, MsgType::Add);
    }
}

/// Drops what comes from the addresses of `list`.
#[inline]
fn drop_rule<'a, K: SetKey>(
    chain: &'a Chain<'a>,
    names: &Names,
    list: List,
    table: &Table,
) -> Rule<'a> {
    let mut rule = Rule::new(chain);
    rule.add_expr(&nft_expr!(meta nfproto));
    let family = match list {
        List::Ipv4(_) => libc::NFPROTO_IPV4,
        List::Ipv6(_) => libc::NFPROTO_IPV6,
    };
    let family = u8::try_from(family).expect("protocol families are 8 bits wide");
    rule.add_expr(&nft_expr!(cmp == family));
    match list {
        List::Ipv4(_) => rule.add_expr(&nft_expr!(payload ipv4 saddr)),
        List::Ipv6(_) => rule.add_expr(&nft_expr!(payload ipv6 saddr)),
    }
    if let Some(mask) = list.mask() {
        let none: IpAddr = match list {
            List::Ipv4(_) => Ipv4Addr::UNSPECIFIED.into(),
            List::Ipv6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        rule.add_expr(&nft_expr!(bitwise mask mask, xor none));
    }
    // By its name; 0 is the number of no set in this transaction.
    let set = &set::<K>(names, list, 0, table);
    rule.add_expr(&nft_expr!(lookup set));
    rule.add_expr(&nft_expr!(counter));
    rule.add_expr(&nft_expr!(verdict drop));
    rule
}

/// A hash set whose elements may have a timeout each.
#[inline]
fn set<'a, K: SetKey>(names: &Names, list: List, id: u32, table: &'a Table) -> Set<'a, K> {
    let name = c_string(&names.set(list));
    let set = Set::new_named(&name, id, table, ProtoFamily::Inet);
    let flags = u32::try_from(libc::NFT_SET_TIMEOUT).expect("the flag is positive");
    let attribute = u16::try_from(NFTNL_SET_FLAGS).expect("attribute numbers are small");
    // SAFETY: `as_ptr` is the set that `set` owns and nobody else uses; the
    // attribute is one of those that hold a u32.
    unsafe { nftnl_set_set_u32(set.as_ptr().as_ptr(), attribute, flags) };
    set
}

pub(super) fn c_string(name: &str) -> CString {
    CString::new(name).expect("names of tables, chains and sets are our own, without NUL")
}

#[inline]
pub(super) fn push(messages: &mut Messages, object: &impl NlMsg, kind: MsgType) {
    messages.push_built(&built(object, kind));
}

/// Serialises `object` into a buffer of the size that `NlMsg` asks for.
#[inline]
fn built(object: &impl NlMsg, kind: MsgType) -> Vec<u8> {
    let size = usize::try_from(nftnl::nft_nlmsg_maxsize()).expect("about 64 KiB");
    // Words, because a netlink header must be aligned to four bytes.
    let mut buffer = vec![0_u32; size.div_ceil(4)];
    // SAFETY: `buffer` has at least `nft_nlmsg_maxsize()` bytes, which is what
    // `write` requires, is aligned for a netlink header, and outlives the call.
    unsafe { object.write(buffer.as_mut_ptr().cast(), 0, kind) };
    let length = usize::try_from(buffer[0]).expect("a message is below 64 KiB");
    buffer[..length.div_ceil(4)]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Plan, set_up};
    use crate::sys::nft::names::{List, Names};
    use crate::sys::nft::wire::Messages;

    #[test]
    fn a_set_up_asks_for_no_answer_per_message() {
        let mut messages = Messages::default();
        let plan = Plan {
            missing: vec![List::HOSTS_4, List::Ipv6(64)],
            enforced: vec![List::HOSTS_4, List::HOSTS_6, List::Ipv6(64)],
            counts: true,
        };
        set_up(&mut messages, &Names::of("firewall-drop"), &plan);
        assert_eq!(messages.count(), 8);
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
        assert_eq!(rest, [0_u8; 0]);
    }
}
