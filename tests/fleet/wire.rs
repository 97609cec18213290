//! Hosts on one switch. The test is on it too, as everybody's gateway and as
//! every attacker; each host has a network namespace and a cable of its own,
//! which can be pulled, or made a bad one.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cable::{Cable, Harm, Luck, SHORTEST};
use crate::support::isolation::{isolated, run};
use crate::support::net::{Attempt, address};
use crate::support::wait_for;

/// Networks of which every address is an attacker's.
const ATTACKERS: &[&str] = &["198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"];

/// The test's own address on the switch.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

/// Its hardware address. A switch without one takes that of one of its cables,
/// and another one as more are plugged in; who knew it answers to the old one.
const GATEWAY_HARDWARE: &str = "02:00:00:00:00:fe";

/// Long enough for an answer over a virtual wire of a busy machine.
const ANSWER: Duration = Duration::from_millis(150);

/// The switch.
pub struct Wire(());

/// A host on it, as the network sees it.
#[derive(Clone, Debug)]
pub struct Space {
    name: String,
    pub address: Ipv4Addr,
}

impl Wire {
    /// Once for each test.
    pub fn new() -> Self {
        ip("link set lo up");
        ip(&format!(
            "link add switch address {GATEWAY_HARDWARE} type bridge"
        ));
        ip(&format!("addr add {GATEWAY}/24 dev switch"));
        ip("link set switch up");
        for network in ATTACKERS {
            ip(&format!("route add local {network} dev lo"));
        }
        Self(())
    }

    /// Connects another host, 192.0.2.`number`.
    pub fn host(&self, name: &str, number: u8) -> Space {
        let space = Space {
            name: name.to_owned(),
            address: Ipv4Addr::new(192, 0, 2, number),
        };
        let cable = space.cable();
        ip(&format!("netns add {name}"));
        ip(&format!(
            "link add {cable} type veth peer name eth0 netns {name}"
        ));
        ip(&format!("link set {cable} master switch up"));
        space.run("ip", "link set lo up");
        space.run("ip", &format!("addr add {}/24 dev eth0", space.address));
        space.run("ip", "link set eth0 up");
        space.run("ip", &format!("route add default via {GATEWAY}"));
        wait_for("the cable carries packets", Duration::from_secs(10), || {
            space.hears(GATEWAY.into()).then_some(())
        });
        space
    }
}

impl Space {
    /// The end of its cable in the switch.
    fn cable(&self) -> String {
        format!("to-{}", self.name)
    }

    /// The command line that starts a program on it, to be completed.
    pub fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name));
        command
    }

    /// Runs a tool on it; `words` have one blank between them.
    #[track_caller]
    pub fn run(&self, tool: &str, words: &str) -> String {
        let net = format!("--net=/run/netns/{}", self.name);
        let words = words.split(' ');
        let line: Vec<&str> = [net.as_str(), tool].into_iter().chain(words).collect();
        run("nsenter", &line)
    }

    /// Pulls the cable.
    pub fn cut(&self) {
        ip(&format!("link set {} down", self.cable()));
    }

    /// Plugs the cable in again.
    pub fn mend(&self) {
        ip(&format!("link set {} up", self.cable()));
        let gateway = GATEWAY.into();
        wait_for("the cable is mended", Duration::from_secs(10), || {
            self.hears(gateway).then_some(())
        });
    }

    /// Drops everything between this host and another, silently and in both
    /// directions, until [`Space::listen_to`].
    pub fn ignore(&self, other: Ipv4Addr) {
        self.run("nft", "add table inet cut");
        for (chain, field) in [("input", "saddr"), ("output", "daddr")] {
            self.run(
                "nft",
                &format!(
                    "add chain inet cut {chain} {{ type filter hook {chain} priority -400 ; }}"
                ),
            );
            self.run(
                "nft",
                &format!("add rule inet cut {chain} ip {field} {other} drop"),
            );
        }
    }

    pub fn listen_to_all(&self) {
        self.run("nft", "delete table inet cut");
    }

    /// Puts a bad cable in place of its good one: until [`Space::repair`],
    /// frames are lost, late, doubled and overtaken in both directions. Not to
    /// be cut meanwhile.
    pub fn spoil(&self, luck: &Luck) -> Cable {
        let [near, far] = self.splice();
        ip(&format!("link add {near} type veth peer name {far}"));
        ip(&format!("link set {near} master switch up"));
        // These two are no place of the test on the network: it must not answer
        // there when somebody asks who has its addresses.
        ip(&format!("link set {far} arp off up"));
        ip(&format!("link set {} nomaster arp off", self.cable()));
        Cable::between(&far, &self.cable(), luck)
    }

    /// Gives it its good cable again; returns what the bad one has done.
    #[track_caller]
    pub fn repair(&self, bad: Cable) -> Harm {
        let harm = bad.end();
        let [near, _] = self.splice();
        ip(&format!("link del {near}"));
        ip(&format!("link set {} master switch arp on", self.cable()));
        // The kernel may take its time to see that the cable is in its place.
        wait_for("the good cable is back", Duration::from_secs(10), || {
            self.hears(GATEWAY.into()).then_some(())
        });
        harm
    }

    /// The ends of what joins a bad cable to the switch.
    fn splice(&self) -> [String; 2] {
        ["near", "far"].map(|end| format!("{end}-{}", self.name))
    }

    /// Whether a packet from this address arrives here now.
    pub fn arrives(&self, from: &str) -> bool {
        self.hears(address(from))
    }

    fn hears(&self, from: IpAddr) -> bool {
        Attempt::to(from, self.address.into()).answered(ANSWER)
    }

    /// The addresses its firewall drops.
    pub fn dropped(&self) -> Vec<String> {
        let tables = self.run("nft", "list tables");
        if !tables.lines().any(|line| line == "table inet ripost") {
            return Vec::new();
        }
        let table = self.run("nft", "list table inet ripost");
        let words = table.split(|c: char| c.is_whitespace() || c == ',');
        let addresses = words.filter(|word| word.parse::<IpAddr>().is_ok());
        addresses.map(str::to_owned).collect()
    }
}

#[track_caller]
fn ip(words: &str) {
    run("ip", &words.split(' ').collect::<Vec<_>>());
}

#[test]
fn packets_feel_a_bad_cable_and_a_mended_one_is_good() {
    isolated(|| {
        let host = Wire::new().host("web-1", 11);
        // How long answers take, as far as there are any.
        let answers = || -> Vec<Duration> {
            let attempt = |number| {
                let from = address(&format!("198.51.100.{number}"));
                (Instant::now(), Attempt::to(from, host.address.into()))
            };
            let attempts: Vec<_> = (1..=ATTEMPTS).map(attempt).collect();
            let answered = attempts.iter().filter_map(|(began, attempt)| {
                let rest = (ANSWER * 2).saturating_sub(began.elapsed());
                attempt.answered(rest).then(|| began.elapsed())
            });
            answered.collect()
        };
        let bad = host.spoil(&Luck::new());
        let took = answers();
        assert!((50..190).contains(&took.len()), "{took:?}");
        assert!(took.iter().all(|took| *took >= 2 * SHORTEST), "{took:?}");
        let harm = host.repair(bad);
        assert!(harm.lost + harm.late >= ATTEMPTS.into(), "{harm:?}");

        assert_eq!(answers().len(), usize::from(ATTEMPTS));
    });
}

const ATTEMPTS: u8 = 200;
