//! What is printed.

use crate::measure::{Disk, Measured, Plan};

/// KiB of the manager's memory for an idle agent.
const MEMORY: f64 = 16.0;
/// From an alert for all to the last acknowledgement, for ten thousand agents.
const ALL_MS: f64 = 1_500.0;

pub fn print(plan: &Plan, ripost: &Measured, floor: &Measured, enrolled: f64) {
    let Plan {
        agents,
        rounds,
        singles,
        idle,
    } = plan;
    println!("\n{agents} agents, and TLS alone with as many connections and the same bytes");
    row(["", "aim", "Ripost", "TLS alone", "ratio"]);
    let line = |what: &str, aim: &str, value: fn(&Measured) -> f64| {
        let (value, least) = (value(ripost), value(floor));
        let ratio = match value / least {
            ratio if ratio.is_finite() => format!("{ratio:.1}"),
            _ => "-".to_owned(),
        };
        row([what, aim, &figure(value), &figure(least), &ratio]);
    };
    let memory = format!("{MEMORY}");
    line("memory of an idle agent, KiB", &memory, |m| m.memory);
    line("the same after all alerts, KiB", "", |m| m.memory_after);
    line("CPU of one connect, us", "", |m| m.connect_us);
    line("connects per core-second", "", |m| 1e6 / m.connect_us);
    line("connects per second of the clock", "", |m| m.connects);
    line("CPU of an idle agent, us/s", "", |m| m.idle_us);
    let all = format!("{}", ALL_MS * f64::from(*agents) / 10_000.0);
    line("all: last agent has it, ms", "", |m| {
        at(&m.all_received, 50)
    });
    line("all: last one acknowledged, ms", &all, |m| {
        at(&m.all_acknowledged, 50)
    });
    line("  the fastest, ms", "", |m| at(&m.all_acknowledged, 0));
    line("all: CPU per agent, us", "", |m| m.all_us);
    line("one: it has it, p50 ms", "", |m| at(&m.one_received, 50));
    line("one: it has it, p99 ms", "", |m| at(&m.one_received, 99));
    line("one: acknowledged, p50 ms", "", |m| at(&m.one_taken, 50));
    line("one: acknowledged, p99 ms", "", |m| at(&m.one_taken, 99));
    println!("enrolled {enrolled:.0} a second");
    println!(
        "{rounds} alerts to all (median), {singles} to one, {idle} s at rest; the agents and this \
         program share the processors with what is measured, so that on a busy machine only \
         memory, CPU and ratios can be trusted\n"
    );
}

pub fn disk(disk: &Disk) {
    println!(
        "on disk: {:.0} bytes of queue/manager.db for each action, {:.0} of logs/responses.json \
         for each of its states\n",
        disk.journal, disk.responses
    );
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn figure(value: f64) -> String {
    match value {
        small if small < 100.0 => format!("{small:.2}"),
        large => format!("{large:.0}"),
    }
}

fn row(cells: [&str; 5]) {
    let [what, aim, value, floor, ratio] = cells;
    println!("{what:<36}{aim:>8}{value:>11}{floor:>11}{ratio:>8}");
}
