//! What blocks cost every packet that is none of theirs: datagrams from many
//! addresses over virtual wires, with more and more addresses in force, in our
//! table, in an ipset, and as one rule of iptables each.
//!
//! `RIPOST_BENCH_ELEMENTS` sets the largest number in our table and in the
//! ipset (1000000).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark starts programs, looks at the time, and fails by panicking"
)]

#[path = "measured/inside.rs"]
mod inside;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/isolation.rs"]
mod isolation;
#[path = "packets/wire.rs"]
mod wire;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

use ripost::sys::nft::{Element, Kernel, Lists};
use wire::{Host, Wires};

const ELEMENTS: [u32; 4] = [0, 1_000, 100_000, 1_000_000];

/// More than 10,000 rules take iptables minutes, and each packet very long.
const RULES: [u32; 3] = [0, 1_000, 10_000];

/// How much more a packet may cost with the largest number in force.
const AIM: f64 = 1.20;

/// The largest transaction of ours.
const BATCH: usize = 10_000;

fn main() {
    inside::isolated(measure);
}

fn measure() {
    let most = std::env::var("RIPOST_BENCH_ELEMENTS")
        .map_or(1_000_000, |text| text.parse::<u32>().unwrap());
    let wires = Wires::new();
    println!("\nns per packet that is let through, from 20,000 addresses in turn, beside a host");
    println!("with the same rules and nothing in force; one call in ten was cheaper\n");
    println!(
        "{:<26}{:>10}{:>10}{:>12}{:>8}{:>16}",
        "", "in force", "ns", "with none", "ratio", "ns if dropped"
    );
    row("no rules on either", 0, &wires);
    let ours = rows("Ripost", &ELEMENTS, most, &wires, in_our_table);
    if exists("ipset") {
        rows("ipset and iptables", &ELEMENTS, most, &wires, in_ipset);
    } else {
        println!("{:<26}not installed (apt install ipset)", "ipset");
    }
    if exists("iptables") {
        rows("a rule of iptables each", &RULES, most, &wires, as_rules);
    } else {
        println!("{:<26}not installed (apt install iptables)", "iptables");
    }
    println!("\nRipost with {most} in force: {ours:.2} of none in force; aim <= {AIM:.2}\n");
}

/// A row for each of these numbers that is not larger than `most`; returns the
/// last ratio.
fn rows(what: &str, counts: &[u32], most: u32, wires: &Wires, fill: fn(Host, u32)) -> f64 {
    for host in [Host::None, Host::Some] {
        on(host, "nft", "flush ruleset");
        fill(host, 0);
    }
    let mut last = f64::NAN;
    for count in counts.iter().filter(|count| **count <= most) {
        if *count > 0 {
            fill(Host::Some, *count);
        }
        last = row(what, *count, wires);
    }
    for host in [Host::None, Host::Some] {
        on(host, "nft", "flush ruleset");
    }
    last
}

/// Measures and prints one line; returns the cost as a multiple of that with
/// nothing in force.
fn row(what: &str, count: u32, wires: &Wires) -> f64 {
    let cost = wires.measure(false);
    let ratio = cost.some / cost.none;
    let dropped = match count {
        0 => "-".to_owned(),
        _ => format!("{:.0}", wires.measure(true).some),
    };
    println!(
        "{what:<26}{count:>10}{:>10.0}{:>12.0}{:>8.2}{dropped:>16}",
        cost.some, cost.none, ratio
    );
    ratio
}

/// The blocked address of this number, in 10.0.0.0/8.
fn blocked(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

/// Runs a tool on the network of a host.
fn on(host: Host, tool: &str, words: &str) {
    let net = format!("--net=/run/netns/{}", host.name());
    let words = words.split(' ');
    let arguments: Vec<&str> = [net.as_str(), tool].into_iter().chain(words).collect();
    isolation::run("nsenter", &arguments);
}

/// Brings our table to so many elements. That it is there with none, too, takes
/// an element that is taken away again.
fn in_our_table(host: Host, count: u32) {
    let element = |number| Element {
        network: IpAddr::from(blocked(number)).into(),
        lasts: Some(Duration::from_secs(3600)),
    };
    host.within(|| {
        let mut lists = Lists::open("firewall-drop", Kernel::probe()).unwrap();
        let numbers: Vec<u32> = (0..count.max(1)).collect();
        for some in numbers.chunks(BATCH) {
            let batch: Vec<Element> = some.iter().map(|number| element(*number)).collect();
            for change in lists.add(&batch).unwrap() {
                change.unwrap();
            }
        }
        if count == 0 {
            lists.delete(&[element(0).network]).unwrap();
        }
    });
}

/// Makes an ipset, which a rule of iptables asks; with more than none, brings
/// it to so many.
fn in_ipset(host: Host, count: u32) {
    let head = match count {
        0 => "create bench hash:ip timeout 3600 counters maxelem 1048576\n",
        _ => "flush bench\n",
    };
    let lines = (0..count).fold(head.to_owned(), |mut text, number| {
        writeln!(text, "add bench {}", blocked(number)).unwrap();
        text
    });
    feed(host, &["ipset", "restore"], &lines);
    if count == 0 {
        let rule = "-t raw -A PREROUTING -m set --match-set bench src -j DROP";
        on(host, "iptables", rule);
    }
}

/// So many rules, as Wazuh and OSSEC make them.
fn as_rules(host: Host, count: u32) {
    let mut text = String::from("*filter\n:INPUT ACCEPT [0:0]\n");
    for number in 0..count {
        writeln!(text, "-A INPUT -s {}/32 -j DROP", blocked(number)).unwrap();
    }
    text.push_str("COMMIT\n");
    feed(host, &["iptables-restore"], &text);
}

fn exists(tool: &str) -> bool {
    Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Runs a tool on the network of a host, with this on its stdin.
fn feed(host: Host, words: &[&str], text: &str) {
    let mut child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", host.name()))
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "{words:?}");
}
