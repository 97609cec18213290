//! The executables with their effect: packets that no longer arrive and arrive
//! again, and what stands in hosts.deny. Every test has namespaces of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/run.rs"]
mod run;
#[path = "../support/served.rs"]
mod served;

mod disturbed;
mod firewall_drop;
mod host_deny;
mod isolate_host;
mod lists;
mod route_null;
mod serving;

use std::process::Command;

use netns::Netns;
use run::Home;

const ATTACKER: &str = "198.51.100.7";

fn on_server(net: &Netns, home: &Home, name: &str) -> Command {
    let mut command = net.command(&format!("active-response/bin/{name}"));
    command.current_dir(home.path());
    command
}
