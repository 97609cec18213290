//! Cutting a host off: three chains of their own in the table `inet ripost`,
//! for what comes in, goes out and is passed on, each of which drops everything
//! but what still has to pass. One transaction makes them, another takes them
//! away.

mod passes;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nftnl::{Chain, ChainType, Hook, MsgType, Policy, ProtoFamily, Rule, Table, nft_expr};

use super::answer::Content;
use super::batch::{Rounds, Step};
use super::names::TABLE;
use super::ruleset::{c_string, push};
use super::wire::Messages;
use super::{Kernel, Lists, NftError};

pub use passes::Allowed;
use passes::{Pass, Ways, What, passes};

/// Where nft(8) puts its own filters. A drop is final wherever it stands.
const PRIORITY_FILTER: i32 = 0;

/// `ARPHRD_LOOPBACK` (linux/if_arp.h).
const LOOPBACK: u16 = 772;

/// The chains, and what they see.
const CHAINS: [(&str, Hook); 3] = [
    ("isolate_host_in", Hook::In),
    ("isolate_host_out", Hook::Out),
    ("isolate_host_forward", Hook::Forward),
];

/// Whether the host was cut off before a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Before {
    CutOff,
    Open,
}

/// The isolation of this host, over a netlink socket of its own.
#[derive(Debug)]
pub struct Isolation(Lists);

impl Isolation {
    pub fn open(kernel: Kernel) -> Result<Self, NftError> {
        Ok(Self(Lists::open("isolate-host", kernel)?))
    }

    /// Cuts the host off, but for what is allowed, and looks whether it is. What
    /// was allowed before and is not now, is not any more.
    #[inline]
    pub fn add(&mut self, allowed: &Allowed) -> Result<Before, NftError> {
        let passes = passes(allowed);
        let wanted = CHAINS.map(|(_, hook)| rules(hook, &passes).count() + 1);
        let before = self.before()?;
        let mut rounds = Rounds::default();
        loop {
            let mut messages = Messages::default();
            messages.begin(self.0.generation()?);
            let table = Table::new(c_string(TABLE), ProtoFamily::Inet);
            push(&mut messages, &table, MsgType::Add);
            for (name, hook) in CHAINS {
                close(&mut messages, &table, name, hook, &passes);
            }
            let step = self.0.commit(messages)?;
            rounds.after(step)?;
            match step {
                Step::Written if self.counts()? == wanted => return Ok(before),
                Step::Refused(errno) => return Err(NftError::of(errno)),
                // Somebody else changes it at the same time.
                Step::Written | Step::Done | Step::Stale | Step::Vanished => {}
            }
        }
    }

    /// Lets everything through again, and looks whether it is so.
    #[inline]
    pub fn delete(&mut self) -> Result<Before, NftError> {
        let before = self.before()?;
        let mut rounds = Rounds::default();
        while self.before()? == Before::CutOff {
            let mut messages = Messages::default();
            messages.begin(self.0.generation()?);
            let table = Table::new(c_string(TABLE), ProtoFamily::Inet);
            for ((name, hook), rules) in CHAINS.into_iter().zip(self.counts()?) {
                if rules > 0 {
                    let chain = base_chain(&table, name, hook);
                    push(&mut messages, &Rule::new(&chain), MsgType::Del);
                    push(&mut messages, &chain, MsgType::Del);
                }
            }
            let step = self.0.commit(messages)?;
            rounds.after(step)?;
            if let Step::Refused(errno) = step {
                return Err(NftError::of(errno));
            }
        }
        Ok(before)
    }

    /// A chain without a rule cuts nothing off.
    fn before(&mut self) -> Result<Before, NftError> {
        let is_open = self.counts()?.iter().all(|rules| *rules == 0);
        Ok(if is_open {
            Before::Open
        } else {
            Before::CutOff
        })
    }

    /// How many rules each of the chains has.
    fn counts(&mut self) -> Result<[usize; 3], NftError> {
        let mut counts = [0; 3];
        for (count, (name, _)) in counts.iter_mut().zip(CHAINS) {
            let mut messages = Messages::default();
            messages.rules(TABLE, name);
            self.0.socket.exchange(&messages, |reply| {
                if let Content::Object(_) = reply.content {
                    *count += 1;
                }
            })?;
        }
        Ok(counts)
    }
}

/// What passes at this hook; nothing is passed on for others.
fn rules(hook: Hook, passes: &[Pass]) -> impl Iterator<Item = &Pass> {
    passes.iter().filter(move |pass| match (hook, pass.ways) {
        (Hook::In, Ways::Both | Ways::In) | (Hook::Out, Ways::Both) => true,
        (Hook::Out, Ways::In) => false,
        (Hook::Forward | Hook::PreRouting | Hook::PostRouting | Hook::Ingress, _) => false,
    })
}

#[inline]
fn base_chain<'a>(table: &'a Table, name: &str, hook: Hook) -> Chain<'a> {
    let mut chain = Chain::new(c_string(name), table);
    chain.set_hook(hook, PRIORITY_FILTER);
    chain.set_type(ChainType::Filter);
    chain.set_policy(Policy::Accept);
    chain
}

/// Adds the messages that make one chain anew.
#[inline]
fn close(messages: &mut Messages, table: &Table, name: &str, hook: Hook, passes: &[Pass]) {
    let chain = base_chain(table, name, hook);
    push(messages, &chain, MsgType::Add);
    // Without a handle this means all rules of the chain.
    push(messages, &Rule::new(&chain), MsgType::Del);
    for pass in rules(hook, passes) {
        let mut rule = Rule::new(&chain);
        describe(&mut rule, &pass.what, hook == Hook::In);
        rule.add_expr(&nft_expr!(verdict accept));
        push(messages, &rule, MsgType::Add);
    }
    let mut rule = Rule::new(&chain);
    rule.add_expr(&nft_expr!(counter));
    rule.add_expr(&nft_expr!(verdict drop));
    push(messages, &rule, MsgType::Add);
}

/// Adds the expressions that find the packets, as they come in or go out.
#[inline]
fn describe(rule: &mut Rule<'_>, what: &What, comes_in: bool) {
    match what {
        What::Loopback => {
            if comes_in {
                rule.add_expr(&nft_expr!(meta iiftype));
            } else {
                rule.add_expr(&nft_expr!(meta oiftype));
            }
            rule.add_expr(&nft_expr!(cmp == &[LOOPBACK][..]));
        }
        What::Network(network) => of_peer(rule, *network, comes_in),
        What::Ports {
            protocol,
            peer,
            peer_port,
            own_port,
        } => {
            if let Some(peer) = peer {
                of_peer(rule, IpNetwork::from(*peer), comes_in);
            }
            rule.add_expr(&nft_expr!(meta l4proto));
            rule.add_expr(&nft_expr!(cmp == *protocol));
            port(rule, *peer_port, comes_in);
            if let Some(own_port) = own_port {
                port(rule, *own_port, !comes_in);
            }
        }
        What::Icmp { protocol, kind } => {
            rule.add_expr(&nft_expr!(meta l4proto));
            rule.add_expr(&nft_expr!(cmp == *protocol));
            // The type is the first byte.
            rule.add_expr(&nft_expr!(payload_raw th 0, 8));
            rule.add_expr(&nft_expr!(cmp == *kind));
        }
    }
}

/// UDP has its ports where TCP has them.
#[inline]
fn port(rule: &mut Rule<'_>, port: u16, is_source: bool) {
    if is_source {
        rule.add_expr(&nft_expr!(payload tcp sport));
    } else {
        rule.add_expr(&nft_expr!(payload tcp dport));
    }
    rule.add_expr(&nft_expr!(cmp == &port.to_be_bytes()[..]));
}

#[inline]
fn of_peer(rule: &mut Rule<'_>, network: IpNetwork, comes_in: bool) {
    let family = match network {
        IpNetwork::V4(_) => libc::NFPROTO_IPV4,
        IpNetwork::V6(_) => libc::NFPROTO_IPV6,
    };
    let family = u8::try_from(family).expect("protocol families are 8 bits wide");
    rule.add_expr(&nft_expr!(meta nfproto));
    rule.add_expr(&nft_expr!(cmp == family));
    match (network, comes_in) {
        (IpNetwork::V4(_), true) => rule.add_expr(&nft_expr!(payload ipv4 saddr)),
        (IpNetwork::V4(_), false) => rule.add_expr(&nft_expr!(payload ipv4 daddr)),
        (IpNetwork::V6(_), true) => rule.add_expr(&nft_expr!(payload ipv6 saddr)),
        (IpNetwork::V6(_), false) => rule.add_expr(&nft_expr!(payload ipv6 daddr)),
    }
    let none: IpAddr = match network {
        IpNetwork::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpNetwork::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let mask = network.mask();
    rule.add_expr(&nft_expr!(bitwise mask mask, xor none));
    rule.add_expr(&nft_expr!(cmp == network.network()));
}
