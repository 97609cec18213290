//! Who is let in, and who is not any more.

use super::{
    DAY, NOW, after, agent, enroll, id, issue, name, print, random, request, wish, with_agent,
};
use crate::roster::{Change, Refusal, Roster, RosterError};

#[test]
fn a_certificate_lets_in_the_agent_it_was_made_for() {
    let mut roster = with_agent();
    let (admitted, changes) = roster.admit(&print(1), &id(1), "-", NOW).unwrap();
    assert_eq!((admitted.id, admitted.generation), (id(1), 1));
    assert_eq!(admitted.not_after, after(30 * DAY));
    assert_eq!(changes, [], "nothing new to be stored");
    enroll(&mut roster, &wish(None, None), 2, "web-2");
    let cases = [
        (
            print(9),
            1,
            NOW,
            Refusal::UnknownCertificate { claimed: id(1) },
        ),
        (
            print(1),
            1,
            after(30 * DAY),
            Refusal::Expired { agent: id(1) },
        ),
        (
            print(1),
            2,
            NOW,
            Refusal::WrongId {
                claimed: id(2),
                agent: id(1),
            },
        ),
    ];
    for (print, claimed, at, refusal) in cases {
        let found = roster.admit(&print, &id(claimed), "-", at);
        assert_eq!(found.unwrap_err(), refusal);
    }
    assert!(roster.problems().is_empty());
}

#[test]
fn the_first_use_of_a_newer_certificate_ends_the_older_ones() {
    let mut roster = with_agent();
    let (generation, _) = roster.next_generation(&id(1)).unwrap();
    assert_eq!(generation, 2);
    roster
        .certified(&id(1), 2, print(2), after(60 * DAY))
        .unwrap();
    // It may have been lost on the way: the present one is still good.
    assert!(roster.admit(&print(1), &id(1), "-", NOW).is_ok());
    let (admitted, changes) = roster.admit(&print(2), &id(1), "-", NOW).unwrap();
    assert_eq!((admitted.generation, changes.len()), (2, 1));
    assert_eq!(agent(&roster, 1).generation(), 2);
    let copied = roster.admit(&print(1), &id(1), "192.0.2.9", NOW);
    let refusal = Refusal::OldGeneration {
        agent: id(1),
        seen: 1,
        newest: 2,
    };
    assert_eq!(copied.unwrap_err(), refusal);
    let [problem] = &roster.problems()[..] else {
        panic!("{:?}", roster.problems());
    };
    assert!(problem.contains("001") && problem.contains("192.0.2.9"));
    assert!(roster.admit(&print(2), &id(1), "-", NOW).is_ok());
    enroll(&mut roster, &wish(Some(1), None), 2, "x");
    assert!(roster.problems().is_empty(), "it has a new key");
}

#[test]
fn who_is_enrolled_anew_has_no_older_certificate_any_more() {
    let mut roster = with_agent();
    roster.next_generation(&id(1)).unwrap();
    roster.certified(&id(1), 2, print(2), after(DAY)).unwrap();
    let anew = enroll(&mut roster, &wish(Some(1), None), 2, "x");
    assert_eq!(anew.generation, 3);
    roster.certified(&id(1), 3, print(3), after(DAY)).unwrap();
    let replaced = Refusal::Replaced { agent: id(1) };
    for number in [1, 2] {
        let found = roster.admit(&print(number), &id(1), "-", NOW);
        assert_eq!(found.unwrap_err(), replaced);
    }
    assert!(roster.problems().is_empty(), "it may be the host itself");
    assert!(roster.admit(&print(3), &id(1), "-", NOW).is_ok());
    // From then on it is a copy.
    assert!(roster.admit(&print(1), &id(1), "192.0.2.9", NOW).is_err());
    let problems = roster.problems().join("\n");
    assert!(problems.contains("192.0.2.9"), "{problems}");
}

#[test]
fn only_a_certificate_that_was_asked_for_is_recorded() {
    let mut roster = with_agent();
    roster.next_generation(&id(1)).unwrap();
    for (generation, number) in [(0, 2), (1, 2), (3, 2), (2, 1)] {
        let made = roster.certified(&id(1), generation, print(number), after(DAY));
        let error = RosterError::Certificate {
            agent: id(1),
            generation,
        };
        assert_eq!(made.unwrap_err(), error);
    }
    let mut made = |agent| roster.certified(&id(agent), 1, print(2), after(DAY));
    assert_eq!(made(5).unwrap_err(), RosterError::Unknown(id(5)));
    assert_eq!(made(0).unwrap_err(), RosterError::Origin);
}

#[test]
fn an_agent_that_renews_without_end_keeps_few_certificates() {
    let mut roster = with_agent();
    for number in 2..100 {
        let (generation, _) = roster.next_generation(&id(1)).unwrap();
        roster
            .certified(&id(1), generation, print(number), after(DAY))
            .unwrap();
    }
    assert_eq!(roster.owners.len(), 8);
    assert_eq!(agent(&roster, 1).certificates.len(), 8);
    assert!(roster.admit(&print(1), &id(1), "-", NOW).is_ok());
    assert!(roster.admit(&print(99), &id(1), "-", NOW).is_ok());
}

#[test]
fn a_revoked_agent_is_out_whatever_it_was_given() {
    let mut roster = with_agent();
    roster.next_generation(&id(1)).unwrap();
    roster.certified(&id(1), 2, print(2), after(DAY)).unwrap();
    issue(&mut roster, &wish(Some(1), None), 2);
    roster.revoke(&id(1)).unwrap();
    let out = Refusal::Revoked { agent: id(1) };
    let denied =
        |roster: &mut Roster, number| roster.admit(&print(number), &id(1), "-", NOW).unwrap_err();
    assert!(denied(&mut roster, 1) == out && denied(&mut roster, 2) == out);
    assert!(roster.enroll(&request(random(2), "x"), NOW).is_err());
    assert_eq!(
        roster.next_generation(&id(1)).unwrap_err(),
        RosterError::NotEnrolled(id(1))
    );
    // Another one may have its name, and it may come back under another.
    enroll(&mut roster, &wish(None, None), 3, "web-1");
    let back = enroll(&mut roster, &wish(Some(1), None), 4, "web-9");
    assert_eq!((back.generation, back.name), (3, name("web-9")));
    let replaced = Refusal::Replaced { agent: id(1) };
    assert!(denied(&mut roster, 1) == replaced && denied(&mut roster, 2) == replaced);
    roster.certified(&id(1), 3, print(3), after(DAY)).unwrap();
    assert!(roster.admit(&print(3), &id(1), "-", NOW).is_ok());
}

#[test]
fn only_an_agent_that_is_not_revoked_can_be() {
    let mut roster = with_agent();
    let mut revoked = |number| roster.revoke(&id(number)).map(drop);
    assert_eq!(revoked(0), Err(RosterError::Origin));
    assert_eq!(revoked(2), Err(RosterError::Unknown(id(2))));
    assert_eq!(revoked(1), Ok(()));
    assert_eq!(revoked(1), Err(RosterError::AlreadyRevoked(id(1))));
}

#[test]
fn to_revoke_an_agent_again_makes_its_new_token_void() {
    let mut roster = with_agent();
    roster.revoke(&id(1)).unwrap();
    issue(&mut roster, &wish(Some(1), None), 2);
    let changes = roster.revoke(&id(1)).unwrap();
    assert_eq!(changes, [Change::TokenGone(random(2).0)]);
    assert!(roster.enroll(&request(random(2), "x"), NOW).is_err());
    let again = roster.revoke(&id(1));
    assert_eq!(again, Err(RosterError::AlreadyRevoked(id(1))));
}

#[test]
fn what_expired_long_ago_is_forgotten() {
    let mut roster = with_agent();
    issue(&mut roster, &wish(None, None), 2);
    assert_eq!(roster.prune(after(30 * DAY)), []);
    assert_eq!(roster.prune(after(32 * DAY)).len(), 2, "the tokens");
    assert!(roster.tokens.is_empty());
    roster.next_generation(&id(1)).unwrap();
    roster
        .certified(&id(1), 2, print(2), after(30 * DAY))
        .unwrap();
    roster.admit(&print(2), &id(1), "-", NOW).unwrap();
    assert_eq!(roster.prune(after(59 * DAY)), []);
    let gone = [Change::CertificateGone(print(1))];
    assert_eq!(roster.prune(after(61 * DAY)), gone);
    roster.revoke(&id(1)).unwrap();
    let gone = [Change::CertificateGone(print(2))];
    assert_eq!(roster.prune(after(61 * DAY)), gone);
    assert!(roster.owners.is_empty());
}

#[test]
fn a_clock_that_is_ahead_for_a_while_costs_nobody_the_certificate_in_use() {
    let mut roster = with_agent();
    enroll(&mut roster, &wish(None, None), 2, "web-2");
    roster.certified(&id(2), 1, print(2), after(DAY)).unwrap();
    for (generation, number) in [(2, 12), (3, 13)] {
        roster.next_generation(&id(1)).unwrap();
        roster
            .certified(&id(1), generation, print(number), after(DAY))
            .unwrap();
    }
    roster.prune(after(10_000 * DAY));
    // The clock is right again. What is used, and what was given out last, is
    // there; it does not matter what was given out in between.
    for (number, print) in [(1, print(1)), (1, print(13)), (2, print(2))] {
        let admitted = roster.admit(&print, &id(number), "-", NOW);
        assert!(admitted.is_ok(), "{admitted:?}");
    }
    assert_eq!(roster.owners.len(), 3);
    // Before an enrollment is nothing that is needed.
    enroll(&mut roster, &wish(Some(2), None), 3, "x");
    roster.certified(&id(2), 2, print(3), after(DAY)).unwrap();
    roster.prune(after(10_000 * DAY));
    let mut left: Vec<_> = roster.owners.keys().copied().collect();
    left.sort_unstable();
    assert_eq!(left, [print(3), print(13)]);
}
