//! Lists that are kept open, as a worker keeps them, while others flush the
//! table, change the rules, or leave no room for answers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ripost::sys::nft::{Element, Found, Kernel, Lists, NftError};
use rustix::net::sockopt;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::ATTACKER;
use crate::lists::{all, are_there, host, kernels, lasting, left, lists, network, networks};
use crate::netns::{reexec_in_namespace, run as tool};

#[test]
fn lists_that_are_kept_open_outlive_what_others_do_to_the_table() {
    reexec_in_namespace(|| {
        for kernel in kernels() {
            let mut lists = lists(kernel);
            let elements = [ATTACKER, "2001:db8::1", "198.51.100.0/24"]
                .map(|text| lasting(network(text), 600));
            all(lists.add(&elements).unwrap());
            for done in [
                "flush ruleset",
                "delete table inet ripost",
                "delete chain inet ripost firewall_drop",
                "flush chain inet ripost firewall_drop; delete set inet ripost firewall_drop_4_24",
            ] {
                tool("nft", &[done]);
                let changes = all(lists.add(&elements).unwrap());
                assert!(changes.iter().all(|c| c.after != Found::Missing), "{done}");
                assert_eq!(
                    changes[2].before == Found::Missing,
                    !done.contains("delete chain")
                );
                let chain = tool("nft", &["list", "chain", "inet", "ripost", "firewall_drop"]);
                assert_eq!(chain.matches(" drop").count(), 3, "{done}: {chain}");
            }
            tool("nft", &["flush ruleset"]);
            let gone = all(lists.delete(&networks(&elements)).unwrap());
            assert!(gone.iter().all(|c| c.before == Found::Missing));
        }
    });
}

/// Runs `work` while another thread does the other thing over and over.
fn meanwhile<T>(mut other: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    let (running, over) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            other();
            running.wait();
            while !over.load(Ordering::Relaxed) {
                other();
            }
        });
        running.wait();
        let result = work();
        over.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn a_batch_gets_through_while_others_change_the_rules_without_a_pause() {
    reexec_in_namespace(|| {
        let kernel = Kernel::probe();
        let mut lists = lists(kernel);
        let elements: Vec<Element> = (0..5_000).map(|n| lasting(host(n), 600)).collect();
        let longer: Vec<Element> = (0..5_000).map(|n| lasting(host(n), 900)).collect();
        let mut noise = Lists::open("noise", kernel).unwrap();
        let mut seconds = 60;
        let noise = || {
            seconds += 1;
            all(noise.add(&[lasting(network(ATTACKER), seconds)]).unwrap());
        };
        meanwhile(noise, || {
            all(lists.add(&elements).unwrap());
            all(lists.add(&longer).unwrap());
            assert_eq!(are_there(&mut lists, &elements), 5_000);
            all(lists.delete(&networks(&elements)).unwrap());
            assert_eq!(are_there(&mut lists, &elements), 0);
        });
    });
}

#[test]
fn a_batch_is_whole_after_flushes_that_came_in_between() {
    reexec_in_namespace(|| {
        let elements: Vec<Element> = (0..20_000).map(|n| lasting(host(n), 600)).collect();
        let mut lists = lists(Kernel::probe());
        let mut flushes = 0;
        let flush = || {
            tool("nft", &["flush ruleset"]);
            flushes += 1;
        };
        meanwhile(flush, || {
            // It may or may not get through; what it says is all that counts.
            for change in lists.add(&elements).into_iter().flatten().flatten() {
                assert_ne!(change.after, Found::Missing);
            }
        });
        assert!(flushes > 1);
        all(lists.add(&elements).unwrap());
        assert_eq!(are_there(&mut lists, &elements), elements.len());
    });
}

#[test]
fn elements_that_end_while_they_are_deleted_are_no_failure() {
    reexec_in_namespace(|| {
        for kernel in kernels() {
            let mut lists = lists(kernel);
            // Eight in each millisecond, from the first on.
            let elements: Vec<Element> = (0..5_000)
                .map(|n| Element {
                    network: host(n),
                    lasts: Some(Duration::from_millis(u64::from(n) / 8)),
                })
                .collect();
            all(lists.add(&elements).unwrap());
            let changes = all(lists.delete(&networks(&elements)).unwrap());
            assert!(changes.iter().all(|change| change.after == Found::Missing));
        }
    });
}

/// The sockets of this process: the number of each, and which it is.
fn sockets() -> BTreeSet<(i32, PathBuf)> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let number = path.file_name().unwrap().to_str().unwrap().parse();
        // The folder that is read here is gone by now.
        Some((number.unwrap(), std::fs::read_link(path).ok()?))
    });
    links
        .filter(|(_, link)| link.to_string_lossy().starts_with("socket:"))
        .collect()
}

#[test]
fn answers_that_do_not_fit_the_receive_buffer_are_asked_for_again() {
    reexec_in_namespace(|| {
        let before = sockets();
        let mut lists = lists(Kernel::probe());
        let new = sockets();
        let (socket, _) = new.difference(&before).next().unwrap();
        let socket = *socket;
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let socket = pidfd_getfd(&own, socket, PidfdGetfdFlags::empty()).unwrap();
        // The kernel makes this 2,304 bytes, which is two answers.
        sockopt::set_socket_recv_buffer_size(&socket, 1).unwrap();
        let elements: Vec<Element> = (0..500).map(|n| lasting(host(n), 600)).collect();
        let changes = all(lists.add(&elements).unwrap());
        assert!(changes.iter().all(|change| left(change.after).is_some()));
        assert_eq!(are_there(&mut lists, &elements), elements.len());
        // Four messages that fail in one transaction.
        let stray: Vec<Element> = (0..4)
            .map(|n| Element {
                network: network(&format!("10.{n}.0.0/{}", 20 + n)),
                lasts: Some(Duration::MAX),
            })
            .collect();
        let refused = lists.add(&stray).unwrap();
        assert!(
            refused
                .iter()
                .all(|change| matches!(change, Err(NftError::TooLong)))
        );
        all(lists.delete(&networks(&elements)).unwrap());
        assert_eq!(are_there(&mut lists, &elements), 0);
    });
}
