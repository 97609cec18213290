//! Very many attackers in one write: how long until the last of them is
//! dropped, what that costs in processor time and memory, and where.
//!
//! `RIPOST_BENCH_BURST` sets how many; without it, 5,000 and then, on fresh
//! daemons, 100,000.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark starts programs, looks at the time, and fails by panicking"
)]

mod measured;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use measured::growing::Counted;
use measured::programs::{Cost, Program, programs};
use support::alert::Alert;
use support::home::{Home, response};
use support::isolation;
use support::net::Net;

const COUNT: &str = "RIPOST_BENCH_BURST";

/// Measured unless [`COUNT`] says otherwise.
const COUNTS: [&str; 2] = ["5000", "100000"];

fn main() {
    let is_told = std::env::var_os(COUNT).is_some();
    if is_told || isolation::is_inside() || !std::env::args().any(|word| word == "--bench") {
        return measured::inside::isolated(measure);
    }
    for count in COUNTS {
        measured::inside::again(&[(COUNT, count)]);
    }
}

fn measure() {
    let count = measured::number(COUNT, 5_000);
    let (net, home) = (Net::new(), Home::new());
    home.configure(&[&response("firewall-drop", "5763", "3600")]);
    let pair = measured::quiet_pair(&net, &home);
    // Everything is loaded, and its worker runs.
    home.alert(&[Alert::sshd("203.0.113.1")]);
    net.wait_blocked("203.0.113.1", Duration::from_secs(10));
    let programs = programs(&pair);
    let before: Vec<Cost> = programs.iter().map(Program::cost).collect();

    let mut dropped = Counted::of(&home, "logs/active-responses.log", b": Ended\n");
    let mut told = Counted::of(&home, "logs/responses.json", b"\"state\":\"applied\"");
    let addresses: Vec<IpAddr> = (0..count).map(measured::attacker).collect();
    let alerts = measured::alerts(&addresses);
    let written = Instant::now();
    home.alert(&alerts);
    let all_dropped = dropped.wait(count, written);
    let all_told = told.wait(count, written);
    measured::assert_arrive(&net, &addresses, false);

    println!("\n{count} attackers in one write");
    println!("  last one dropped (looked up in the kernel)  {all_dropped:>8.2?}");
    println!("  last one told of in responses.json          {all_told:>8.2?}");
    print_costs(&programs, &before, count);
    for program in &programs {
        program.print_threads(count);
    }
    println!("aim: 5,000 in 1 s, 100,000 in 10 s and 150 MB, 0.2 ms a block\n");
}

fn print_costs(programs: &[Program], before: &[Cost], count: u32) {
    println!(
        "  {:<18}{:>14}{:>14}{:>14}",
        "", "CPU ms a block", "peak MB", "MB after"
    );
    let (mut cpu, mut peak, mut rss) = (0.0, 0.0, 0.0);
    for (program, before) in programs.iter().zip(before) {
        let after = program.cost();
        let each = (after.cpu - before.cpu).as_secs_f64() * 1e3 / f64::from(count);
        println!(
            "  {:<18}{each:>14.3}{:>14.1}{:>14.1}",
            program.name, after.peak_mb, after.rss_mb
        );
        cpu += each;
        peak += after.peak_mb;
        rss += after.rss_mb;
    }
    println!("  {:<18}{cpu:>14.3}{peak:>14.1}{rss:>14.1}", "all");
}
