//! Wall clocks that disagree.

use std::time::{Duration, Instant};

use crate::scene::{Config, Fleet, LOCAL, WEB_1, drop_at};
use crate::support::alert::Alert;
use crate::support::clock::WallClock;
use crate::support::daemon::{Daemon, Program};
use crate::support::isolation::isolated;

const HOUR: i64 = 3_600;

#[test]
fn a_host_whose_clock_is_hours_off_ends_a_block_in_time() {
    isolated(|| {
        let mut fleet = Fleet::start(&Config::new(vec![drop_at(LOCAL, "5763", "4")]));
        let clock = WallClock::new(fleet.centre());
        for (hours, attacker, waits) in [
            (-7, "203.0.113.1", false),
            (7, "203.0.113.2", false),
            (7, "203.0.113.3", true),
        ] {
            fleet.hosts[WEB_1].stop();
            fleet.wait_agent("001", "offline");
            clock.set(hours * HOUR);
            let mut written = Instant::now();
            let alerts = [Alert::sshd(attacker).agent("001")];
            if waits {
                fleet.alert(&alerts);
                fleet.wait_states(attacker, &["001"], "queued");
            }
            let host = &mut fleet.hosts[WEB_1];
            let command = clock.applied_to(host.space.command());
            host.agentd = Some(Daemon::start_with(command, &host.home, Program::Agentd));
            fleet.wait_agent("001", "connected");
            if !waits {
                written = Instant::now();
                fleet.alert(&alerts);
            }
            fleet.wait_blocked(WEB_1, attacker);
            fleet.wait_open(WEB_1, attacker);
            let lasted = written.elapsed();
            let timeout = Duration::from_secs(4);
            let late = timeout + Duration::from_millis(1_700);
            assert!(lasted >= timeout && lasted <= late, "{hours} h: {lasted:?}");
            fleet.wait_states(attacker, &["001"], "reverted");
        }
    });
}
