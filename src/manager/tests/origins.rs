//! Agents that an alert has only the name of.

use super::scene::Scene;
use crate::model::position::Generation;
use crate::source::Line;

/// A record of OSSEC, of a log that was read at this place.
fn record(number: u64, place: &str) -> Line {
    let text = format!(
        "** Alert 1795191000.{number}: - sshd,\n2026 Nov 20 16:10:00 {place}\n\
         Rule: 1 (level 10) -> 'x'\nSrc IP: 203.0.113.9\nlogin from 203.0.113.9"
    );
    Line {
        offset: number * 1_000,
        generation: Generation(1),
        bytes: text.into_bytes(),
    }
}

#[tokio::test]
async fn an_agent_that_is_named_is_the_one_of_that_name() {
    let mut scene = Scene::with_agents(2);
    for (number, (place, wanted)) in [
        ("(host-1) 192.0.2.1->/var/log/auth.log", vec!["001 queued"]),
        ("(HOST-2) any->/var/log/auth.log", vec!["002 queued"]),
        ("db->/var/log/auth.log", vec!["000 queued"]),
        ("(db) any->/var/log/auth.log", vec![]),
        ("(host-1)->/var/log/auth.log", vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let before = scene.states().len();
        let strangers = scene.manager.counts.strangers;
        scene.lines(vec![record(number as u64, place)]).await;
        assert_eq!(scene.states()[before..], wanted, "{place}");
        let are_strange = scene.manager.counts.strangers > strangers;
        assert_eq!(are_strange, wanted.is_empty(), "{place}");
    }
}
