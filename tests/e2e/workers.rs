//! The worker of firewall-drop: kept, killed, stopped and replaced, in the
//! middle of bursts. Its number stands in its lock.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use ripost::sys::process::ProcessId;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, millis, response, text};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const BURST: u32 = 600;
const PATIENCE: Duration = Duration::from_secs(60);

fn attackers() -> Vec<IpAddr> {
    let address = |number: u32| {
        let [_, _, high, low] = number.to_be_bytes();
        IpAddr::from([198, 18, high, low])
    };
    (1..=BURST).map(address).collect()
}

fn write_burst(home: &Home) {
    let alert = |address: &IpAddr| Alert::sshd(&address.to_string());
    let alerts: Vec<_> = attackers().iter().map(alert).collect();
    home.alert(&alerts);
}

/// The worker that holds the lock.
fn worker(home: &Home) -> Option<ProcessId> {
    let lock = fs::read_to_string(home.file("queue/firewall-drop.worker.lock")).ok()?;
    ProcessId::of(lock.parse().ok()?).filter(|process| process.is_running())
}

fn ended(home: &Home) -> usize {
    home.log().matches(": Ended\n").count()
}

/// The worker, once it has ended some of a burst and not all.
fn in_the_middle(home: &Home) -> ProcessId {
    wait_for("some are blocked", PATIENCE, || {
        (ended(home) > 0).then_some(())
    });
    worker(home).expect("a worker runs")
}

fn signal(process: ProcessId, signal: Signal) {
    kill_process(Pid::from_raw(process.pid()).unwrap(), signal).unwrap();
}

/// Stops a process with all its threads, and waits until it stands still.
fn stop(process: ProcessId) {
    signal(process, Signal::STOP);
    let task = format!("/proc/{}/task", process.pid());
    let stands_still = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.contains(") T ")
    };
    wait_for("it stands still", PATIENCE, || {
        let mut threads = fs::read_dir(&task).unwrap();
        threads
            .all(|thread| stands_still(thread.unwrap()))
            .then_some(())
    });
}

/// Every attacker is blocked, and every action has become `applied` once and
/// nothing worse.
fn all_in_force_once(net: &Net, home: &Home) {
    let expected = usize::try_from(BURST).unwrap();
    wait_for("all are applied", PATIENCE, || {
        let told = home.responses();
        let applied = told.iter().filter(|record| record["state"] == "applied");
        (applied.count() >= expected).then_some(())
    });
    for some in attackers().chunks(200) {
        assert!(net.probe(some).iter().all(|arrives| !arrives));
    }
    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in home.responses() {
        let states = states.entry(text(&record, "action")).or_default();
        states.push(text(&record, "state"));
    }
    assert_eq!(states.len(), expected);
    for (action, states) in states {
        let applied = states.iter().filter(|state| *state == "applied").count();
        let wrong = ["already", "failed", "refused", "expired", "reverted"];
        let is_wrong = states.iter().any(|state| wrong.contains(&state.as_str()));
        assert!(applied == 1 && !is_wrong, "{action}: {states:?}");
    }
}

#[test]
fn a_worker_killed_in_the_middle_of_a_burst_loses_no_block() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let pair = Pair::start(&net, &home);
        write_burst(&home);
        let first = in_the_middle(&home);
        signal(first, Signal::KILL);
        all_in_force_once(&net, &home);
        wait_for("it is said", PATIENCE, || {
            let said = pair.agentd.said();
            said.contains("a worker is replaced").then_some(())
        });
        assert_ne!(worker(&home), Some(first));
    });
}

#[test]
fn a_worker_that_stands_still_is_replaced_when_the_time_of_its_orders_is_over() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let quick = "<command><name>quick</name><executable>firewall-drop</executable>\
                     <timeout_allowed>yes</timeout_allowed>\
                     <execution_timeout>2</execution_timeout></command>";
        home.configure(&[quick, &response("quick", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        net.wait_blocked("203.0.113.1", PATIENCE);
        let first = worker(&home).unwrap();
        stop(first);
        home.alert(&[Alert::sshd("203.0.113.2")]);
        net.wait_blocked("203.0.113.2", PATIENCE);
        let applied = home.wait_state("203.0.113.2", "applied");
        assert_eq!(applied["detail"], "its worker was replaced");
        assert!(!first.is_running());
        let log = home.log();
        assert!(log.contains("killed: its worker was lost"), "{log}");
    });
}

#[test]
fn a_worker_ends_with_its_agentd_and_everything_is_in_force_once_afterwards() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let Pair {
            manager: _manager,
            agentd,
        } = Pair::start(&net, &home);
        write_burst(&home);
        let first = in_the_middle(&home);
        agentd.kill();
        wait_for("the worker is gone", Duration::from_secs(1), || {
            (!first.is_running()).then_some(())
        });
        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        all_in_force_once(&net, &home);
        assert!(worker(&home).is_some_and(|second| second != first));
    });
}

/// It cannot notice that its agentd is gone, and would act later.
#[test]
fn a_worker_that_stands_still_while_its_agentd_is_killed_is_ended_by_the_next_one() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let Pair {
            manager: _manager,
            agentd,
        } = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        home.wait_state("203.0.113.1", "applied");
        let first = worker(&home).unwrap();
        stop(first);
        agentd.kill();
        assert!(first.is_running());
        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        home.alert(&[Alert::sshd("203.0.113.2")]);
        net.wait_blocked("203.0.113.2", PATIENCE);
        home.wait_state("203.0.113.2", "applied");
        assert!(!first.is_running());
    });
}

#[test]
fn a_person_reverts_through_the_worker() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        home.wait_state("203.0.113.1", "applied");
        let first = worker(&home).unwrap();
        assert!(!net.arrives("203.0.113.1"));
        // What did not arrive is counted, for whoever looks meanwhile, ...
        let in_force = home.ctl_json(&["responses"]);
        let by_now = in_force[0]["hits"].as_u64();
        assert!(by_now > Some(0), "{in_force}");
        let reverted = home.ctl(&["revert", "--target", "203.0.113.1"]);
        assert!(reverted.status.success(), "{reverted:?}");
        assert!(net.arrives("203.0.113.1"));
        let reverted = home.wait_state("203.0.113.1", "reverted");
        assert_eq!(worker(&home), Some(first));
        // ... and told at the end.
        assert!(reverted["hits"].as_u64() >= by_now, "{reverted}");
    });
}

/// What is told as reverted agentd has lifted and looked up: the kernel would
/// lift it by itself half a second after its end.
#[test]
fn ends_at_the_same_moment_are_kept_to_the_second() {
    const ENDS: usize = 200;
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "10")]);
        let _pair = Pair::start(&net, &home);
        let alerts: Vec<_> = attackers()[..ENDS]
            .iter()
            .map(|address| Alert::sshd(&address.to_string()))
            .collect();
        home.alert(&alerts);
        wait_for("all are reverted", PATIENCE, || {
            let told = home.responses();
            let over = told.iter().filter(|record| record["state"] == "reverted");
            (over.count() >= ENDS).then_some(())
        });
        let mut until = BTreeMap::new();
        for record in home.responses() {
            let action = text(&record, "action");
            match text(&record, "state").as_str() {
                "applied" => {
                    until.insert(action, millis(&record, "until"));
                }
                "reverted" => {
                    let late = millis(&record, "time") - until[&action];
                    assert!((0..=1_000).contains(&late), "{late} ms: {record}");
                }
                _ => {}
            }
        }
        assert_eq!(ended(&home), 2 * ENDS);
    });
}

/// A log that was renamed is left alone, as by logrotate.
#[test]
fn a_worker_follows_the_log_when_it_is_renamed() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.1")]);
        home.wait_state("203.0.113.1", "applied");
        let log = home.file("logs/active-responses.log");
        fs::rename(&log, home.file("logs/active-responses.log.1")).unwrap();
        home.alert(&[Alert::sshd("203.0.113.2")]);
        home.wait_state("203.0.113.2", "applied");
        let new = home.log();
        assert_eq!(new.lines().count(), 4, "{new}");
        assert!(new.contains("203.0.113.2") && new.ends_with(": Ended\n"));
    });
}

#[test]
fn what_a_worker_could_not_do_has_the_exit_status_of_a_run_of_its_own() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        net.server("nft", &["add", "table", "inet", "ripost"]);
        let set = "{ type ipv4_addr; flags timeout; size 10; }";
        let set = format!("add set inet ripost firewall_drop_4 {set}");
        net.server("nft", &[&set]);
        let _pair = Pair::start(&net, &home);
        write_burst(&home);
        let failed = usize::try_from(BURST).unwrap() - 10;
        wait_for("the others have failed", PATIENCE, || {
            let told = home.responses();
            let full = told.iter().filter(|record| {
                record["state"] == "failed"
                    && record["exit_code"] == 73
                    && text(record, "stderr").contains("nft delete table inet ripost")
            });
            (full.count() == failed).then_some(())
        });
        assert!(worker(&home).is_some(), "a worker was to do it");
    });
}
