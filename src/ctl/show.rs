//! What each reading verb shows to people. Pure: what is in force is shown
//! against the moment that is passed in.

use std::time::Duration;

use crate::clock::Wall;
use crate::ctl::table::{escape, table};
use crate::model::{ActionState, AgentId, AgentName, AgentRef, Keys, Record};
use crate::wire::control::{
    Agent, AlertSource, Connection, IssuedToken, RevertOutcome, Status, Upstream, UsableToken,
};

/// Shown where a value does not apply.
const NONE: &str = "-";

pub(super) fn status(status: &Status, now: Wall) -> String {
    let mut text = format!(
        "{} {}, pid {}, up {} (since {})\n",
        escape(&status.daemon),
        escape(&status.version),
        status.pid,
        span(status.since.until(now)),
        status.since.local_log_stamp(),
    );
    if let Some(upstream) = &status.manager {
        text.push_str(&manager(upstream, now));
    }
    let rows: Vec<_> = status
        .counters
        .iter()
        .map(|counter| [counter.name.clone(), counter.value.to_string()])
        .collect();
    text.push_str(&table(["COUNTER", "VALUE"], &rows));
    text.push_str(&sources(&status.sources));
    for problem in &status.problems {
        text.push_str(&format!("problem: {}\n", escape(problem)));
    }
    text
}

/// One row per source of alerts, and beneath the table what of each is no alert.
fn sources(sources: &[AlertSource]) -> String {
    let rows: Vec<_> = sources
        .iter()
        .map(|source| {
            let not_alerts: u64 = source.not_alerts.iter().map(|some| some.lines).sum();
            [
                source.location.clone(),
                source.format.clone(),
                source.bytes.to_string(),
                source.lines.to_string(),
                source.alerts.to_string(),
                source.matched.to_string(),
                not_alerts.to_string(),
                (source.strays + source.passed_over).to_string(),
                moment(source.last_line),
            ]
        })
        .collect();
    let mut text = table(
        [
            "SOURCE",
            "FORMAT",
            "BYTES",
            "LINES",
            "ALERTS",
            "MATCHED",
            "NO ALERT",
            "PASSED OVER",
            "LAST LINE",
        ],
        &rows,
    );
    for source in sources {
        for some in &source.not_alerts {
            let (location, why) = (escape(&source.location), escape(&some.why));
            text.push_str(&format!("no alert: {} of {location}: {why}\n", some.lines));
        }
    }
    text
}

/// How an agent stands with its manager, in one line.
fn manager(upstream: &Upstream, now: Wall) -> String {
    let mut line = match (&upstream.address, upstream.since) {
        (Some(address), Some(since)) => format!(
            "manager {}, connected for {} (since {})",
            escape(address),
            span(since.until(now)),
            since.local_log_stamp()
        ),
        (Some(address), None) => format!("manager {}", escape(address)),
        (None, _) => "manager not connected".to_owned(),
    };
    if let Some(until) = upstream.certificate_until {
        let word = if until > now {
            "is valid until"
        } else {
            "expired on"
        };
        line.push_str(&format!("; certificate {word} {}", until.local_log_stamp()));
    }
    line + "\n"
}

/// One row per agent, and beneath the table what each of them lacks.
pub(super) fn agents(agents: &[Agent]) -> String {
    let rows: Vec<_> = agents
        .iter()
        .map(|agent| {
            let state = match agent.state {
                Connection::Connected => "connected",
                Connection::Offline => "offline",
            };
            [
                agent.id.to_string(),
                agent.name.clone(),
                or_none(&agent.groups.join(",")),
                or_none(agent.address.as_deref().unwrap_or_default()),
                or_none(agent.version.as_deref().unwrap_or_default()),
                state.to_owned(),
                moment(agent.since),
                agent.pending.to_string(),
                agent.in_force.to_string(),
                agent.gaps.len().to_string(),
            ]
        })
        .collect();
    let mut text = table(
        [
            "ID", "NAME", "GROUPS", "ADDRESS", "VERSION", "STATE", "SINCE", "PENDING", "IN FORCE",
            "GAPS",
        ],
        &rows,
    );
    for agent in agents {
        for gap in &agent.gaps {
            let (name, gap) = (escape(&agent.name), escape(gap));
            text.push_str(&format!("gap: {} {name}: {gap}\n", agent.id));
        }
    }
    text
}

pub(super) fn tokens(tokens: &[IssuedToken]) -> String {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let id = token.id.as_ref().map(AgentId::to_string);
            let name = token.name.as_ref().map(AgentName::to_string);
            [
                or_none(&id.unwrap_or_default()),
                or_none(&name.unwrap_or_default()),
                token.token.clone(),
            ]
        })
        .collect();
    table(["ID", "NAME", "TOKEN"], &rows)
}

/// One row per token; its id, never its secret.
pub(super) fn usable_tokens(tokens: &[UsableToken]) -> String {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            let id = token.id.as_ref().map(AgentId::to_string);
            let name = token.name.as_ref().map(AgentName::to_string);
            let groups: Vec<_> = token.groups.iter().map(|group| group.as_str()).collect();
            [
                token.token.to_string(),
                id.unwrap_or_else(|| "any".to_owned()),
                or_none(&name.unwrap_or_default()),
                or_none(&groups.join(",")),
                token.uses.to_string(),
                token.expires.local_log_stamp(),
            ]
        })
        .collect();
    table(
        ["TOKEN", "AGENT", "NAME", "GROUPS", "USES LEFT", "EXPIRES"],
        &rows,
    )
}

/// Text of a daemon that is data, line by line.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(|line| escape(line) + "\n").collect()
}

/// What became of a command that a person started, one row per host.
pub(super) fn outcomes_of_run(records: &[Record]) -> String {
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            [
                agent(&record.agent),
                record.state.to_string(),
                keys(record.keys.as_ref()),
                moment(record.until),
                record.action.to_string(),
                record.detail.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(
        ["AGENT", "STATE", "TARGET", "UNTIL", "ACTION", "DETAIL"],
        &rows,
    )
}

pub(super) fn responses(records: &[Record], now: Wall) -> String {
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            let left = match record.until {
                Some(until) if until > now => span(now.until(until)),
                Some(_) => "due".to_owned(),
                None if record.state == ActionState::Reverting => "due".to_owned(),
                None => "no end".to_owned(),
            };
            [
                record.action.to_string(),
                record.state.to_string(),
                record.command.to_string(),
                agent(&record.agent),
                keys(record.keys.as_ref()),
                record
                    .rule
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |rule| rule.id.to_string()),
                moment(record.since),
                left,
                hits(record),
                record.detail.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(
        [
            "ACTION", "STATE", "COMMAND", "AGENT", "TARGET", "RULE", "SINCE", "LEFT", "HITS",
            "DETAIL",
        ],
        &rows,
    )
}

pub(super) fn history(records: &[Record]) -> String {
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            [
                record.time.local_log_stamp(),
                record.state.to_string(),
                record.command.to_string(),
                agent(&record.agent),
                keys(record.keys.as_ref()),
                record
                    .rule
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |rule| rule.id.to_string()),
                record.action.to_string(),
                hits(record),
                record.detail.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(
        [
            "TIME", "STATE", "COMMAND", "AGENT", "TARGET", "RULE", "ACTION", "HITS", "DETAIL",
        ],
        &rows,
    )
}

pub(super) fn outcomes(outcomes: &[RevertOutcome]) -> String {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            [
                outcome.action.to_string(),
                or_none(&outcome.keys),
                outcome.state.to_string(),
                outcome.detail.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(["ACTION", "TARGET", "STATE", "DETAIL"], &rows)
}

fn agent(agent: &AgentRef) -> String {
    format!("{} {}", agent.id, agent.name)
}

/// How many packets it has dropped, where that is known.
fn hits(record: &Record) -> String {
    let hits = record.hits.map(|hits| hits.to_string());
    or_none(&hits.unwrap_or_default())
}

fn keys(keys: Option<&Keys>) -> String {
    or_none(&keys.map(Keys::to_string).unwrap_or_default())
}

fn or_none(text: &str) -> String {
    if text.is_empty() { NONE } else { text }.to_owned()
}

fn moment(wall: Option<Wall>) -> String {
    wall.map_or_else(|| NONE.to_owned(), Wall::local_log_stamp)
}

/// The two largest units: `58s`, `9m58s`, `3h05m`, `2d07h`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        86_400.. => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{span, status};
    use crate::clock::Wall;
    use crate::wire::control::{Status, Upstream};

    #[test]
    fn an_agent_s_status_says_how_it_stands_with_its_manager() {
        let at = |seconds: i64| Wall::from_millis(1_795_514_400_000 + seconds * 1_000);
        let stamp = |seconds: i64| at(seconds).local_log_stamp();
        let shown = |manager: Option<Upstream>| {
            let status_of_agent = Status {
                daemon: "ripost-agentd".to_owned(),
                version: "0.1.0".to_owned(),
                pid: 7,
                since: at(0),
                counters: Vec::new(),
                sources: Vec::new(),
                manager,
                problems: Vec::new(),
            };
            let text = status(&status_of_agent, at(100));
            text.lines().nth(1).unwrap_or_default().to_owned()
        };
        let connected = Upstream {
            address: Some("192.0.2.1:1517".to_owned()),
            since: Some(at(10)),
            certificate_until: Some(at(200)),
        };
        let alone = Upstream {
            certificate_until: Some(at(99)),
            ..Upstream::default()
        };
        let local = Upstream {
            address: Some("queue/m\x1b.sock".to_owned()),
            since: Some(at(40)),
            certificate_until: None,
        };
        for (manager, expected) in [
            (
                Some(connected),
                format!(
                    "manager 192.0.2.1:1517, connected for 1m30s (since {}); certificate is valid until {}",
                    stamp(10),
                    stamp(200)
                ),
            ),
            (
                Some(alone),
                format!(
                    "manager not connected; certificate expired on {}",
                    stamp(99)
                ),
            ),
            (
                Some(local),
                format!(
                    "manager queue/m\\u{{1b}}.sock, connected for 1m00s (since {})",
                    stamp(40)
                ),
            ),
        ] {
            assert_eq!(shown(manager), expected);
        }
        assert!(!shown(None).contains("manager "));
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        for (seconds, shown) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (598, "9m58s"),
            (3_600, "1h00m"),
            (11_130, "3h05m"),
            (86_400, "1d00h"),
            (200_000, "2d07h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), shown);
        }
    }
}
