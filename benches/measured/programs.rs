//! Processor time and memory of the daemons and of the worker, from proc(5).

use std::fs;
use std::time::Duration;

use crate::support::daemon::Pair;

pub struct Program {
    pub name: &'static str,
    pub pid: u32,
}

pub struct Cost {
    pub cpu: Duration,
    /// The most it has had in memory at once.
    pub peak_mb: f64,
    /// What it has in memory now.
    pub rss_mb: f64,
}

impl Program {
    /// Processor time of each thread since its start, in ms for each of
    /// `count`: of a program that has done nothing else, nearly all of it.
    pub fn print_threads(&self, count: u32) {
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
    pub fn cost(&self) -> Cost {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap();
        let stat = read("stat");
        let after_name = stat.rsplit(')').next().unwrap();
        let fields = after_name.split_ascii_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        let status = read("status");
        let megabytes = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field));
            let kilobytes = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
            kilobytes.parse::<f64>().unwrap() / 1024.0
        };
        Cost {
            cpu: Duration::from_millis(ticks * 10),
            peak_mb: megabytes("VmHWM:"),
            rss_mb: megabytes("VmRSS:"),
        }
    }
}

/// Both daemons, and the worker of one of them.
pub fn programs(pair: &Pair) -> Vec<Program> {
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
    let every_thread = fs::read_dir(format!("/proc/{agentd}/task")).unwrap();
    let children: String = every_thread
        .map(|thread| {
            let path = thread.unwrap().path().join("children");
            fs::read_to_string(path).unwrap_or_default()
        })
        .collect::<Vec<_>>()
        .join(" ");
    let worker = children.split_ascii_whitespace().next();
    programs.extend(worker.map(|pid| Program {
        name: "firewall-drop",
        pid: pid.parse().unwrap(),
    }));
    programs
}

/// Processor time of the children of this process that have ended and been
/// waited for, with theirs (proc_pid_stat(5): fields 16 and 17).
pub fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields = after_name.split_ascii_whitespace().skip(13).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
