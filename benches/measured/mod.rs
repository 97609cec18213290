//! What the benches that start the daemons share: namespaces, attackers,
//! processor time and memory of programs, and files that grow.

#![expect(dead_code, reason = "each bench uses some of it")]

pub mod growing;
pub mod inside;
pub mod programs;

use std::net::IpAddr;
use std::process::Command;

use super::support::alert::Alert;
use super::support::daemon::{Daemon, Pair, Program};
use super::support::home::Home;
use super::support::net::Net;

/// A number from the environment.
pub fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: {text} is no number"))
    })
}

/// Both daemons on the server, without the `-d` that tests give them: what they
/// say for each event would be measured too.
pub fn quiet_pair(net: &Net, home: &Home) -> Pair {
    Pair {
        manager: quiet(net, home, Program::Manager),
        agentd: quiet(net, home, Program::Agentd),
    }
}

/// One daemon, as [`quiet_pair`] starts both.
pub fn quiet(net: &Net, home: &Home, program: Program) -> Daemon {
    let mut command: Command = net.on_server();
    command.args(["sh", "-c", r#"exec "$0" "$1" "$2""#]);
    Daemon::start_with(command, home, program)
}

/// The attacker of this number, in 198.18.0.0/15.
pub fn attacker(number: u32) -> IpAddr {
    let [_, high, middle, low] = number.to_be_bytes();
    assert!(high < 2, "there are no more than 131,072 attackers");
    IpAddr::from([198, 18 + high, middle, low])
}

/// An alert for each of these attackers.
pub fn alerts(attackers: &[IpAddr]) -> Vec<Alert> {
    attackers
        .iter()
        .map(|address| Alert::sshd(&address.to_string()))
        .collect()
}

/// Fails unless packets of these (or of none) arrive at the server. Of very many,
/// some 5,000 are tried, the first and the last among them.
pub fn assert_arrive(net: &Net, attackers: &[IpAddr], arrive: bool) {
    let step = attackers.len().div_ceil(5_000);
    let tried: Vec<IpAddr> = attackers.iter().copied().step_by(step).collect();
    let tried = [tried.as_slice(), &attackers[attackers.len() - 1..]].concat();
    for some in tried.chunks(250) {
        assert!(net.probe(some).iter().all(|one| *one == arrive));
    }
}
