//! The same work by others, in one run: addresses that are to be blocked, given
//! to Ripost, to fail2ban and to CrowdSec's bouncer as they take them, and to
//! the tools of the system that change the kernel and nothing else.
//!
//! `RIPOST_BENCH_ADD` sets how many go to what takes many at once (5000),
//! `RIPOST_BENCH_EACH` how many to what is started for each (500, fail2ban gets
//! 200 of them at most). What is not installed is said; `scripts/setup bench`
//! installs it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark starts programs, looks at the time, and fails by panicking"
)]

#[path = "adding/crowdsec.rs"]
mod crowdsec;
#[path = "adding/fail2ban.rs"]
mod fail2ban;
mod measured;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "adding/tools.rs"]
mod tools;
#[path = "nft/transaction.rs"]
mod transaction;

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use measured::growing::Counted;
use measured::programs::{Cost, Program, programs};
use support::alert::Alert;
use support::home::{Home, response};
use support::isolation;
use support::net::Net;

/// What adding so many took.
struct Took {
    count: u32,
    wall: Duration,
    /// None: less than the 10 ms in which it is counted.
    cpu: Option<Duration>,
}

/// Why there is nothing to print in a row.
enum Missing {
    /// The Debian package that has it.
    Package(&'static str),
    /// It was started and has not done what it should; what it said last.
    Failed(String),
}

type Row = Result<Took, Missing>;

fn main() {
    measured::inside::isolated(measure);
}

fn measure() {
    let many = measured::number("RIPOST_BENCH_ADD", 5_000);
    let each = measured::number("RIPOST_BENCH_EACH", 500);
    let net = Net::new();
    println!("\nblocking addresses, by others and by us, in one run\n");
    println!(
        "{:<40}{:>8}{:>10}{:>10}{:>10}{:>11}",
        "", "number", "s", "ms each", "CPU ms", "to Ripost"
    );
    let ours = ripost(&net, many);
    let base = ours.wall.as_secs_f64() / f64::from(ours.count);
    print("Ripost: alert to looked-up drop", &Ok(ours), base);
    print(
        "fail2ban, nftables: log line to set",
        &fail2ban::measure("nftables[type=allports, name=bench]", each.min(200)),
        base,
    );
    print(
        "fail2ban, iptables: log line to rule",
        &fail2ban::measure("iptables-allports[name=bench]", each.min(200)),
        base,
    );
    print(
        "CrowdSec's bouncer: decision to set",
        &crowdsec::measure(many),
        base,
    );
    println!("the kernel alone, nothing journalled, looked up or told:");
    for (what, row) in tools::measure(many, each) {
        print(what, &row, base);
    }
    println!("\nWazuh 4.14 (execd and script), measured before: 5,000 in 41 s, 8 ms each\n");
}

fn print(what: &str, row: &Row, base: f64) {
    match row {
        Ok(took) => {
            let wall = took.wall.as_secs_f64();
            let one = wall / f64::from(took.count);
            let cpu = took.cpu.map_or("-".to_owned(), |cpu| {
                format!("{:.3}", cpu.as_secs_f64() * 1e3 / f64::from(took.count))
            });
            let (count, one_ms, ratio) = (took.count, one * 1e3, one / base);
            println!("{what:<40}{count:>8}{wall:>10.3}{one_ms:>10.3}{cpu:>10}{ratio:>10.2}x");
        }
        Err(Missing::Package(package)) => {
            println!("{what:<40}not installed (apt install {package})");
        }
        Err(Missing::Failed(why)) => println!("{what:<40}did not work here: {why}"),
    }
}

/// Alerts in one write, until the last line says that it was looked up.
fn ripost(net: &Net, count: u32) -> Took {
    let home = Home::new();
    home.configure(&[&response("firewall-drop", "5763", "3600")]);
    let pair = measured::quiet_pair(net, &home);
    home.alert(&[Alert::sshd("203.0.113.1")]);
    net.wait_blocked("203.0.113.1", Duration::from_secs(10));
    let programs = programs(&pair);
    let cpu = || -> Duration {
        let costs: Vec<Cost> = programs.iter().map(Program::cost).collect();
        costs.iter().map(|cost| cost.cpu).sum()
    };
    let attackers: Vec<IpAddr> = (0..count).map(measured::attacker).collect();
    let alerts = measured::alerts(&attackers);
    let mut dropped = Counted::of(&home, "logs/active-responses.log", b": Ended\n");
    let before = cpu();
    let written = Instant::now();
    home.alert(&alerts);
    let wall = dropped.wait(count, written);
    Took {
        count,
        wall,
        cpu: Some(cpu() - before),
    }
}

/// Whether there is such a program.
fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Waits until `condition`, and says whether it came to be so in time. These
/// are not our programs: that they fail is no failure of the bench.
fn comes_true(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// What this tool prints; nothing if it fails.
fn printed(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output();
    output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

/// Nothing of what was measured before is in the kernel.
fn clean() {
    isolation::run("nft", &["flush", "ruleset"]);
}
