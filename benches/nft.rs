//! What a block costs in bulk: ours, looked up before and after, beside the
//! bare transactions (the floor) and `nft -f` with the same elements.
//!
//! Each is measured for 10,000 elements more, at none and at several numbers
//! of elements in force. `RIPOST_BENCH_ELEMENTS` sets the largest number
//! (100000).
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
#[path = "nft/transaction.rs"]
mod transaction;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

use ipnetwork::IpNetwork;
use ripost::sys::nft::{Element, Found, Kernel, Lists};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The largest transaction of ours.
const BATCH: u32 = 10_000;

/// How often each is measured; the best counts, as others use the machine too.
const REPEATS: u32 = 5;

/// CPU per element that is added, looked up before and after, in µs.
const AIM: f64 = 20.0;

const HOUR: Duration = Duration::from_secs(3600);

fn main() {
    inside::isolated(measure);
}

fn measure() {
    let most = std::env::var("RIPOST_BENCH_ELEMENTS").map_or(100_000, |text| text.parse().unwrap());
    println!("\nCPU per element in µs, for {BATCH} more; best of {REPEATS}\n");
    println!(
        "{:>10}{:>8}{:>12}{:>10}{:>10}{:>12}{:>10}{:>10}",
        "in force", "add", "add again", "look up", "delete", "no counter", "floor", "nft -f"
    );
    for in_force in [0, 10_000, 100_000, 1_000_000] {
        if in_force <= most {
            row(in_force);
        }
    }
    println!("\nadd: aim <= {AIM} µs; floor: the transactions alone, into a set with counters\n");
}

/// The element of this number. The first are those to be measured.
fn element(number: u32) -> Element {
    Element {
        network: IpAddr::from(address(number)).into(),
        lasts: Some(HOUR),
    }
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

fn elements(from: u32, to: u32) -> Vec<Element> {
    (from..to).map(element).collect()
}

fn row(in_force: u32) {
    let kernel = Kernel::probe();
    let (add, again, look_up, delete) = ours(in_force, kernel);
    let uncounted = Kernel {
        counts: false,
        ..kernel
    };
    let (plain, ..) = ours(in_force, uncounted);
    let floor = floor(in_force, kernel);
    let nft = nft(in_force, kernel);
    println!(
        "{in_force:>10}{add:>8.2}{again:>12.2}{look_up:>10.2}{delete:>10.2}{plain:>12.2}{floor:>10.2}{nft:>10.2}"
    );
}

/// µs per element of [`BATCH`] that are added, added again, looked up and
/// deleted, while this many others are in force.
fn ours(in_force: u32, kernel: Kernel) -> (f64, f64, f64, f64) {
    let mut lists = prepared(in_force, kernel);
    let batch = elements(0, BATCH);
    let networks: Vec<IpNetwork> = batch.iter().map(|element| element.network).collect();
    let longer: Vec<Element> = batch
        .iter()
        .map(|element| Element {
            lasts: Some(2 * HOUR),
            ..*element
        })
        .collect();
    let mut best = [f64::INFINITY; 4];
    for _ in 0..REPEATS {
        let costs = [
            cost(|| add(&mut lists, &batch)),
            cost(|| add(&mut lists, &longer)),
            cost(|| drop(lists.look_up(&networks).unwrap())),
            cost(|| drop(lists.delete(&networks).unwrap())),
        ];
        best = std::array::from_fn(|at| best[at].min(costs[at]));
    }
    best.into()
}

/// Processor time of this process, the kernel's on its behalf included, in µs
/// per element.
fn cost(work: impl FnOnce()) -> f64 {
    let before = processor_time();
    work();
    per_element(processor_time() - before)
}

fn per_element(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(BATCH)
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}

/// Fresh lists with this many elements in force beyond the first [`BATCH`].
fn prepared(in_force: u32, kernel: Kernel) -> Lists {
    isolation::run("nft", &["flush", "ruleset"]);
    let mut lists = Lists::open("firewall-drop", kernel).unwrap();
    // One at least, so that the set is there.
    add(&mut lists, &elements(BATCH, BATCH + in_force.max(1)));
    lists
}

fn add(lists: &mut Lists, elements: &[Element]) {
    for change in lists.add(elements).unwrap() {
        assert!(matches!(change.unwrap().after, Found::There(_)));
    }
}

/// µs per element of the transactions alone: one message after the other with
/// as many elements as it takes, sent at once, as bytes that are ready.
fn floor(in_force: u32, kernel: Kernel) -> f64 {
    let mut lists = prepared(in_force, kernel);
    let socket = transaction::socket();
    let addresses = (0..BATCH).map(address).collect::<Vec<_>>();
    let transaction = transaction::adding(&addresses, HOUR);
    let networks: Vec<IpNetwork> = elements(0, BATCH).iter().map(|e| e.network).collect();
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        best = best.min(cost(|| transaction::send_whole(&socket, &transaction)));
        transaction::assert_taken(&socket);
        for change in lists.delete(&networks).unwrap() {
            assert!(matches!(change.unwrap().before, Found::There(_)));
        }
    }
    best
}

/// µs per element of `nft -f`, without looking up.
fn nft(in_force: u32, kernel: Kernel) -> f64 {
    let mut lists = prepared(in_force, kernel);
    let mut script = String::from("add element inet ripost firewall_drop_4 {\n");
    for element in elements(0, BATCH) {
        writeln!(script, "{} timeout 1h,", element.network.ip()).unwrap();
    }
    script.push('}');
    let networks: Vec<IpNetwork> = elements(0, BATCH).iter().map(|e| e.network).collect();
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        best = best.min(per_element(child_time(&script)));
        for change in lists.delete(&networks).unwrap() {
            assert!(matches!(change.unwrap().before, Found::There(_)));
        }
    }
    best
}

/// Processor time of one nft(8).
fn child_time(script: &str) -> Duration {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    drop(input);
    let id = Pid::from_child(&child);
    waitid(
        WaitId::Pid(id),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )
    .unwrap();
    // Time on a processor, waiting, and turns (sched-stats of the kernel).
    let stat = std::fs::read_to_string(format!("/proc/{id}/schedstat")).unwrap();
    assert!(child.wait().unwrap().success());
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}
