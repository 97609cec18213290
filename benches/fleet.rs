//! What a fleet costs its manager, on the real program and over real TLS,
//! beside a server that does nothing but TLS with the same certificates, the
//! same connections and the same bytes.
//!
//! `RIPOST_FLEET_AGENTS` (or `cargo bench --bench fleet -- --agents N`) sets how
//! many agents there are (1000), `RIPOST_FLEET_ROUNDS` how many alerts go to all
//! of them (7), `RIPOST_FLEET_SINGLES` how many to one (200) and
//! `RIPOST_FLEET_IDLE` for how many seconds nothing happens (50, in which each
//! agent pings twice).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark starts programs, looks at the time, and fails by panicking"
)]

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../examples/fleet_sim/mod.rs"]
mod fleet_sim;
#[path = "fleet/floor.rs"]
mod floor;
#[path = "fleet/measure.rs"]
mod measure;
#[path = "fleet/processes.rs"]
mod processes;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "fleet/table.rs"]
mod table;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use measure::{Disk, Plan};
use processes::{Agents, Floor, Manager, ROLE};
use support::home::Home;

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        return play(&role);
    }
    // Only `cargo bench` says so; `cargo test --benches` starts it as well.
    if std::env::args().any(|argument| argument == "--bench") {
        let plan = Plan {
            agents: number("RIPOST_FLEET_AGENTS", 1_000).max(1),
            rounds: number("RIPOST_FLEET_ROUNDS", 7).max(1),
            singles: number("RIPOST_FLEET_SINGLES", 200).max(1),
            idle: number("RIPOST_FLEET_IDLE", 50),
        };
        run(&plan);
    }
    ExitCode::SUCCESS
}

/// What this program does where it was started by itself.
fn play(role: &str) -> ExitCode {
    match role {
        "agents" => fleet_sim::main(),
        "floor" => {
            let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
            floor::main(&paths[0], &paths[1]);
            ExitCode::SUCCESS
        }
        role => panic!("{ROLE}={role}?"),
    }
}

/// A number from the environment; `--agents N` goes before it.
fn number(variable: &str, default: u32) -> u32 {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--agents");
    let option = arguments.nth(1).filter(|_| variable.ends_with("AGENTS"));
    let text = option.or_else(|| std::env::var(variable).ok());
    text.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: {text} is no number"))
    })
}

fn run(plan: &Plan) {
    let home = Home::new();
    let port = configure(&home);
    let dir = home.beside().join("fleet");
    let enrolled = enroll(plan, &home, port, &dir);
    // One that has enrolled nobody: what is left of that in its memory would
    // hide what connections take.
    let manager = Manager::start(&home);
    let action = home.beside().join("action");
    std::fs::write(&action, measure::action_bytes()).unwrap();
    let ripost = measure::manager(plan, &home, manager.process(), port, &dir);
    drop(manager);
    let disk = Disk::of(&home);
    let floor = Floor::start(&home.file("etc/tls"), &action);
    let floor = measure::floor(plan, floor, &dir);
    table::print(plan, &ripost, &floor, enrolled);
    table::disk(&disk);
}

fn configure(home: &Home) -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let agents = format!("<agents><listen>127.0.0.1:{port}</listen></agents>");
    let response = |location: &str, rule: &str| {
        format!(
            "<active-response><command>firewall-drop</command><location>{location}</location>\
             <rules_id>{rule}</rules_id><timeout>3600</timeout></active-response>"
        )
    };
    let blocks = [
        agents,
        response("all", measure::ALL),
        response("local", measure::ONE),
    ];
    home.configure(&blocks.each_ref().map(String::as_str));
    port
}

/// Enrolls the agents; returns how many in a second.
fn enroll(plan: &Plan, home: &Home, port: u16, dir: &Path) -> f64 {
    let manager = Manager::start(home);
    let agents = plan.agents.to_string();
    let made = home.ctl(&["enroll", "token", "--uses", &agents]);
    let token = String::from_utf8(made.stdout).unwrap();
    let began = ripost::clock::boot();
    let more = ["--token", token.trim(), "--duration", "0"];
    Agents::start(port, plan.agents, dir, &more).finish();
    let took = began.until(ripost::clock::boot());
    drop(manager);
    f64::from(plan.agents) / took.as_secs_f64()
}
