//! Hosts that are away when something is to be done on them.

use std::time::{Duration, Instant};

use crate::scene::{Config, Fleet, LOCAL, SOON, WEB_1, drop_at};
use crate::support::alert::Alert;
use crate::support::home::millis;
use crate::support::isolation::isolated;
use crate::support::{holds_for, wait_for};

const ATTACKER: &str = "203.0.113.9";

fn fleet(timeout: &str) -> Fleet {
    Fleet::start(&Config::new(vec![drop_at(LOCAL, "5763", timeout)]))
}

/// Writes the alert, and returns the moment before.
fn attack(fleet: &Fleet) -> Instant {
    let written = Instant::now();
    fleet.alert(&[Alert::sshd(ATTACKER).agent("001")]);
    written
}

#[test]
fn a_host_that_was_down_applies_what_waited_for_what_is_left_of_its_time() {
    isolated(|| {
        let mut fleet = fleet("8");
        fleet.hosts[WEB_1].stop();
        fleet.wait_agent("001", "offline");
        let written = attack(&fleet);
        fleet.wait_states(ATTACKER, &["001"], "queued");
        assert_eq!(fleet.agent("001")["pending"], 1);
        holds_for("nothing happens", Duration::from_secs(3), || {
            fleet.arrives(WEB_1, ATTACKER)
        });

        fleet.start_agentd(WEB_1);
        fleet.wait_blocked(WEB_1, ATTACKER);
        let applied = fleet.wait_states(ATTACKER, &["001"], "applied").remove(0);
        let lasts = millis(&applied, "until") - millis(&applied, "since");
        assert!((1_000..=5_100).contains(&lasts), "{lasts} ms");
        ends_in_time(&fleet, written, Duration::from_secs(8));
    });
}

/// The block of web-1 ends its timeout after the alert was written, not later
/// and not before.
fn ends_in_time(fleet: &Fleet, written: Instant, timeout: Duration) {
    wait_for("the end", SOON, || {
        fleet.arrives(WEB_1, ATTACKER).then_some(())
    });
    let lasted = written.elapsed();
    // The manager reads it a little later; the end is met within a second.
    let late = timeout + Duration::from_millis(1_700);
    assert!(lasted >= timeout && lasted <= late, "{lasted:?}");
    fleet.wait_states(ATTACKER, &["001"], "reverted");
}

#[test]
fn what_waited_too_long_for_a_host_that_was_down_expires_and_never_runs() {
    isolated(|| {
        let mut fleet = fleet("2");
        fleet.hosts[WEB_1].stop();
        fleet.wait_agent("001", "offline");
        attack(&fleet);
        fleet.wait_states(ATTACKER, &["001"], "expired");
        fleet.start_agentd(WEB_1);
        fleet.wait_all_connected();
        holds_for("no packet is dropped", Duration::from_secs(1), || {
            fleet.arrives(WEB_1, ATTACKER)
        });
        assert_eq!(fleet.states(ATTACKER, "001"), ["queued", "expired"]);
        assert_eq!(fleet.agent("001")["pending"], 0);
    });
}

#[test]
fn a_host_whose_cable_was_cut_applies_what_was_sent_for_what_is_left_of_its_time() {
    isolated(|| {
        let fleet = fleet("10");
        fleet.hosts[WEB_1].space.cut();
        let written = attack(&fleet);
        fleet.wait_states(ATTACKER, &["001"], "sent");
        wait_until(written + Duration::from_secs(3));
        fleet.hosts[WEB_1].space.mend();
        fleet.wait_blocked(WEB_1, ATTACKER);
        ends_in_time(&fleet, written, Duration::from_secs(10));
    });
}

#[test]
fn what_comes_over_a_mended_cable_too_late_expires_and_never_runs() {
    isolated(|| {
        let fleet = fleet("2");
        fleet.hosts[WEB_1].space.cut();
        let written = attack(&fleet);
        fleet.wait_states(ATTACKER, &["001"], "sent");
        wait_until(written + Duration::from_secs(3));
        fleet.hosts[WEB_1].space.mend();
        let arrives = || fleet.arrives(WEB_1, ATTACKER);
        wait_for("it has ended without a block", SOON, || {
            assert!(arrives(), "a packet is dropped after the end of the block");
            fleet
                .states(ATTACKER, "001")
                .contains(&"expired".to_owned())
                .then_some(())
        });
    });
}

/// Lets time pass that a cut takes.
fn wait_until(moment: Instant) {
    wait_for("the cut has lasted", SOON, || {
        (Instant::now() >= moment).then_some(())
    });
}
