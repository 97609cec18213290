//! Daemons that are killed at random moments, again and again.
//!
//! Whatever the moment: no block is lost, doubled, lifted early, or left for
//! ever. `RIPOST_KILL_ROUNDS` sets how often, `RIPOST_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, command, has_key, response, text};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::random::Random;
use crate::support::wait_for;

/// Rules and the timeouts of their responses, in seconds.
const RULES: &[(&str, u64)] = &[("5763", 3), ("31151", 5), ("5712", 9)];

/// How long a block may take to come, with a daemon killed meanwhile.
const LOST: Duration = Duration::from_secs(15);
/// How much later than its end a block may be seen to be lifted: a second, and
/// the time in which the agent was down or starting.
const LATE: Duration = Duration::from_secs(4);

/// A block that was asked for.
struct Block {
    address: IpAddr,
    timeout: Duration,
    /// Before the alert was written: the timeout cannot run from any earlier.
    written: Instant,
    /// When its packets were first seen to be dropped.
    seen: Instant,
}

struct Ordeal {
    // First, so that what the daemons said is still there when they go.
    pair: Pair,
    net: Net,
    home: Home,
    random: Random,
    /// Blocks that have not been seen lifted.
    open_ends: Vec<Block>,
}

impl Ordeal {
    /// One alert, one or two daemons killed around it, and the block.
    fn round(&mut self, number: u64) {
        let address = format!("198.18.{}.{}", number / 250, number % 250 + 1);
        let (rule, timeout) = RULES[usize::try_from(self.random.below(3)).unwrap()];
        let alert = Alert::sshd(&address).rule(rule);

        let program = match self.random.below(2) {
            0 => Program::Manager,
            _ => Program::Agentd,
        };
        let both = self.random.below(4) == 0;
        let alert_first = self.random.below(3) > 0;
        let moment = self.random.span(Duration::from_millis(40));

        let written = Instant::now();
        if alert_first {
            self.home.alert(std::slice::from_ref(&alert));
            sleep(moment);
        }
        self.kill(program);
        if both {
            self.kill(other(program));
        }
        if !alert_first {
            self.home.alert(&[alert]);
        }
        if self.random.below(3) == 0 {
            self.kill_while_starting(program);
        }
        if both {
            self.start(other(program));
        }
        self.start(program);

        self.net.wait_blocked(&address, LOST);
        self.open_ends.push(Block {
            address: address.parse().unwrap(),
            timeout: Duration::from_secs(timeout),
            written,
            seen: Instant::now(),
        });
        self.look();
    }

    fn slot(&mut self, program: Program) -> &mut Daemon {
        match program {
            Program::Manager => &mut self.pair.manager,
            Program::Agentd => &mut self.pair.agentd,
        }
    }

    fn kill(&mut self, program: Program) {
        self.slot(program).kill_now();
    }

    fn start(&mut self, program: Program) {
        let daemon = Daemon::start(&self.net, &self.home, program);
        *self.slot(program) = daemon;
    }

    /// A daemon that is killed while it picks up what its predecessor left.
    fn kill_while_starting(&mut self, program: Program) {
        let daemon = Daemon::launch(&self.net, &self.home, program);
        let moment = self.random.span(Duration::from_millis(30));
        sleep(moment);
        daemon.kill();
    }

    /// Asks for every block at once whether it holds, as it must before its
    /// end, and whether it is gone, as it must be a while after.
    fn look(&mut self) {
        let asked = Instant::now();
        let addresses: Vec<IpAddr> = self.open_ends.iter().map(|block| block.address).collect();
        let arrives = self.net.probe(&addresses);
        let answered = Instant::now();
        for (block, arrives) in self.open_ends.iter().zip(&arrives) {
            let early = *arrives && answered < block.written + block.timeout;
            assert!(!early, "{} was lifted early", block.address);
            let eternal = !arrives && asked > block.seen + block.timeout + LATE;
            assert!(!eternal, "{} was not lifted", block.address);
        }
        let mut arrives = arrives.into_iter();
        self.open_ends.retain(|_| arrives.next() == Some(false));
    }

    fn finish(&mut self) {
        while !self.open_ends.is_empty() {
            self.look();
        }
        let net = &self.net;
        wait_for("the set is empty", LATE, || {
            (!net.table().contains("198.18.")).then_some(())
        });
        let home = &self.home;
        wait_for("every action has ended", LATE, || {
            (home.ctl_json(&["responses"]) == Value::Array(vec![])).then_some(())
        });
    }
}

fn other(program: Program) -> Program {
    match program {
        Program::Manager => Program::Agentd,
        Program::Agentd => Program::Manager,
    }
}

fn rounds() -> u64 {
    std::env::var("RIPOST_KILL_ROUNDS").map_or(200, |rounds| {
        rounds.parse().expect("RIPOST_KILL_ROUNDS is a number")
    })
}

/// The states of each action of an executable, by the target it is about.
fn actions(records: &[Value], executable: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut actions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in records {
        if record["executable"] == executable {
            let states = actions.entry(text(record, "action")).or_default();
            states.insert(text(record, "state"));
        }
    }
    actions
}

/// What `responses.json` tells of the actions for the alert about an address,
/// whose own records have no keys where a script printed none.
fn told_of(records: &[Value], address: &str) -> String {
    let about = records.iter().find(|record| has_key(record, address));
    let alert = about
        .map(|record| text(record, "alert"))
        .unwrap_or_default();
    let lines: Vec<String> = records
        .iter()
        .filter(|record| text(record, "alert") == alert)
        .map(Value::to_string)
        .collect();
    lines.join("\n")
}

#[test]
fn no_block_is_lost_doubled_early_or_eternal() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let ran = home.beside().join("ran");
        home.script(
            "tally",
            &format!(
                "read -r line || exit 1\nprintf '%s\\n' \"$line\" | sed 's/.*\"srcip\":\"\\([^\"]*\\)\".*/\\1/' >> {}",
                ran.display()
            ),
        );
        let mut blocks = vec![command("tally", "")];
        for (rule, timeout) in RULES {
            blocks.push(response("firewall-drop", rule, &timeout.to_string()));
        }
        let every_rule = RULES
            .iter()
            .map(|(rule, _)| *rule)
            .collect::<Vec<_>>()
            .join(",");
        blocks.push(response("tally", &every_rule, ""));
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        home.configure(&blocks);
        home.append(b"");
        let pair = Pair::start(&net, &home);
        let random = Random::new();
        let mut ordeal = Ordeal {
            net,
            home,
            pair,
            random,
            open_ends: Vec::new(),
        };
        let rounds = rounds();
        for number in 0..rounds {
            ordeal.round(number);
        }
        ordeal.finish();

        let expected = usize::try_from(rounds).unwrap();
        let records = ordeal.home.responses_after_crashes();
        let drops = actions(&records, "firewall-drop");
        assert_eq!(drops.len(), expected, "one action for each alert");
        for (action, states) in &drops {
            assert!(
                states.contains("applied") && states.contains("reverted"),
                "{action}: {states:?}"
            );
            let wrong = ["already", "failed", "refused", "expired"];
            assert!(
                !wrong.iter().any(|state| states.contains(*state)),
                "{action}: {states:?}"
            );
        }

        let tallies = actions(&records, "tally");
        assert_eq!(tallies.len(), expected, "one run for each alert");
        let interrupted = tallies
            .values()
            .filter(|states| states.contains("failed"))
            .count();
        for (action, states) in &tallies {
            let ends = states.contains("done") != states.contains("failed");
            assert!(ends, "{action} ends in one way: {states:?}");
        }
        let text = fs::read_to_string(&ran).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let once: BTreeSet<&str> = lines.iter().copied().collect();
        for address in &once {
            let runs = lines.iter().filter(|line| *line == address).count();
            assert_eq!(
                runs,
                1,
                "runs for {address}: {}",
                told_of(&records, address)
            );
        }
        assert!(
            once.len() + interrupted >= expected,
            "{} ran, {interrupted} were interrupted, of {expected}",
            once.len()
        );
    });
}
