//! The rules of the roster, one by one.

mod certificates;
mod enrolling;
mod importing;

use std::time::Duration;

use super::{Change, Enrolled, Member, Roster, Sighting, TokenParts};
use crate::clock::Wall;
use crate::model::{
    Ability, AgentGroup, AgentId, AgentName, Capabilities, ExeName, Fingerprint, JournalId,
    Selector,
};
use crate::wire::PROTOCOL;
use crate::wire::control::TokenWish;
use crate::wire::enroll::{EnrollRequest, PublicKey, Secret, TokenId};

pub(super) const NOW: Wall = Wall::from_millis(1_800_000_000_000);
pub(super) const DAY: u64 = 24 * 3600;

pub(super) fn after(seconds: u64) -> Wall {
    NOW.plus(Duration::from_secs(seconds))
}

pub(super) fn id(number: u32) -> AgentId {
    AgentId::from_number(number).unwrap()
}

pub(super) fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn group(text: &str) -> AgentGroup {
    AgentGroup::parse(text).unwrap()
}

pub(super) fn random(number: u8) -> (TokenId, Secret) {
    (
        TokenId::from_bytes([number; 8]),
        Secret::from_bytes([number; 16]),
    )
}

pub(super) fn print(number: u8) -> Fingerprint {
    Fingerprint::from_bytes([number; 32])
}

pub(super) fn wish(agent: Option<u32>, named: Option<&str>) -> TokenWish {
    TokenWish {
        id: agent.map(id),
        name: named.map(name),
        groups: Vec::new(),
        uses: 1,
        ttl: DAY,
    }
}

pub(super) fn request(token: (TokenId, Secret), named: &str) -> EnrollRequest {
    EnrollRequest {
        protocol: PROTOCOL,
        version: "0.1.0".to_owned(),
        token: token.0,
        secret: token.1,
        key: PublicKey::from_bytes([4; 65]),
        name: name(named),
    }
}

/// A token by this wish, made with the random bytes `number`.
fn issue(roster: &mut Roster, wish: &TokenWish, number: u8) -> TokenParts {
    roster.issue(wish, random(number), NOW).unwrap().0
}

/// Enrolls by a fresh token for this wish.
fn enroll(roster: &mut Roster, wish: &TokenWish, number: u8, named: &str) -> Enrolled {
    issue(roster, wish, number);
    let request = request(random(number), named);
    roster.enroll(&request, NOW).unwrap().0
}

/// A roster with an agent 001 that has used a certificate with the print 1.
fn with_agent() -> Roster {
    let mut roster = Roster::new("gate");
    enroll(&mut roster, &wish(None, None), 1, "web-1");
    roster
        .certified(&id(1), 1, print(1), after(30 * DAY))
        .unwrap();
    roster.admit(&print(1), &id(1), "192.0.2.1", NOW).unwrap();
    roster
}

fn agent(roster: &Roster, number: u32) -> &Member {
    roster.agent(&id(number)).unwrap()
}

#[test]
fn the_manager_s_own_host_is_there_from_the_start() {
    // No agent could be named so, and the host is called so all the same.
    let mut roster = Roster::new("7gate");
    let origin = agent(&roster, 0);
    assert!(origin.is_origin() && origin.is_enrolled());
    assert_eq!(origin.name(), "7gate");
    let changes = roster.seen(&AgentId::MANAGER, Sighting::default(), NOW);
    let loaded = Roster::load("renamed", changes).unwrap();
    assert_eq!(agent(&loaded, 0).name(), "renamed");
    assert_eq!(agent(&loaded, 0).last_seen(), Some(NOW));
}

fn able(executable: &str) -> Capabilities {
    let mut able = Capabilities::default();
    let name = ExeName::parse(executable).unwrap();
    able.executables.insert(name, Ability::default());
    able
}

fn describing(capabilities: Capabilities) -> Sighting {
    Sighting {
        capabilities: Some(capabilities),
        ..Sighting::default()
    }
}

#[test]
fn a_host_renamed_to_what_an_agent_is_named_takes_nothing_from_it() {
    let mut roster = Roster::new("gate");
    let (_, mut changes) = roster.issue(&wish(Some(1), None), random(1), NOW).unwrap();
    changes.extend(roster.enroll(&request(random(1), "web-1"), NOW).unwrap().1);
    let mut renamed = Roster::load("web-1", changes).unwrap();
    renamed.seen(&AgentId::MANAGER, Sighting::default(), NOW);
    let back = enroll(&mut renamed, &wish(Some(1), None), 2, "x");
    assert_eq!(back.name, name("web-1"));
}

#[test]
fn what_is_seen_of_an_agent_is_kept_until_something_else_is() {
    let mut roster = with_agent();
    let first = Sighting {
        address: Some("192.0.2.1:5000".to_owned()),
        version: Some("v".repeat(10_000)),
        journal: Some(JournalId::from_bytes([1; 16])),
        capabilities: Some(able("a")),
    };
    assert_eq!(roster.seen(&id(1), first, after(1)).len(), 2);
    assert_eq!(roster.seen(&id(1), Sighting::default(), after(2)).len(), 1);
    let seen = agent(&roster, 1);
    assert_eq!(seen.last_seen(), Some(after(2)));
    assert_eq!(seen.address(), Some("192.0.2.1:5000"));
    assert_eq!(seen.version().map(str::len), Some(64));
    assert_eq!(seen.journal(), Some(JournalId::from_bytes([1; 16])));
    assert_eq!(
        seen.capabilities().map(|able| (**able).clone()),
        Some(able("a"))
    );
    assert_eq!(roster.seen(&id(5), Sighting::default(), NOW), []);
}

#[test]
fn hosts_that_are_alike_share_what_they_can_do() {
    let mut roster = with_agent();
    enroll(&mut roster, &wish(None, None), 2, "web-2");
    for number in [1, 2] {
        roster.seen(&id(number), describing(able("a")), NOW);
    }
    let of = |roster: &Roster, number| agent(roster, number).capabilities().unwrap().clone();
    assert!(std::sync::Arc::ptr_eq(&of(&roster, 1), &of(&roster, 2)));
    let gone = |changes: &[Change]| {
        changes
            .iter()
            .any(|change| matches!(change, Change::CapabilitiesGone(_)))
    };
    assert!(!gone(&roster.seen(&id(1), describing(able("b")), NOW)));
    assert!(gone(&roster.seen(&id(2), describing(able("b")), NOW)));
    assert_eq!(roster.capabilities.len(), 1);
    assert!(!gone(&roster.seen(&id(2), describing(able("b")), NOW)));
    assert_eq!(*of(&roster, 2), able("b"));
}

#[test]
fn a_host_that_describes_itself_without_end_is_not_kept_but_told() {
    let mut roster = with_agent();
    roster.seen(&id(1), describing(able("a")), NOW);
    let mut endless = able("a");
    endless.system = "x".repeat(100_000);
    roster.seen(&id(1), describing(endless), NOW);
    assert_eq!(agent(&roster, 1).capabilities(), None);
    assert!(roster.capabilities.is_empty());
    assert!(roster.problems()[0].contains("001"));
    roster.seen(&id(1), describing(able("a")), NOW);
    assert!(roster.problems().is_empty());
}

#[test]
fn selectors_mean_enrolled_agents_each_once() {
    let mut roster = with_agent();
    let db = TokenWish {
        groups: vec![group("db")],
        ..wish(None, None)
    };
    enroll(&mut roster, &db, 2, "db-1");
    enroll(&mut roster, &db, 3, "db-2");
    roster.revoke(&id(3)).unwrap();
    let parse = |texts: &[&str]| -> Vec<_> {
        let parsed = texts.iter().map(|text| Selector::parse(text).unwrap());
        parsed.collect()
    };
    let cases: &[(&[&str], &[u32])] = &[
        (&["group:db"], &[2]),
        (&["DB-1", "001", "0-2"], &[0, 1, 2]),
        (&["gate"], &[0]),
        (&["3", "3-9", "db-2", "group:x"], &[]),
    ];
    for (texts, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|number| id(*number)).collect();
        assert_eq!(roster.select(&parse(texts)), expected, "{texts:?}");
    }
    let all = parse(&[
        "1", "3", "0-9", "3-9", "web-1", "db-2", "group:db", "group:x",
    ]);
    let unknown: Vec<_> = roster
        .unknown(&all)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(unknown, ["003", "003-009", "db-2", "group:x"]);
    let ids: Vec<_> = roster
        .members()
        .map(|member| member.id().number())
        .collect();
    assert_eq!(ids, [0, 1, 2, 3]);
}

#[test]
fn the_problems_told_are_bounded() {
    let mut roster = Roster::new("gate");
    for number in 1..200 {
        roster.problems.copied(&id(number), "192.0.2.9", NOW);
        roster.problems.copied(&id(1), "192.0.2.10", after(1));
    }
    let told = roster.problems();
    assert_eq!(told.len(), 65);
    assert!(told[0].contains("192.0.2.10"), "the last one is told");
    assert!(told[64].starts_with("135 more"), "{}", told[64]);
}

#[test]
fn a_row_that_refers_to_nothing_is_an_error() {
    let mut roster = Roster::new("gate");
    let (_, changes) = roster.issue(&wish(Some(7), None), random(1), NOW).unwrap();
    assert!(Roster::load("gate", changes.clone()).is_ok());
    assert!(Roster::load("gate", changes[1..].to_vec()).is_err());
    let mut roster = with_agent();
    roster.next_generation(&id(1)).unwrap();
    let changes = roster.certified(&id(1), 2, print(2), NOW).unwrap();
    assert!(Roster::load("gate", changes).is_err());
    let changes = roster.seen(&id(1), describing(able("a")), NOW);
    assert!(Roster::load("gate", changes.clone()).is_ok());
    assert!(Roster::load("gate", changes[1..].to_vec()).is_err());
}

#[test]
fn an_agent_costs_little_memory() {
    // Beside this: the texts, a certificate or two, and three index entries.
    assert!(size_of::<Member>() <= 320, "{}", size_of::<Member>());
}
