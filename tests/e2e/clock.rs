//! Clocks that step, and machines that are started anew.

use std::time::{Duration, Instant};

use crate::support::alert::Alert;
use crate::support::clock::{Machine, WallClock};
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, millis, response};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::{holds_for, wait_for};

const SOON: Duration = Duration::from_secs(10);
const HOUR: i64 = 3600;

/// Starts both daemons on a machine, under a clock.
fn start(net: &Net, home: &Home, machine: &Machine, clock: &WallClock) -> Pair {
    let start =
        |program| Daemon::start_with(clock.applied_to(machine.on_server(net)), home, program);
    Pair {
        manager: start(Program::Manager),
        agentd: start(Program::Agentd),
    }
}

#[test]
fn a_step_of_the_wall_clock_moves_no_end() {
    isolated(|| {
        let net = Net::new();
        for hours in [-7, 7] {
            let home = Home::new();
            home.configure(&[&response("firewall-drop", "5763", "4")]);
            let clock = WallClock::new(&home);
            let _pair = start(&net, &home, &Machine::new(), &clock);
            let written = Instant::now();
            home.alert(&[Alert::sshd("203.0.113.9")]);
            home.wait_state("203.0.113.9", "applied");
            let blocked = Instant::now();
            clock.set(hours * HOUR);

            net.wait_open("203.0.113.9", SOON);
            let lasted = written.elapsed();
            assert!(lasted >= Duration::from_secs(4), "{hours} h: {lasted:?}");
            let late = blocked.elapsed();
            assert!(late <= Duration::from_secs(5), "{hours} h: {late:?}");
            home.wait_state("203.0.113.9", "reverted");
        }
    });
}

/// The boot id is the same, so boot time rules, whatever the wall clock says.
#[test]
fn a_step_while_the_agent_is_down_moves_no_end() {
    isolated(|| {
        let net = Net::new();
        for hours in [-7, 7] {
            let home = Home::new();
            home.configure(&[&response("firewall-drop", "5763", "5")]);
            let clock = WallClock::new(&home);
            let pair = start(&net, &home, &Machine::new(), &clock);
            let written = Instant::now();
            home.alert(&[Alert::sshd("203.0.113.9")]);
            home.wait_state("203.0.113.9", "applied");
            let blocked = Instant::now();
            pair.kill();
            clock.set(hours * HOUR);

            let _pair = start(&net, &home, &Machine::new(), &clock);
            assert!(!net.arrives("203.0.113.9"), "{hours} h");
            net.wait_open("203.0.113.9", SOON);
            assert!(written.elapsed() >= Duration::from_secs(5), "{hours} h");
            assert!(blocked.elapsed() <= Duration::from_secs(6), "{hours} h");
        }
    });
}

#[test]
fn what_is_in_force_is_put_back_after_a_reboot_and_ends_by_the_wall_clock() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[
            &response("firewall-drop", "5763", "12"),
            &response("firewall-drop", "31151", ""),
        ]);
        let clock = WallClock::new(&home);
        let mut machine = Machine::new();
        let pair = start(&net, &home, &machine, &clock);
        let written = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9"), Alert::web("203.0.113.10")]);
        let applied = home.wait_state("203.0.113.9", "applied");
        home.wait_state("203.0.113.10", "applied");
        let blocked = Instant::now();

        pair.kill();
        machine.reboot(&net, &home);
        assert!(net.arrives("203.0.113.9"), "the kernel has forgotten");
        let _pair = start(&net, &home, &machine, &clock);
        // The network of a host waits until the agent is ready.
        assert!(!net.arrives("203.0.113.9") && !net.arrives("203.0.113.10"));
        let listed = home.ctl_json(&["responses"]);
        let kept = listed
            .as_array()
            .unwrap()
            .iter()
            .find(|record| record["action"] == applied["action"])
            .unwrap();
        let moved = millis(kept, "until") - millis(&applied, "until");
        assert!(moved.abs() <= 50, "moved by {moved} ms");

        net.wait_open("203.0.113.9", SOON + SOON);
        assert!(written.elapsed() >= Duration::from_millis(11_900));
        assert!(blocked.elapsed() <= Duration::from_secs(13));
        home.wait_state("203.0.113.9", "reverted");
        assert!(!net.arrives("203.0.113.10"), "a ban has no end");
    });
}

#[test]
fn what_ended_while_the_machine_was_off_is_not_put_back() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let clock = WallClock::new(&home);
        let mut machine = Machine::new();
        let pair = start(&net, &home, &machine, &clock);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        pair.kill();
        machine.reboot(&net, &home);
        clock.set(HOUR);

        let _pair = start(&net, &home, &machine, &clock);
        home.wait_state("203.0.113.9", "reverted");
        assert!(net.arrives("203.0.113.9"));
        assert!(!net.in_table("203.0.113.9"));
    });
}

/// A wall clock that is hours behind after a reboot would make a block last
/// for hours; it never lasts longer than its timeout from the start on.
#[test]
fn a_wall_clock_that_is_behind_after_a_reboot_makes_no_block_longer_than_its_timeout() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "5")]);
        let clock = WallClock::new(&home);
        let mut machine = Machine::new();
        let pair = start(&net, &home, &machine, &clock);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        pair.kill();
        machine.reboot(&net, &home);
        clock.set(-7 * HOUR);

        let _pair = start(&net, &home, &machine, &clock);
        let started = Instant::now();
        net.wait_blocked("203.0.113.9", SOON);
        net.wait_open("203.0.113.9", SOON);
        assert!(
            started.elapsed() <= Duration::from_secs(6),
            "{:?}",
            started.elapsed()
        );
        home.wait_state("203.0.113.9", "reverted");
    });
}

/// Several starts in a row: each time the boot id is another one, and boot time
/// begins anew, so that an old end in boot time would be far in the future.
#[test]
fn a_block_survives_several_reboots_and_new_ones_end_on_time() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[
            &response("firewall-drop", "5763", "600"),
            &response("firewall-drop", "31151", "2"),
        ]);
        let clock = WallClock::new(&home);
        let mut machine = Machine::new();
        let mut pair = start(&net, &home, &machine, &clock);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        for boot in 1..=3 {
            pair.kill();
            machine.reboot(&net, &home);
            pair = start(&net, &home, &machine, &clock);
            net.wait_blocked("203.0.113.9", SOON);

            let fresh = format!("203.0.113.{}", 100 + boot);
            let written = Instant::now();
            home.alert(&[Alert::web(&fresh)]);
            net.wait_blocked(&fresh, SOON);
            net.wait_open(&fresh, SOON);
            let lasted = written.elapsed();
            assert!(lasted >= Duration::from_secs(2) && lasted <= Duration::from_secs(4));
        }
        holds_for("the first block", Duration::from_millis(500), || {
            !net.arrives("203.0.113.9")
        });
        let reverted = home.states("203.0.113.9").contains(&"reverted".to_owned());
        assert!(!reverted);
        wait_for("one is in force", SOON, || {
            (home.ctl_json(&["responses"]).as_array()?.len() == 1).then_some(())
        });
    });
}
