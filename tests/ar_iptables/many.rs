//! Many blocks in one run, as a worker has them.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ipnetwork::IpNetwork;
use ripost::ar::block::Block;
use ripost::ar::iptables::{Before, Iptables};
use ripost::ar::{Done, Fail};
use ripost::sys::nft::Element;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::Home;
use crate::{ATTACKER, BLOCK_IP};

/// How often this program was run, which a script before it counts.
fn counted(name: &str) -> impl Fn() -> usize {
    const RUNS: &str = "/run/runs";
    tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
    let path = format!("/usr/local/sbin/{name}");
    let script = format!("#!/bin/sh\necho run >>{RUNS}\nexec /usr/sbin/{name} \"$@\"\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    || fs::read_to_string(RUNS).map_or(0, |text| text.lines().count())
}

#[test]
fn many_are_blocked_and_taken_back_at_once_and_the_few_under_iptables_too() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        // The table is there, for somebody else.
        tool("iptables-legacy", &["-t", "raw", "-S"]);
        let runs = counted("iptables-legacy");
        let networks: Vec<IpNetwork> = (0..2_000_u32)
            .map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()).into())
            .collect();
        let elements: Vec<_> = networks
            .iter()
            .map(|&network| Element {
                network,
                lasts: Some(Duration::from_secs(600)),
            })
            .collect();
        let mut block = Block::of(BLOCK_IP);
        let all = |done: Vec<Result<Done, Fail>>, wanted: Done| {
            assert_eq!(done.len(), networks.len());
            for one in done {
                assert_eq!(one.unwrap(), wanted);
            }
        };
        all(block.add_all(&elements), Done::applied());
        all(block.add_all(&elements), Done::in_place());
        assert_eq!(runs(), 0);
        all(block.delete_all(&networks), Done::reverted());
        // At most once for a table and second.
        assert!(runs() <= 20, "{}", runs());

        block.add_all(&elements[..1_000]);
        Iptables::of(BLOCK_IP).add(networks[1_000]).unwrap();
        // Whoever has looked just now looks again a second later.
        let mut block = Block::of(BLOCK_IP);
        let done = block.delete_all(&networks[999..1_002]);
        let done: Vec<Done> = done.into_iter().map(Result::unwrap).collect();
        assert_eq!(done, [Done::reverted(), Done::reverted(), Done::absent()]);
        let rules = tool("iptables-legacy", &["-t", "raw", "-S", "RIPOST-block-ip"]);
        assert!(!rules.contains("DROP"), "{rules}");
    });
}

#[test]
fn where_no_chain_of_ours_was_is_looked_at_again_after_an_add() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        tool("iptables-legacy", &["-t", "raw", "-S"]);
        let network = ATTACKER.parse().unwrap();
        let mut iptables = Iptables::of(BLOCK_IP);
        for _ in 0..2 {
            assert_eq!(iptables.delete(network).unwrap(), Before::Missing);
        }
        iptables.add(network).unwrap();
        assert_eq!(iptables.delete(network).unwrap(), Before::There);
    });
}
