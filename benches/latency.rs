//! From an alert in the file to a dropped packet: how long it takes and what it
//! costs, on the real programs in namespaces, beside what was measured of
//! others.
//!
//! `RIPOST_BENCH_ALERTS` sets how many alerts are written one at a time (300),
//! `RIPOST_BENCH_BURST` how many at once (1000).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark starts programs, looks at the time, and fails by panicking"
)]

#[path = "measured/inside.rs"]
mod inside;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::alert::Alert;
use support::daemon::{Daemon, Pair};
use support::home::{Home, response};
use support::isolation;
use support::net::{Attempt, Net};
use support::random::Random;
use support::wait_for;

/// A probe that is not answered for so long was dropped: answers come within
/// some 50 µs on a virtual wire.
const DROPPED: Duration = Duration::from_millis(20);
/// Pause between two packets, and so the resolution.
const SPACING: Duration = Duration::from_micros(100);
/// Pause between two alerts: the daemons are idle when one comes.
const PAUSE: Duration = Duration::from_millis(30);

/// What others need for the same, measured on this kind of machine: latency in
/// ms, processor time per block in ms, seconds for a burst.
const OTHERS: &[[&str; 5]] = &[
    [
        "Wazuh 4.14.7, execd and script only",
        "6",
        "-",
        "5.8",
        "1,000 in 6.4 s, 5,000 in 41 s",
    ],
    [
        "OSSEC, log line to rule",
        "1138",
        "1987",
        "18.8",
        "300 in 58 s",
    ],
    ["fail2ban", "530", "-", "-", "1,000 in 31-113 s"],
];

/// What is aimed at on an idle machine, in ms.
const AIM: (f64, f64) = (3.0, 15.0);

fn main() {
    inside::isolated(measure);
}

fn measure() {
    let (net, home) = (Net::new(), Home::new());
    home.configure(&[&response("firewall-drop", "5763", "3600")]);
    let pair = Pair::start(&net, &home);
    let single = one_at_a_time(&home, &pair, number("RIPOST_BENCH_ALERTS", 300));
    let burst = all_at_once(&net, &home, &pair, number("RIPOST_BENCH_BURST", 1000));
    report(&single, &burst);
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number"))
    })
}

/// Alerts one at a time: sorted latencies, and processor time per block.
struct Single {
    latencies: Vec<f64>,
    cpu_ms: f64,
}

fn one_at_a_time(home: &Home, pair: &Pair, count: u32) -> Single {
    let mut random = Random::new();
    let before = cpu(pair);
    let mut latencies: Vec<f64> = (0..count)
        .map(|number| {
            // Not in step with anything that ticks.
            sleep(PAUSE + random.span(PAUSE));
            let address = attacker(number);
            let alert = Alert::sshd(&address.to_string());
            let written = Instant::now();
            home.alert(&[alert]);
            1e3 * (first_dropped(address) - written).as_secs_f64()
        })
        .collect();
    let cpu_ms = (cpu(pair) - before).as_secs_f64() * 1e3 / f64::from(count);
    latencies.sort_by(f64::total_cmp);
    Single { latencies, cpu_ms }
}

/// When the first of the packets was sent that did not arrive. Packets are sent
/// one after the other with a short pause, so that the machine is idle but for
/// what is measured.
fn first_dropped(from: IpAddr) -> Instant {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let sent = Instant::now();
        assert!(sent < end, "{from} was not blocked");
        if !Attempt::start(from).answered(DROPPED) {
            return sent;
        }
        sleep(SPACING);
    }
}

/// Many alerts with one write: until the last is in the kernel.
struct Burst {
    count: u32,
    took: Duration,
    cpu_ms: f64,
}

fn all_at_once(net: &Net, home: &Home, pair: &Pair, count: u32) -> Burst {
    let addresses: Vec<IpAddr> = (0..count)
        .map(|number| attacker(100_000 + number))
        .collect();
    let alerts: Vec<Alert> = addresses
        .iter()
        .map(|address| Alert::sshd(&address.to_string()))
        .collect();
    let before = cpu(pair);
    let written = Instant::now();
    home.alert(&alerts);
    let prefix = "198.19.";
    wait_for("all are in the kernel", Duration::from_secs(300), || {
        (net.table().matches(prefix).count() >= alerts.len()).then_some(())
    });
    let took = written.elapsed();
    let cpu_ms = (cpu(pair) - before).as_secs_f64() * 1e3 / f64::from(count);
    for some in addresses.chunks(250) {
        assert!(net.probe(some).iter().all(|arrives| !arrives));
    }
    Burst {
        count,
        took,
        cpu_ms,
    }
}

/// The attacker of this number, in 198.18.0.0/15; those from 100,000 on lie in
/// its upper half.
fn attacker(number: u32) -> IpAddr {
    let (net, number) = match number.checked_sub(100_000) {
        Some(number) => (19, number),
        None => (18, number),
    };
    let [_, _, high, low] = (number + 1).to_be_bytes();
    IpAddr::from([198, net, high, low])
}

/// Processor time of both daemons and of what they have started, so far.
fn cpu(pair: &Pair) -> Duration {
    [&pair.manager, &pair.agentd].map(process_cpu).iter().sum()
}

/// proc_pid_stat(5): fields 14 to 17, own and children's time in ticks, of
/// which every Linux has 100 in a second.
fn process_cpu(daemon: &Daemon) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id())).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks: u64 = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn report(single: &Single, burst: &Burst) {
    let p50 = percentile(&single.latencies, 50);
    let p99 = percentile(&single.latencies, 99);
    let most = percentile(&single.latencies, 100);
    println!(
        "\nalert written to packet dropped, {} alerts",
        single.latencies.len()
    );
    row(["", "p50 ms", "p99 ms", "CPU ms", "burst"]);
    row([
        "Ripost",
        &format!("{p50:.2}"),
        &format!("{p99:.2}"),
        &format!("{:.2}", single.cpu_ms),
        &format!("{} in {:.2} s", burst.count, burst.took.as_secs_f64()),
    ]);
    for other in OTHERS {
        row(*other);
    }
    let (aim50, aim99) = AIM;
    println!(
        "slowest {most:.2} ms; in the burst {:.2} ms CPU a block",
        burst.cpu_ms
    );
    println!("aim on an idle machine: p50 <= {aim50} ms, p99 <= {aim99} ms");
    println!("CPU is that of both daemons and of the executables, for each block\n");
}

fn row(cells: [&str; 5]) {
    let [name, p50, p99, cpu, burst] = cells;
    println!("{name:<38}{p50:>8}{p99:>8}{cpu:>8}  {burst}");
}
