//! The tools of the system, and the bare transactions below them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ripost::sys::nft::{Element, Kernel, Lists};

use super::measured::programs::children_cpu;
use super::{Missing, Row, Took, clean, exists, transaction};

const HOUR: Duration = Duration::from_secs(3600);

/// An empty set with timeouts and counters, as ours has.
const SET: &str = "add table inet bench
add set inet bench blocked { type ipv4_addr; flags timeout; counter; }
add chain inet bench blocking { type filter hook prerouting priority raw; }
add rule inet bench blocking ip saddr @blocked drop
";

/// Each in a kernel without rules: `many` for what takes many at once, `each`
/// for what is started for every one.
pub fn measure(many: u32, each: u32) -> Vec<(&'static str, Row)> {
    let nft = |text: String| feed("nft", &["-f", "-"], &text);
    let measures: [(&'static str, &dyn Fn() -> Row); 6] = [
        ("  bare netlink (the floor)", &|| Ok(floor(many))),
        ("  nft -f, one file", &|| {
            nft(SET.to_owned());
            timed(many, || nft(file(many)))
        }),
        ("  ipset restore, one file", &|| ipset(many)),
        ("  nft add element, one process each", &|| {
            nft(SET.to_owned());
            one_by_one("nft", each, |address| {
                format!("add element inet bench blocked {{ {address} timeout 1h }}")
            })
        }),
        ("  iptables -I, one process each", &|| {
            one_by_one("iptables", each, |address| {
                format!("-I INPUT -s {address} -j DROP")
            })
        }),
        ("  iptables-legacy -I, one process each", &|| {
            one_by_one("iptables-legacy", each, |address| {
                format!("-w -I INPUT -s {address} -j DROP")
            })
        }),
    ];
    let rows = measures.map(|(what, measure)| {
        clean();
        (what, measure())
    });
    clean();
    rows.into()
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

fn timed(count: u32, work: impl FnOnce()) -> Row {
    let (began, before) = (Instant::now(), children_cpu());
    work();
    Ok(Took {
        count,
        wall: began.elapsed(),
        cpu: Some(children_cpu() - before).filter(|cpu| !cpu.is_zero()),
    })
}

/// Transactions of 10,000 as bytes that are ready, sent and taken.
fn floor(count: u32) -> Took {
    let element = Element {
        network: IpAddr::from(address(count)).into(),
        lasts: Some(HOUR),
    };
    // Makes the table and the set.
    let mut lists = Lists::open("firewall-drop", Kernel::probe()).unwrap();
    lists.add(&[element]).unwrap();
    let addresses: Vec<Ipv4Addr> = (0..count).map(address).collect();
    let ready: Vec<Vec<u8>> = addresses
        .chunks(10_000)
        .map(|some| transaction::adding(some, HOUR))
        .collect();
    let socket = transaction::socket();
    let began = Instant::now();
    for transaction in &ready {
        transaction::send_whole(&socket, transaction);
    }
    let wall = began.elapsed();
    transaction::assert_taken(&socket);
    // The kernel works it off before the call returns: it is all processor.
    Took {
        count,
        wall,
        cpu: Some(wall),
    }
}

fn file(count: u32) -> String {
    let mut text = String::from("add element inet bench blocked {\n");
    for number in 0..count {
        writeln!(text, "{} timeout 1h,", address(number)).unwrap();
    }
    text + "}\n"
}

fn ipset(count: u32) -> Row {
    if !exists("ipset") {
        return Err(Missing::Package("ipset"));
    }
    let mut text = String::from("create bench hash:ip timeout 3600 counters maxelem 1048576\n");
    for number in 0..count {
        writeln!(text, "add bench {}", address(number)).unwrap();
    }
    let row = timed(count, || feed("ipset", &["restore"], &text));
    feed("ipset", &["restore"], "destroy bench\n");
    row
}

fn one_by_one(tool: &'static str, count: u32, words: impl Fn(Ipv4Addr) -> String) -> Row {
    if !exists(tool) {
        return Err(Missing::Package("iptables"));
    }
    let row = timed(count, || {
        for number in 0..count {
            let words = words(address(number));
            let status = Command::new(tool).args(words.split(' ')).status().unwrap();
            assert!(status.success(), "{tool} {words}");
        }
    });
    if tool == "iptables-legacy" {
        // `nft flush ruleset` does not reach these.
        feed("iptables-legacy-restore", &[], "*filter\nCOMMIT\n");
    }
    row
}

fn feed(tool: &str, arguments: &[&str], text: &str) {
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "{tool}");
}
