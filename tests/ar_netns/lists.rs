//! The lists of addresses and networks in the kernel, changed by the thousand.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Barrier;
use std::time::Duration;

use ipnetwork::IpNetwork;
use ripost::sys::nft::{Change, Element, Found, Held, Kernel, Lists, NftError};

use crate::ATTACKER;
use crate::netns::{reexec_in_namespace, run as tool, wait_for};
use crate::run::FIREWALL_DROP;

pub fn lists(kernel: Kernel) -> Lists {
    Lists::open(FIREWALL_DROP, kernel).unwrap()
}

/// A network, or an address as the network of one host.
pub fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// One of many.
pub fn host(number: u32) -> IpNetwork {
    IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number)).into()
}

/// The changes, none of which was refused.
pub fn all<E: Debug>(changes: Vec<Result<Change, E>>) -> Vec<Change> {
    changes.into_iter().map(Result::unwrap).collect()
}

pub fn left(found: Found) -> Option<Duration> {
    match found {
        Found::There(Held { left, .. }) => left,
        Found::Missing => panic!("it is missing"),
    }
}

fn hits(found: Found) -> Option<u64> {
    match found {
        Found::There(Held { hits, .. }) => hits,
        Found::Missing => panic!("it is missing"),
    }
}

#[test]
fn what_was_decided_on_an_older_state_is_decided_anew() {
    reexec_in_namespace(|| {
        let longest = 4;
        for round in 1..=250 {
            let network = IpAddr::from([198, 51, 100, round]).into();
            let start = Barrier::new(longest);
            std::thread::scope(|scope| {
                for minutes in 1..=longest {
                    let start = &start;
                    scope.spawn(move || {
                        let mut lists = lists(Kernel::probe());
                        let lasts = Duration::from_secs(minutes as u64 * 60);
                        start.wait();
                        let lasts = Some(lasts);
                        all(lists.add(&[Element { network, lasts }]).unwrap());
                    });
                }
            });
            let found = lists(Kernel::probe()).look_up(&[network]).unwrap()[0];
            let right = Duration::from_secs(longest as u64 * 60 - 10);
            assert!(left(found) > Some(right), "{found:?}");
        }
    });
}

/// Every kind of kernel that the running one can stand in for: a newer one
/// does all that an older one does.
pub fn kernels() -> Vec<Kernel> {
    let here = Kernel::probe();
    [
        (false, false, false),
        (false, false, true),
        (true, false, true),
        (true, true, true),
    ]
    .map(|(confirms, renews, counts)| Kernel {
        confirms,
        renews,
        counts,
    })
    .into_iter()
    .filter(|kernel| {
        kernel.confirms <= here.confirms
            && kernel.renews <= here.renews
            && kernel.counts <= here.counts
    })
    .collect()
}

#[test]
fn a_block_is_prolonged_and_never_shortened_whatever_the_kernel() {
    reexec_in_namespace(|| {
        let minutes = |n: u64| Some(Duration::from_secs(n * 60));
        for kernel in kernels() {
            tool("nft", &["flush", "ruleset"]);
            let attacker = network(ATTACKER);
            let mut lists = lists(kernel);
            for (lasts, then) in [
                (minutes(10), minutes(10)),
                (minutes(1), minutes(10)),
                (minutes(20), minutes(20)),
                (None, None),
                (minutes(1), None),
            ] {
                let network = attacker;
                let change = all(lists.add(&[Element { network, lasts }]).unwrap())[0];
                let right = match (left(change.after), then) {
                    (None, None) => true,
                    (Some(left), Some(then)) => {
                        left <= then && left > then - Duration::from_secs(10)
                    }
                    (None, Some(_)) | (Some(_), None) => false,
                };
                assert!(right, "{kernel:?}: {lasts:?} made it {change:?}");
                assert_eq!(lists.look_up(&[network]).unwrap().len(), 1);
            }
            // Only an element that was made anew has lost its comment.
            let other = "198.51.100.9 timeout 1m comment \"mark\"";
            let element = format!("add element inet ripost firewall_drop_4 {{ {other} }}");
            tool("nft", &[&element]);
            let element = Element {
                network: network("198.51.100.9"),
                lasts: minutes(10),
            };
            let change = all(lists.add(&[element]).unwrap())[0];
            assert!(left(change.after) > minutes(9));
            let set = tool("nft", &["list", "set", "inet", "ripost", "firewall_drop_4"]);
            assert_eq!(set.contains("mark"), kernel.renews, "{kernel:?}: {set}");

            let change = all(lists.delete(&[attacker]).unwrap())[0];
            assert_eq!((left(change.before), change.after), (None, Found::Missing));
        }
    });
}

#[test]
fn a_block_of_the_same_length_is_renewed_whatever_the_kernel() {
    reexec_in_namespace(|| {
        for kernel in kernels() {
            tool("nft", &["flush", "ruleset"]);
            let element = Element {
                network: network(ATTACKER),
                lasts: Some(Duration::from_secs(600)),
            };
            let mut lists = lists(kernel);
            all(lists.add(&[element]).unwrap());
            let spent = Duration::from_millis(200);
            wait_for("some of it is over", || {
                let found = lists.look_up(&[element.network]).unwrap()[0];
                left(found) < Some(Duration::from_secs(600) - spent)
            });
            let change = all(lists.add(&[element]).unwrap())[0];
            let (before, after) = (left(change.before), left(change.after));
            assert!(
                after > before.map(|before| before + spent / 2),
                "{kernel:?}: {change:?}"
            );
        }
    });
}

#[test]
fn ten_thousand_addresses_are_one_transaction() {
    reexec_in_namespace(|| {
        for kernel in kernels() {
            tool("nft", &["flush", "ruleset"]);
            // One of them twice.
            let networks: Vec<IpNetwork> = (0..10_000_u32).map(|n| host(n % 9_999)).collect();
            let mut elements: Vec<Element> = networks
                .iter()
                .map(|&network| Element {
                    network,
                    lasts: Some(Duration::from_secs(600)),
                })
                .collect();
            let mut lists = lists(kernel);
            // A part is there already, for less.
            for element in &mut elements[1..11] {
                element.lasts = Some(Duration::from_secs(60));
            }
            all(lists.add(&elements[1..11]).unwrap());
            for element in &mut elements[1..11] {
                element.lasts = Some(Duration::from_secs(600));
            }
            let changes = all(lists.add(&elements).unwrap());
            assert!(changes.iter().all(|change| change.after != Found::Missing));
            let there = changes
                .iter()
                .filter(|change| change.before != Found::Missing);
            assert_eq!(there.count(), 10);
            let changes = all(lists.delete(&networks).unwrap());
            assert!(changes.iter().all(|change| change.after == Found::Missing));
            let set = tool("nft", &["list", "set", "inet", "ripost", "firewall_drop_4"]);
            assert!(!set.contains("elements"), "{set}");
        }
    });
}

#[test]
fn the_lists_of_two_executables_do_not_touch_each_other() {
    reexec_in_namespace(|| {
        let network = network(ATTACKER);
        let element = Element {
            network,
            lasts: None,
        };
        let mut one = lists(Kernel::probe());
        let mut other = Lists::open("block-ip", Kernel::probe()).unwrap();
        all(one.add(&[element]).unwrap());
        all(other.add(&[element]).unwrap());
        all(one.delete(&[network]).unwrap());
        assert_eq!(one.look_up(&[network]).unwrap(), [Found::Missing]);
        assert_eq!(left(other.look_up(&[network]).unwrap()[0]), None);
        let chain = tool("nft", &["list", "chain", "inet", "ripost", "block_ip"]);
        assert_eq!(chain.matches(" drop").count(), 2, "{chain}");
    });
}

pub fn lasting(network: IpNetwork, seconds: u64) -> Element {
    Element {
        network,
        lasts: Some(Duration::from_secs(seconds)),
    }
}

pub fn networks(elements: &[Element]) -> Vec<IpNetwork> {
    elements.iter().map(|element| element.network).collect()
}

pub fn are_there(lists: &mut Lists, elements: &[Element]) -> usize {
    let found = lists.look_up(&networks(elements)).unwrap();
    found
        .iter()
        .filter(|found| **found != Found::Missing)
        .count()
}

#[test]
fn hosts_and_networks_of_both_families_go_in_and_out_by_the_ten_thousand() {
    reexec_in_namespace(|| {
        let mut lists = lists(Kernel::probe());
        let elements: Vec<Element> = (0..25_000_u32)
            .map(|n| match n % 5 {
                0 => lasting(host(n), 600),
                1 => lasting(network(&format!("2001:db8::{:x}", n / 5)), 600),
                2 => lasting(network(&format!("2001:db8:0:{:x}::/64", n / 5)), 600),
                3 => lasting(
                    network(&format!("172.{}.{}.0/24", n / 5 / 256, n / 5 % 256)),
                    600,
                ),
                _ => lasting(
                    network(&format!("{}.{}.0.0/20", n / 5 / 256 + 64, n / 5 % 256)),
                    600,
                ),
            })
            .collect();
        let changes = all(lists.add(&elements).unwrap());
        assert_eq!(changes.len(), elements.len());
        for (element, change) in elements.iter().zip(&changes) {
            assert_eq!(change.before, Found::Missing, "{element:?}");
            assert!(
                left(change.after) > Some(Duration::from_secs(500)),
                "{element:?}"
            );
        }
        assert_eq!(are_there(&mut lists, &elements), elements.len());
        let (some, others) = elements.split_at(12_345);
        all(lists.delete(&networks(some)).unwrap());
        assert_eq!(are_there(&mut lists, some), 0);
        assert_eq!(are_there(&mut lists, others), others.len());
        all(lists.delete(&networks(others)).unwrap());
        assert_eq!(are_there(&mut lists, others), 0);
    });
}

#[test]
fn what_the_kernel_refuses_keeps_nothing_else_out() {
    reexec_in_namespace(|| {
        let mut lists = lists(Kernel::probe());
        let mut elements: Vec<Element> = (0..3_000).map(|n| lasting(host(n), 600)).collect();
        for bad in [0, 1_500, 1_501, 2_999] {
            elements[bad].lasts = Some(Duration::MAX);
        }
        elements.push(lasting(network("0.0.0.0/0"), 600));
        elements.push(lasting(network("::/0"), 600));
        let changes = lists.add(&elements).unwrap();
        for (at, change) in changes.iter().enumerate() {
            match at {
                0 | 1_500 | 1_501 | 2_999 => assert!(matches!(change, Err(NftError::TooLong))),
                3_000.. => assert!(matches!(change, Err(NftError::Everything))),
                _ => assert!(left(change.as_ref().unwrap().after).is_some(), "{at}"),
            }
        }
        assert_eq!(are_there(&mut lists, &elements), 2_996);
    });
}

#[test]
fn a_set_of_another_shape_keeps_the_other_family_in_force() {
    reexec_in_namespace(|| {
        tool("nft", &["add table inet ripost"]);
        tool(
            "nft",
            &["add set inet ripost firewall_drop_4 { type inet_service; }"],
        );
        tool(
            "nft",
            &["add set inet ripost firewall_drop_6_64 { type ipv6_addr; flags interval; }"],
        );
        let good = ["2001:db8::1", "198.51.100.0/24"].map(network);
        let bad = [ATTACKER, "2001:db8::/64"].map(network);
        let elements: Vec<Element> = good.iter().chain(&bad).map(|&n| lasting(n, 600)).collect();
        let mut lists = lists(Kernel::probe());
        let changes = lists.add(&elements).unwrap();
        let refused = changes
            .iter()
            .map(|change| matches!(change, Err(NftError::OtherShape)));
        assert_eq!(refused.collect::<Vec<_>>(), [false, false, true, true]);
        assert!(changes[0].is_ok() && changes[1].is_ok());
        // The rules for what is good are there, and none for a set in which an
        // address would be taken for something else.
        let chain = tool("nft", &["list", "chain", "inet", "ripost", "firewall_drop"]);
        assert_eq!(chain.matches(" drop").count(), 2, "{chain}");
    });
}

#[test]
fn a_full_set_takes_what_it_can_and_says_so_of_the_rest() {
    reexec_in_namespace(|| {
        tool("nft", &["add table inet ripost"]);
        let set = "{ type ipv4_addr; flags timeout; size 100; }";
        tool(
            "nft",
            &[&format!("add set inet ripost firewall_drop_4 {set}")],
        );
        let elements: Vec<Element> = (0..1_000).map(|n| lasting(host(n), 600)).collect();
        let mut lists = lists(Kernel::probe());
        let changes = lists.add(&elements).unwrap();
        let full = |change: &&Result<_, _>| matches!(change, Err(NftError::Full));
        assert_eq!(changes.iter().filter(full).count(), 900);
        assert_eq!(are_there(&mut lists, &elements), 100);
        let in_place = changes
            .iter()
            .zip(&elements)
            .filter(|(change, _)| change.is_ok());
        let elements: Vec<Element> = in_place.map(|(_, element)| *element).collect();
        assert_eq!(are_there(&mut lists, &elements), 100);
    });
}

/// Sends as many datagrams over the loopback.
fn send(from: &str, count: u32) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    for _ in 0..count {
        // Without a listener the second would be refused, were one to arrive.
        socket.send_to(b"x", "127.0.0.1:9").unwrap();
    }
}

#[test]
fn the_packets_of_each_element_are_counted() {
    reexec_in_namespace(|| {
        let mut lists = lists(Kernel::probe());
        let watched = ["127.0.0.2", "127.0.0.3", "127.0.1.0/24"].map(network);
        all(lists
            .add(&watched.map(|network| lasting(network, 600)))
            .unwrap());
        send("127.0.0.2", 3);
        send("127.0.1.7", 2);
        send("127.0.1.8", 2);
        let hits = |lists: &mut Lists| {
            let found = lists.look_up(&watched).unwrap();
            found.into_iter().map(hits).collect::<Vec<_>>()
        };
        // The loopback delivers a moment later.
        wait_for("all are counted", || {
            hits(&mut lists) == [Some(3), Some(0), Some(4)]
        });
        // Prolonging does not forget them where elements are renewed.
        if Kernel::probe().renews {
            all(lists
                .add(&watched.map(|network| lasting(network, 900)))
                .unwrap());
            assert_eq!(hits(&mut lists), [Some(3), Some(0), Some(4)]);
        }
    });
}

#[test]
fn a_set_without_counters_stays_in_use() {
    reexec_in_namespace(|| {
        let new = Kernel::probe();
        let old = Kernel {
            counts: false,
            ..new
        };
        let elements = [ATTACKER, "2001:db8::1"].map(|text| lasting(network(text), 600));
        all(lists(old).add(&elements).unwrap());
        let mut lists = lists(new);
        // The rules are to be written, so the sets are declared as well.
        tool("nft", &["flush chain inet ripost firewall_drop"]);
        let more = ["198.51.100.8", "192.0.2.0/28"].map(|text| lasting(network(text), 600));
        let changes = all(lists.add(&more).unwrap());
        assert_eq!([0, 1].map(|at| hits(changes[at].after)), [None, Some(0)]);
        assert_eq!(are_there(&mut lists, &elements), 2);
    });
}
