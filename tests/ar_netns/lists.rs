//! The lists of addresses in the kernel, kept open as a worker keeps them and
//! changed by the thousand.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Barrier;
use std::time::Duration;

use ipnetwork::IpNetwork;
use ripost::sys::nft::{Change, Element, Found, Held, Kernel, Lists};

use crate::ATTACKER;
use crate::netns::{reexec_in_namespace, run as tool, wait_for};
use crate::run::FIREWALL_DROP;

fn lists(kernel: Kernel) -> Lists {
    Lists::open(FIREWALL_DROP, kernel).unwrap()
}

/// A network, or an address as the network of one host.
fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// One of many.
fn host(number: u32) -> IpNetwork {
    IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number)).into()
}

/// The changes, none of which was refused.
fn all<E: Debug>(changes: Vec<Result<Change, E>>) -> Vec<Change> {
    changes.into_iter().map(Result::unwrap).collect()
}

fn left(found: Found) -> Option<Duration> {
    match found {
        Found::There(Held { left, .. }) => left,
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
fn kernels() -> Vec<Kernel> {
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
