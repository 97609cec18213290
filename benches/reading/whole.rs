//! The whole way of a line: the reader's thread with its sieve, and its owner,
//! who reads and matches what is handed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ripost::alert::{FORMATS, Format, Shape};
use ripost::clock;
use ripost::matcher::{Condition, Conditions, Matcher};
use ripost::model::os_regex::Pattern;
use ripost::model::{Level, RuleId};
use ripost::source::{
    Accept, Event, Follow, Receipt, Sieve, Sifting, StartAt, Tally, Timing, Units, follow,
};
use rustix::time::ClockId;
use tokio::sync::{mpsc, watch};

use crate::lines::{HIT, Hits, write_file};
use crate::measured;
use crate::measured::programs::Program;
use crate::stages::{LINES, head, least, row};
use crate::support::daemon::{self, Daemon};
use crate::support::home::Home;

const COUNT: &str = "RIPOST_BENCH_LINES";

/// 70 % lists of ids, 10 % levels, 20 % groups, as measured configurations have
/// them; one of them asks for the rule that hits.
fn conditions(responses: u32) -> Arc<Conditions> {
    let id = |number: u32| RuleId::parse(&number.to_string()).unwrap();
    let conditions = (0..responses).map(|number| match number % 10 {
        0 if number == 0 => Condition {
            ids: vec![id(HIT)],
            ..Condition::default()
        },
        0..7 => Condition {
            ids: (0..3).map(|n| id(100_000 + number * 3 + n)).collect(),
            ..Condition::default()
        },
        7 => Condition {
            level: Level::new(16).ok(),
            ..Condition::default()
        },
        _ => Condition {
            group: Pattern::compile(&format!("group{number},|^other{number}")).ok(),
            level: Level::new(7).ok(),
            ..Condition::default()
        },
    });
    Arc::new(Conditions::new(conditions.collect()))
}

fn sifting(conditions: &Arc<Conditions>, shape: Shape) -> Sifting {
    Sifting {
        shape,
        conditions: watch::channel(Arc::clone(conditions)).1,
        tally: Arc::new(Tally::default()),
    }
}

/// Prints the whole way by the number of responses and of hits.
pub fn print(folder: &Path, floor: f64) {
    head("From the file to the decision (aim: 1.5 at 1 % hits)");
    for (hits, label) in [(0, "0"), (10, "1"), (100, "10"), (1_000, "100")] {
        let path = folder.join("whole.json");
        let bytes = write_file(&path, LINES, Hits(hits));
        for responses in [10, 1_000, 10_000] {
            let conditions = conditions(responses);
            let mut taken = 0;
            let nanos = least(ClockId::ProcessCPUTime, || {
                taken = read_all(&path, bytes, &conditions);
            });
            assert_eq!(taken, u64::from(LINES) * u64::from(hits) / 1_000);
            row(
                &format!("{label:>3} % hits, {responses:>6} responses"),
                nanos,
                bytes,
                floor,
            );
        }
        fs::remove_file(path).unwrap();
    }
}

/// Follows a file to its end, as a manager does; answers how many alerts had a
/// response.
fn read_all(path: &Path, size: u64, conditions: &Arc<Conditions>) -> u64 {
    let (sender, mut events) = mpsc::channel(2);
    let follower = follow(
        Follow {
            path: path.to_owned(),
            start: StartAt::Beginning,
            resume: None,
            accept_tail: Accept::new(|_| true),
            units: Units::LinesAndRecords,
            sifting: Some(sifting(conditions, Shape::Auto)),
            timing: Timing::default(),
        },
        sender,
    )
    .unwrap();
    let mut matcher = Matcher::sharing(Arc::clone(conditions), 1 << 20);
    let mut matched = 0;
    loop {
        match events.blocking_recv().unwrap() {
            Event::Opened { stored, .. } => stored.send(()).unwrap(),
            Event::Lines {
                lines,
                receipt: Receipt::Position(reached),
            } => {
                for line in &lines {
                    for alert in Shape::Auto.read(&line.bytes).into_iter().flatten() {
                        matched += u64::from(!matcher.matches(&alert.rule).is_empty());
                    }
                }
                if reached.offset == size {
                    break;
                }
            }
            event => panic!("{event:?}"),
        }
    }
    follower.stop().unwrap();
    matched
}

/// Prints what the sieve makes of each format, in memory.
pub fn print_formats() {
    println!("\nEach format, its typical alert again and again, without a response");
    println!("  {:<44}{:>10}{:>12}", "", "ns", "MB/s");
    let conditions = conditions(1_000);
    for format in FORMATS {
        for (shape, how) in [(Shape::One(format), "set"), (Shape::Auto, "auto")] {
            let alert = fs::read(typical(format)).unwrap();
            let alert = alert.trim_ascii_end();
            let mut sieve = Sieve::new(sifting(&conditions, shape));
            let (now, times) = (clock::boot(), 10_000_u32);
            let nanos = least(ClockId::ThreadCPUTime, || {
                for _ in 0..times {
                    assert!(!sieve.passes(alert, now));
                }
            });
            let each = nanos / f64::from(times);
            println!(
                "  {:<44}{each:>10.0}{:>12.0}",
                format!("{} ({how}, {} bytes)", format.name, alert.len()),
                alert.len() as f64 / each * 1e3
            );
        }
    }
}

fn typical(format: &Format) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/alerts")
        .join(format.name);
    let mut files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_typical = |path: &PathBuf| path.to_str().unwrap().contains("/typical.in.");
    files.find(is_typical).unwrap()
}

/// Prints what the manager takes for millions of lines that lead to nothing:
/// none has a response, or one in a hundred, of agents that are not enrolled.
pub fn print_manager() {
    let wanted = measured::number(COUNT, 4_000_000);
    println!(
        "\nripost-manager, from its start until all is read (aim for 4 million: 10 s, 100 MB)"
    );
    println!(
        "  {:<28}{:>8}{:>10}{:>10}{:>10}{:>10}",
        "", "GB", "CPU s", "wall s", "MB/s CPU", "peak MB"
    );
    for hits in [0, 10] {
        let home = Home::new();
        let lines = wanted.min(room(&home));
        if lines < wanted {
            println!("  (the disk has room for {lines} lines only)");
        }
        measure(&home, lines, Hits(hits));
    }
}

/// Lines for which half of the free disk is enough.
fn room(home: &Home) -> u32 {
    let disk = rustix::fs::statvfs(home.path()).unwrap();
    let lines = disk.f_bavail * disk.f_frsize / 2 / 1_400;
    u32::try_from(lines).unwrap_or(u32::MAX)
}

fn measure(home: &Home, lines: u32, hits: Hits) {
    let responses: String = (0..1_000)
        .map(|number| {
            let id = if number == 0 { HIT } else { 200_000 + number };
            format!("<active-response><command>firewall-drop</command><location>local</location><rules_id>{id}</rules_id></active-response>\n")
        })
        .collect();
    let source = "<alert_source><location>logs/alerts/alerts.json</location><start_at>beginning</start_at></alert_source>";
    home.configure(&[&responses, source]);
    let bytes = write_file(&home.alerts(), lines, hits);
    let began = Instant::now();
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" "$1" "$2""#]);
    let manager = Daemon::start_with(command, home, daemon::Program::Manager);
    let matched = wait_until_read(home, bytes);
    let wall = began.elapsed();
    assert_eq!(matched, u64::from(lines) * u64::from(hits.0) / 1_000);
    let program = Program {
        name: "ripost-manager",
        pid: manager.id(),
    };
    let cost = program.cost();
    println!(
        "  {:<28}{:>8.2}{:>10.2}{:>10.2}{:>10.0}{:>10.1}",
        format!("{lines} lines, {:.0} % hits", f64::from(hits.0) / 10.0),
        bytes as f64 / 1e9,
        cost.cpu.as_secs_f64(),
        wall.as_secs_f64(),
        bytes as f64 / 1e6 / cost.cpu.as_secs_f64(),
        cost.peak_mb
    );
    manager.kill();
}

/// Waits until the manager has read so many bytes; answers how many alerts had
/// a response.
fn wait_until_read(home: &Home, bytes: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        assert!(Instant::now() < deadline, "it does not get through");
        std::thread::sleep(Duration::from_millis(100));
        let output = Command::new(env!("CARGO_BIN_EXE_ripostctl"))
            .arg("--home")
            .arg(home.path())
            .args(["status", "-o", "json"])
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let source = &status[0]["sources"][0];
        if source["bytes"] == bytes {
            let taken = source["alerts"].as_u64().unwrap();
            if taken == source["lines"].as_u64().unwrap() {
                return source["matched"].as_u64().unwrap();
            }
        }
    }
}
