//! Bad networks and killed daemons, while alerts come. Whatever happens to the
//! way there: each action takes place once, and none is lost.
//! `RIPOST_FLEET_KILL_ROUNDS` sets how often is killed, `RIPOST_SEED` repeats a
//! run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::cable::Luck;
use crate::scene::{
    ALL, Config, DB_3, Fleet, LOCAL, SIEM, WEB_1, WEB_2, agent, drop_at, respond, stderr,
};
use crate::support::alert::Alert;
use crate::support::home::{Home, command, text};
use crate::support::isolation::isolated;
use crate::support::random::Random;
use crate::support::wait_for;

/// In how many alerts the storm consists, and how many come at once.
const BURST: usize = 200;
const GUST: usize = 20;

/// How long it may take until everything has arrived after the worst.
const CALM: Duration = Duration::from_secs(60);

/// A block on some hosts and a note of a script on the same, for rule 5763 on
/// the host of the alert and for rule 31151 on all.
fn fleet() -> Fleet {
    Fleet::start(&Config {
        blocks: vec![
            command("tally", ""),
            drop_at(LOCAL, "5763", "600"),
            drop_at(ALL, "31151", "600"),
            respond("tally", LOCAL, "5763", ""),
        ],
        scripts: &[("tally", TALLY)],
        ..Config::default()
    })
}

/// Notes the attacker of each of its runs.
const TALLY: &str = "read -r line || exit 1
printf '%s\\n' \"$line\" | sed 's/.*\"srcip\":\"\\([^\"]*\\)\".*/\\1/' >> logs/tally";

/// What the script has noted on a host.
fn runs(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.file("logs/tally")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What is wanted: which attackers each host is to block.
type Wanted = BTreeMap<usize, BTreeSet<String>>;

/// Waits until each host blocks what it is to block, and nothing else.
#[track_caller]
fn wait_blocking(fleet: &Fleet, wanted: &Wanted) {
    for (place, wanted) in wanted {
        let host = &fleet.hosts[*place];
        wait_for(&format!("everything is blocked on {place}"), CALM, || {
            let dropped: BTreeSet<String> = host.space.dropped().into_iter().collect();
            assert!(dropped.is_subset(wanted), "{dropped:?} on {place}");
            (dropped == *wanted).then_some(())
        });
    }
}

/// What is wanted on some of the hosts.
fn of(wanted: &Wanted, places: &[usize]) -> Wanted {
    let some = wanted.iter().filter(|(place, _)| places.contains(place));
    some.map(|(place, wanted)| (*place, wanted.clone()))
        .collect()
}

/// Looks through `responses.json`: one block for each attacker and host, which
/// was applied and met no other of the kind.
#[track_caller]
fn each_once(fleet: &Fleet, wanted: &Wanted) {
    let told = || {
        let mut told: BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>> =
            BTreeMap::new();
        for (attacker, record) in drops(fleet) {
            let host = told
                .entry((agent(&record).to_owned(), attacker))
                .or_default();
            let states = host.entry(text(&record, "action")).or_default();
            states.insert(text(&record, "state"));
        }
        told
    };
    let count: usize = wanted.values().map(BTreeSet::len).sum();
    let told = wait_for("everything is told to the manager", CALM, || {
        let told = told();
        let is_applied = |actions: &BTreeMap<String, BTreeSet<String>>| {
            actions.values().any(|states| states.contains("applied"))
        };
        (told.len() == count && told.values().all(is_applied)).then_some(told)
    });
    for ((id, attacker), actions) in told {
        assert_eq!(actions.len(), 1, "{attacker} on {id}: {actions:?}");
        for states in actions.values() {
            let bad = ["already", "failed", "refused", "expired", "reverted"];
            let is_bad = bad.iter().any(|state| states.contains(*state));
            assert!(!is_bad, "{attacker} on {id}: {states:?}");
        }
    }
}

/// The records of blocks, with the attacker of each.
fn drops(fleet: &Fleet) -> Vec<(String, Value)> {
    let records = fleet.centre().responses_after_crashes().into_iter();
    let drops = records.filter(|record| record["executable"] == "firewall-drop");
    drops
        .map(|record| (fleet.attacker(&record), record))
        .collect()
}

fn id(place: usize) -> String {
    format!("{place:03}")
}

/// Alerts of the hosts in turn, each with an attacker of its own.
fn burst(places: &[usize]) -> (Vec<Alert>, Wanted) {
    let mut wanted = Wanted::new();
    let mut alerts = Vec::new();
    for number in 0..BURST {
        let attacker = format!("198.18.{}.{}", number / 250, number % 250 + 1);
        let place = places[number % places.len()];
        alerts.push(Alert::sshd(&attacker).agent(&id(place)));
        wanted.entry(place).or_default().insert(attacker);
    }
    (alerts, wanted)
}

#[test]
fn a_partition_on_a_bad_network_during_a_burst_loses_and_doubles_nothing() {
    isolated(|| {
        let fleet = fleet();
        let members = [WEB_1, WEB_2, DB_3];
        let manager = fleet.hosts[SIEM].space.address;
        let luck = Luck::new();
        let bad = members.map(|place| fleet.hosts[place].space.spoil(&luck));
        let (alerts, wanted) = burst(&members);
        // Two of three are cut off in the middle of it, one after the other.
        for (gust, alerts) in alerts.chunks(GUST).enumerate() {
            match gust {
                2 => fleet.hosts[WEB_1].space.ignore(manager),
                4 => fleet.hosts[DB_3].space.ignore(manager),
                _ => {}
            }
            fleet.alert(alerts);
            sleep(Duration::from_millis(100));
        }
        // All of it reaches the third, whose cable is only bad.
        wait_blocking(&fleet, &of(&wanted, &[WEB_2]));
        for place in [WEB_1, DB_3] {
            let space = &fleet.hosts[place].space;
            assert!(space.dropped().len() < wanted[&place].len(), "{place}");
            space.listen_to_all();
        }

        wait_blocking(&fleet, &wanted);
        each_once(&fleet, &wanted);
        for (place, wanted) in &wanted {
            let home = &fleet.hosts[*place].home;
            wait_for("every script has run", CALM, || {
                (runs(home).len() >= wanted.len()).then_some(())
            });
            let ran = runs(home);
            assert_eq!(ran.len(), wanted.len(), "on {place}: {ran:?}");
            assert_eq!(ran.into_iter().collect::<BTreeSet<_>>(), *wanted);
        }
        fleet.wait_all_connected();
        for (place, bad) in members.into_iter().zip(bad) {
            let harm = fleet.hosts[place].space.repair(bad);
            assert!(harm.least() > 0, "a good network on {place}: {harm:?}");
        }
    });
}

fn rounds() -> usize {
    std::env::var("RIPOST_FLEET_KILL_ROUNDS").map_or(40, |rounds| {
        let problem = "RIPOST_FLEET_KILL_ROUNDS is a number";
        rounds.parse().expect(problem)
    })
}

#[test]
fn kills_of_either_side_lose_double_and_leak_nothing() {
    isolated(|| {
        let mut fleet = fleet();
        let mut random = Random::new();
        let mut wanted = Wanted::new();
        for round in 0..rounds() {
            let attacker = format!("198.19.{}.{}", round / 250, round % 250 + 1);
            let places = fleet.hosts.len();
            let any = |random: &mut Random| random.below(places as u64) as usize;
            let (alert, hosts) = if random.below(3) == 0 {
                (Alert::web(&attacker), (0..places).collect())
            } else {
                let place = any(&mut random);
                (Alert::sshd(&attacker).agent(&id(place)), vec![place])
            };
            for place in hosts {
                wanted.entry(place).or_default().insert(attacker.clone());
            }
            let victim = any(&mut random);
            let kills_manager = random.below(3) == 0;
            let alert_first = random.below(3) > 0;
            if alert_first {
                fleet.alert(std::slice::from_ref(&alert));
                sleep(random.span(Duration::from_millis(40)));
            }
            if kills_manager {
                fleet.kill_manager();
            }
            if !kills_manager || random.below(4) == 0 {
                fleet.hosts[victim].kill();
            }
            if !alert_first {
                fleet.alert(&[alert]);
            }
            if fleet.manager.is_none() {
                fleet.start_manager();
            }
            if fleet.hosts[victim].agentd.is_none() {
                fleet.start_agentd(victim);
            }
        }
        fleet.wait_all_connected();
        wait_blocking(&fleet, &wanted);
        each_once(&fleet, &wanted);
        for (place, wanted) in &wanted {
            let listed = fleet.hosts[*place].home.ctl_json(&["responses"]);
            let listed = listed.as_array().unwrap();
            let here = listed.iter().filter(|record| agent(record) == id(*place));
            assert_eq!(here.count(), wanted.len(), "in force on {place}");
            let ran = runs(&fleet.hosts[*place].home);
            let once: BTreeSet<&String> = ran.iter().collect();
            assert_eq!(once.len(), ran.len(), "ran twice on {place}: {ran:?}");
        }

        let output = fleet.centre().ctl(&["revert", "--all", "--yes"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        for host in &fleet.hosts {
            assert!(host.space.dropped().is_empty());
            assert_eq!(host.home.ctl_json(&["responses"]), Value::Array(vec![]));
        }
    });
}
