//! Very many attackers in one write: how long until the last of them is
//! dropped, what that costs in processor time and memory, and where.
//!
//! `RIPOST_BENCH_BURST` sets how many (5000).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark starts programs, looks at the time, and fails by panicking"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::alert::Alert;
use support::daemon::{Daemon, Pair};
use support::home::{Home, response};
use support::isolation;
use support::net::Net;

/// How often is looked; it is also the resolution.
const LOOK: Duration = Duration::from_millis(5);

const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    // Only `cargo bench` says so; `cargo test --benches` starts it as well.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if isolation::is_inside() {
        isolation::prepare();
        return measure();
    }
    let (mut again, _folder) =
        isolation::own_program().expect("namespaces are not allowed here; try as root");
    let status = again.args(std::env::args_os().skip(1)).status().unwrap();
    assert!(status.success(), "{status}");
}

fn measure() {
    let count = std::env::var("RIPOST_BENCH_BURST").map_or(5_000, |text| {
        text.parse().expect("RIPOST_BENCH_BURST is a number")
    });
    let (net, home) = (Net::new(), Home::new());
    home.configure(&[&response("firewall-drop", "5763", "3600")]);
    let pair = Pair {
        manager: Daemon::start_with(quietly(&net), &home, support::daemon::Program::Manager),
        agentd: Daemon::start_with(quietly(&net), &home, support::daemon::Program::Agentd),
    };
    // Everything is loaded, and its worker runs.
    home.alert(&[Alert::sshd("203.0.113.1")]);
    net.wait_blocked("203.0.113.1", Duration::from_secs(10));
    let programs = programs(&pair);
    let before: Vec<Cost> = programs.iter().map(Program::cost).collect();

    let mut dropped = Counted::of(&home, "logs/active-responses.log", b": Ended\n");
    let mut told = Counted::of(&home, "logs/responses.json", b"\"state\":\"applied\"");
    let addresses: Vec<IpAddr> = (0..count).map(attacker).collect();
    let alerts: Vec<Alert> = addresses
        .iter()
        .map(|address| Alert::sshd(&address.to_string()))
        .collect();
    let written = Instant::now();
    home.alert(&alerts);
    let all_dropped = dropped.wait(count, written);
    let all_told = told.wait(count, written);
    for some in addresses.chunks(250) {
        assert!(net.probe(some).iter().all(|arrives| !arrives));
    }

    println!("\n{count} attackers in one write");
    println!("  last one dropped (looked up in the kernel)  {all_dropped:>8.2?}");
    println!("  last one told of in responses.json          {all_told:>8.2?}");
    println!("  {:<18}{:>14}{:>14}", "", "CPU ms a block", "peak MB");
    let (mut cpu, mut memory) = (0.0, 0.0);
    for (program, before) in programs.iter().zip(before) {
        let after = program.cost();
        let each = (after.cpu - before.cpu).as_secs_f64() * 1e3 / f64::from(count);
        println!("  {:<18}{each:>14.3}{:>14.1}", program.name, after.peak_mb);
        cpu += each;
        memory += after.peak_mb;
    }
    println!("  {:<18}{cpu:>14.3}{memory:>14.1}", "all");
    for program in &programs {
        program.print_threads(count);
    }
    println!("aim: 5,000 in 1 s, 100,000 in 10 s and 150 MB, 0.2 ms a block\n");
}

/// Starts a daemon without the `-d` that tests give it: what it says for each
/// event would be measured too.
fn quietly(net: &Net) -> Command {
    let mut command = net.on_server();
    command.args(["sh", "-c", r#"exec "$0" "$1" "$2""#]);
    command
}

/// The attacker of this number, in 198.18.0.0/15.
fn attacker(number: u32) -> IpAddr {
    let [_, high, middle, low] = number.to_be_bytes();
    IpAddr::from([198, 18 + high, middle, low])
}

/// A file that grows, and how often something stands in it.
struct Counted {
    path: PathBuf,
    file: File,
    what: &'static [u8],
    found: u32,
    rest: Vec<u8>,
}

impl Counted {
    /// What stands there already does not count.
    fn of(home: &Home, name: &str, what: &'static [u8]) -> Self {
        let path = home.file(name);
        let mut file = File::open(&path).unwrap();
        file.read_to_end(&mut Vec::new()).unwrap();
        Self {
            path,
            file,
            what,
            found: 0,
            rest: Vec::new(),
        }
    }

    fn wait(&mut self, count: u32, since: Instant) -> Duration {
        while self.found < count {
            assert!(
                since.elapsed() < PATIENCE,
                "{} of {count} in {}",
                self.found,
                self.path.display()
            );
            sleep(LOOK);
            self.look();
        }
        since.elapsed()
    }

    fn look(&mut self) {
        self.file.read_to_end(&mut self.rest).unwrap();
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let whole = self.rest.drain(..whole.map_or(0, |end| end + 1));
        let text = whole.collect::<Vec<u8>>();
        let found = memchr::memmem::find_iter(&text, self.what).count();
        self.found += u32::try_from(found).unwrap();
    }
}

struct Program {
    name: &'static str,
    pid: u32,
}

struct Cost {
    cpu: Duration,
    peak_mb: f64,
}

impl Program {
    /// Processor time of each thread since its start, which is nearly all of the
    /// burst.
    fn print_threads(&self, count: u32) {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        for thread in threads {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            let (name, fields) = stat.rsplit_once(')').unwrap();
            let name = name.split_once('(').unwrap().1;
            let ticks = |at: usize| -> f64 {
                let field = fields.split_ascii_whitespace().nth(at).unwrap();
                field.parse::<f64>().unwrap() * 10.0 / f64::from(count)
            };
            let (user, system) = (ticks(11), ticks(12));
            println!("    {name:<16}{user:>14.3} user {system:>9.3} system");
        }
    }

    /// proc_pid_stat(5): fields 14 and 15, in ticks, of which every Linux has
    /// 100 in a second.
    fn cost(&self) -> Cost {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap();
        let stat = read("stat");
        let after_name = stat.rsplit(')').next().unwrap();
        let fields = after_name.split_ascii_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        let status = read("status");
        let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
        let peak = peak.unwrap().split_ascii_whitespace().nth(1).unwrap();
        Cost {
            cpu: Duration::from_millis(ticks * 10),
            peak_mb: peak.parse::<f64>().unwrap() / 1024.0,
        }
    }
}

/// Both daemons, and the worker of one of them.
fn programs(pair: &Pair) -> Vec<Program> {
    let (manager, agentd) = (pair.manager.id(), pair.agentd.id());
    let mut programs = vec![
        Program {
            name: "ripost-manager",
            pid: manager,
        },
        Program {
            name: "ripost-agentd",
            pid: agentd,
        },
    ];
    let children = fs::read_to_string(format!("/proc/{agentd}/task/{agentd}/children")).unwrap();
    let every_thread = fs::read_dir(format!("/proc/{agentd}/task")).unwrap();
    let children: String = every_thread
        .map(|thread| {
            let path = thread.unwrap().path().join("children");
            fs::read_to_string(path).unwrap_or_default()
        })
        .fold(children, |all, some| all + " " + &some);
    let mut workers: Vec<u32> = children
        .split_ascii_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    workers.dedup();
    programs.extend(workers.into_iter().take(1).map(|pid| Program {
        name: "firewall-drop",
        pid,
    }));
    programs
}
