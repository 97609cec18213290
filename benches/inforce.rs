//! With very many blocks in force: how late those end that end together, what a
//! restart of killed daemons takes and lets through, how long it takes to put
//! all back into an empty kernel, and to take all back.
//!
//! `RIPOST_BENCH_IN_FORCE` sets how many are in force (100000, of which there
//! can be 120000), `RIPOST_BENCH_ENDS` how many more end together (5000, at most
//! 10000).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark starts programs, looks at the time, and fails by panicking"
)]

mod measured;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "inforce/traffic.rs"]
mod traffic;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use measured::growing::Counted;
use measured::programs::{Program, programs};
use support::alert::Alert;
use support::daemon::{self, Pair};
use support::home::{Home, millis, response, text};
use support::isolation;
use support::net::Net;
use traffic::Traffic;

/// The first attacker whose block is short.
const SHORT: u32 = 120_000;

/// How long a short block lasts, in seconds: until all of them are in force on
/// a busy machine, and not much longer.
const SHORT_TIMEOUT: &str = "15";

/// For how long after a restart packets are counted, and to what it costs.
const AFTERWARDS: Duration = Duration::from_secs(3);

fn main() {
    measured::inside::isolated(measure);
}

fn measure() {
    let count = measured::number("RIPOST_BENCH_IN_FORCE", 100_000).min(SHORT);
    let ends = measured::number("RIPOST_BENCH_ENDS", 5_000).min(10_000);
    let (net, home) = (Net::new(), Home::new());
    let long = response("firewall-drop", "5763", "86400");
    let short = response("firewall-drop", "31151", SHORT_TIMEOUT);
    home.configure(&[&long, &short]);
    let attackers: Vec<IpAddr> = (0..count).map(measured::attacker).collect();
    let pair = measured::quiet_pair(&net, &home);
    let mut dropped = Counted::of(&home, "logs/responses.json", b"\"state\":\"applied\"");
    home.alert(&measured::alerts(&attackers));
    dropped.wait(count, Instant::now());
    measured::assert_arrive(&net, &attackers, false);

    println!("\nwith {count} in force");
    end_together(&net, &home, ends);
    let pair = restart(&net, &home, pair);
    let pair = put_back(&net, &home, pair, &attackers);
    revert_all(&net, &home, &pair, &attackers);
}

/// Many that came in one write, and so end within what their alerts took to be
/// read: how late each is, by what the records say.
fn end_together(net: &Net, home: &Home, count: u32) {
    let attackers: Vec<IpAddr> = (SHORT..SHORT + count).map(measured::attacker).collect();
    let alerts: Vec<Alert> = attackers
        .iter()
        .map(|address| Alert::web(&address.to_string()))
        .collect();
    let mut ended = Counted::of(home, "logs/responses.json", b"\"state\":\"reverted\"");
    home.alert(&alerts);
    ended.wait(count, Instant::now());
    measured::assert_arrive(net, &attackers, true);

    let mut ends = HashMap::new();
    let mut late = Vec::new();
    for record in home.responses() {
        match text(&record, "state").as_str() {
            "applied" => drop(ends.insert(text(&record, "action"), record["until"].clone())),
            "reverted" => {
                let until = ends[&text(&record, "action")].clone();
                let until = serde_json::json!({ "until": until });
                late.push(millis(&record, "time") - millis(&until, "until"));
            }
            _ => {}
        }
    }
    late.sort_unstable();
    assert_eq!(late.len(), attackers.len());
    println!(
        "  {count} more that end together: from {} to {} ms late, median {}; aim: each within 1,000 ms",
        late[0],
        late[late.len() - 1],
        late[late.len() / 2]
    );
}

/// Both daemons are killed and started again, while somebody who is blocked
/// does not stop sending.
fn restart(net: &Net, home: &Home, pair: Pair) -> Pair {
    let traffic = Traffic::start(measured::attacker(7));
    let killed = Instant::now();
    pair.kill();
    let (pair, said) = start(net, home, killed);
    std::thread::sleep(AFTERWARDS);
    let (sent, arrived) = traffic.stop();
    println!("  killed and started again: {said}; aim: 1 s");
    println!("    {arrived} of {sent} packets of a blocked address came through; aim: 0");
    print_memory_and_cpu(&pair);
    pair
}

/// As [`restart`], and while nothing runs the kernel loses all rules, as it does
/// when a host is started.
fn put_back(net: &Net, home: &Home, pair: Pair, attackers: &[IpAddr]) -> Pair {
    pair.kill();
    net.server("nft", &["flush", "ruleset"]);
    measured::assert_arrive(net, &attackers[..1], true);
    let began = Instant::now();
    let (pair, said) = start(net, home, began);
    // Some from everywhere: in which order they are put back is not promised.
    let step = attackers.len().div_ceil(250);
    let some: Vec<IpAddr> = attackers.iter().copied().step_by(step).collect();
    let end = Instant::now() + Duration::from_secs(120);
    while net.probe(&some).contains(&true) {
        assert!(Instant::now() < end, "not all blocks were put back");
    }
    let all = began.elapsed().as_secs_f64();
    measured::assert_arrive(net, attackers, false);
    println!("  started with an empty kernel: {said}; all put back after {all:.2} s");
    print_memory_and_cpu(&pair);
    pair
}

fn start(net: &Net, home: &Home, began: Instant) -> (Pair, String) {
    let manager = measured::quiet(net, home, daemon::Program::Manager);
    let manager_ready = began.elapsed().as_secs_f64();
    let agentd = measured::quiet(net, home, daemon::Program::Agentd);
    let ready = began.elapsed().as_secs_f64();
    let said = format!(
        "ready after {ready:.2} s (manager {manager_ready:.2}, then agentd {:.2})",
        ready - manager_ready
    );
    (Pair { manager, agentd }, said)
}

/// `ripostctl revert --all`, until the last one is told of.
fn revert_all(net: &Net, home: &Home, pair: &Pair, attackers: &[IpAddr]) {
    let count = u32::try_from(attackers.len()).unwrap();
    let programs = programs(pair);
    let before: Vec<_> = programs.iter().map(Program::cost).collect();
    let mut reverted = Counted::of(home, "logs/responses.json", b"\"state\":\"reverted\"");
    let began = Instant::now();
    let output = home.ctl(&["revert", "--all", "--yes"]);
    let answered = began.elapsed().as_secs_f64();
    // Those that it did not wait for are taken back all the same.
    let said = match output.status.success() {
        true => "all confirmed",
        false => "not all confirmed by then",
    };
    let all = reverted.wait(count, began).as_secs_f64();
    measured::assert_arrive(net, attackers, true);
    println!(
        "  ripostctl revert --all: all reverted after {all:.2} s; aim: 5 s\n    \
         it answered after {answered:.2} s, {said}"
    );
    for (program, before) in programs.iter().zip(before) {
        let after = program.cost();
        println!(
            "    {:<18}{:>10.3} ms CPU a revert, {:.1} MB at most",
            program.name,
            (after.cpu - before.cpu).as_secs_f64() * 1e3 / f64::from(count),
            after.peak_mb
        );
    }
    println!();
}

/// Of programs that have only been started.
fn print_memory_and_cpu(pair: &Pair) {
    for program in programs(pair) {
        let cost = program.cost();
        println!(
            "    {:<18}{:>10.2} s CPU since it was started, {:.1} MB now, {:.1} MB at most",
            program.name,
            cost.cpu.as_secs_f64(),
            cost.rss_mb,
            cost.peak_mb
        );
    }
}
