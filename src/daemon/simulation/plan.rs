//! What is to happen in a run: drawn from its seed before it begins.

use std::time::Duration;

use super::history::Random;

/// Rules and what they lead to. A target that comes again is held for as long as
/// the first time, so that only its count differs.
pub(super) const CONFIG: &str = "<ripost_config>
  <global><white_list>203.0.113.250</white_list></global>
  <alert_source><location>logs/alerts/alerts.json</location><start_at>beginning</start_at></alert_source>
  <command><name>drop</name><executable>firewall-drop</executable><timeout_allowed>yes</timeout_allowed></command>
  <command><name>deny</name><executable>host-deny</executable><timeout_allowed>yes</timeout_allowed></command>
  <command><name>lock</name><executable>lock.sh</executable><timeout_allowed>yes</timeout_allowed></command>
  <command><name>note</name><executable>note.sh</executable><timeout_allowed>no</timeout_allowed></command>
  <active-response><command>drop</command><location>local</location><rules_id>1</rules_id><timeout>20</timeout><repeated_offenders>20s</repeated_offenders></active-response>
  <active-response><command>drop</command><location>all</location><rules_id>2</rules_id><timeout>60</timeout><repeated_offenders>60s</repeated_offenders></active-response>
  <active-response><command>deny</command><location>defined-agent</location><agent_id>1-3</agent_id><rules_id>3</rules_id><timeout>5</timeout><repeated_offenders>5s</repeated_offenders></active-response>
  <active-response><command>note</command><location>local</location><rules_id>4</rules_id></active-response>
  <active-response><command>lock</command><location>local</location><rules_id>5</rules_id><timeout>30</timeout><repeated_offenders>30s</repeated_offenders></active-response>
  <active-response><command>drop</command><location>local</location><rules_id>6</rules_id></active-response>
</ripost_config>";

pub(super) const AGENTS: u32 = 3;

/// What the manager's white list keeps from harm, and what that of each agent.
pub(super) const SPARED: [&str; 2] = ["203.0.113.250", "203.0.113.251"];

/// What a rule leads to, as the checker knows it.
pub(super) struct Rule {
    pub(super) exe: &'static str,
    pub(super) timeout: Option<u64>,
    /// On which agents, given the one the alert came from.
    pub(super) agents: fn(u32) -> Vec<u32>,
}

pub(super) fn rule(number: u32) -> Rule {
    let local: fn(u32) -> Vec<u32> = |agent| vec![agent];
    let (exe, timeout, agents): (_, _, fn(u32) -> Vec<u32>) = match number {
        1 => ("firewall-drop", Some(20), local),
        2 => ("firewall-drop", Some(60), |_| (0..=AGENTS).collect()),
        3 => ("host-deny", Some(5), |_| (1..=AGENTS).collect()),
        4 => ("note.sh", None, local),
        5 => ("lock.sh", Some(30), local),
        6 => ("firewall-drop", None, local),
        other => panic!("there is no rule {other}"),
    };
    Rule {
        exe,
        timeout,
        agents,
    }
}

/// How a daemon ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fall {
    Killed,
    /// It is asked to stop.
    Told,
    /// Its host loses its power.
    Power,
}

impl Fall {
    fn draw(random: &mut Random, power: u64) -> Self {
        match random.below(100) {
            dice if dice < power => Self::Power,
            dice if dice % 4 == 0 => Self::Told,
            _ => Self::Killed,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// So many alerts at once.
    Alerts(u64),
    Cut(u32),
    Hold(u32),
    Release(u32),
    Stop {
        host: u32,
        fall: Fall,
    },
    Start(u32),
    SetClock {
        host: u32,
        millis: i64,
    },
    /// A disk syncs nothing for so long, nor writes, unless it `writes`.
    Stall {
        host: u32,
        span: Duration,
        writes: bool,
    },
    /// A disk has no room for so long.
    Fill {
        host: u32,
        span: Duration,
    },
    /// A person takes something back.
    Revert,
}

/// How bad it gets, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    pub(super) cuts: bool,
    pub(super) kills: bool,
    pub(super) power: bool,
    pub(super) steps: bool,
    pub(super) faulty_runs: bool,
    pub(super) reverts: bool,
}

impl Temper {
    pub(super) fn draw(random: &mut Random) -> Self {
        let kills = random.percent(70);
        Self {
            cuts: random.percent(80),
            power: kills && random.percent(50),
            steps: random.percent(30),
            faulty_runs: random.percent(30),
            reverts: random.percent(40),
            kills,
        }
    }
}

/// The steps in order, and when the last is over.
pub(super) fn draw(random: &mut Random, temper: Temper) -> Vec<(Duration, Step)> {
    let length = 20_000 + random.below(100_000);
    let mut steps = Vec::new();
    for _ in 0..3 + random.below(10) {
        steps.push((random.millis(0, length), Step::Alerts(1 + random.below(4))));
    }
    let troubles = random.below(12);
    for _ in 0..troubles {
        let at = random.millis(0, length);
        let away = if random.percent(50) { 3_000 } else { 90_000 };
        let back = at + random.millis(1, away);
        let agent = host(random);
        let any = u32::try_from(random.below(u64::from(AGENTS) + 1)).unwrap();
        match random.below(6) {
            0 if temper.cuts => steps.push((at, Step::Cut(agent))),
            1 if temper.cuts => {
                steps.push((at, Step::Hold(agent)));
                steps.push((back, Step::Release(agent)));
            }
            2 | 3 if temper.kills => {
                let fall = Fall::draw(random, if temper.power { 50 } else { 0 });
                steps.push((at, Step::Stop { host: any, fall }));
                steps.push((back, Step::Start(any)));
            }
            4 if temper.steps => {
                let millis = random.millis(0, 20_000_000).as_millis();
                let millis = i64::try_from(millis).unwrap() - 10_000_000;
                steps.push((at, Step::SetClock { host: any, millis }));
            }
            5 if temper.reverts => steps.push((at, Step::Revert)),
            _ if random.percent(30) => {
                let span = random.millis(10, 900);
                steps.push((at, Step::Fill { host: any, span }));
            }
            _ => {
                let span = random.millis(10, 900);
                let writes = random.percent(50);
                steps.push((
                    at,
                    Step::Stall {
                        host: any,
                        span,
                        writes,
                    },
                ));
            }
        }
    }
    for _ in 0..random.below(4) {
        let at = random.millis(0, length);
        ambush(random, temper, at, &mut steps);
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

fn host(random: &mut Random) -> u32 {
    1 + u32::try_from(random.below(u64::from(AGENTS))).unwrap()
}

/// A host that goes down, or an agent that comes back, while alerts come and a
/// disk is slow: what is not written, or not synced, is most of all then.
fn ambush(random: &mut Random, temper: Temper, at: Duration, steps: &mut Vec<(Duration, Step)>) {
    let agent = host(random);
    let victim = if random.percent(40) { 0 } else { agent };
    let stall = Step::Stall {
        host: victim,
        span: random.millis(100, 900),
        writes: random.percent(60),
    };
    steps.push((at, stall));
    for _ in 0..2 + random.below(3) {
        steps.push((
            at + random.millis(0, 500),
            Step::Alerts(1 + random.below(3)),
        ));
    }
    let then = at + random.millis(1, 600);
    if temper.kills && random.percent(60) {
        let stop = Step::Stop {
            host: victim,
            fall: Fall::draw(random, if temper.power { 70 } else { 0 }),
        };
        steps.push((then, stop));
        steps.push((then + random.millis(1, 3_000), Step::Start(victim)));
    } else if temper.cuts {
        steps.push((then, Step::Cut(agent)));
    }
}
