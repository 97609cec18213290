//! Tokens, and hosts that become agents by them.

use super::{
    DAY, NOW, after, agent, enroll, group, id, issue, name, random, request, wish, with_agent,
};
use crate::model::{Pin, Selector};
use crate::roster::{Change, EnrollError, Roster, RosterError, Standing, TokenFault};
use crate::wire::Denial;
use crate::wire::control::{TokenWish, WhichTokens};
use crate::wire::enroll::{Secret, Token, TokenId};

#[test]
fn a_host_becomes_an_agent_with_the_next_id() {
    let mut roster = Roster::new("gate");
    let several = TokenWish {
        uses: 2,
        groups: vec![group("web")],
        ..wish(None, None)
    };
    issue(&mut roster, &several, 1);
    let ask = |named: &str| request(random(1), named);
    let (first, _) = roster.enroll(&ask("web-1"), NOW).unwrap();
    let (second, _) = roster.enroll(&ask("web-2"), after(9)).unwrap();
    assert_eq!((first.id, first.generation), (id(1), 1));
    assert_eq!((second.id, second.name), (id(2), name("web-2")));
    assert_eq!(second.groups, [group("web")]);
    assert_eq!(agent(&roster, 2).since(), Some(after(9)));
    assert_eq!(agent(&roster, 2).groups(), [group("web")]);
}

#[test]
fn the_use_and_the_generation_are_stored_by_one_call() {
    let mut roster = Roster::new("gate");
    issue(&mut roster, &wish(None, None), 1);
    let (_, changes) = roster.enroll(&request(random(1), "web-1"), NOW).unwrap();
    let used = |change: &Change| matches!(change, Change::Token(row) if row.uses == 0);
    let issued = |change: &Change| matches!(change, Change::Agent(row) if row.issued == 1);
    assert!(changes.iter().any(used) && changes.iter().any(issued));
    assert!(changes.contains(&Change::Next(2)));
}

#[test]
fn a_wish_that_makes_no_sense_is_refused() {
    let mut roster = with_agent();
    let taken = || RosterError::NameTaken {
        name: name("WEB-1"),
        holder: id(1),
    };
    let cases = [
        (wish(Some(0), None), RosterError::Origin),
        (
            TokenWish {
                uses: 0,
                ..wish(None, None)
            },
            RosterError::NoUse,
        ),
        (
            TokenWish {
                uses: 2,
                ..wish(Some(7), None)
            },
            RosterError::Shared(2),
        ),
        (
            TokenWish {
                uses: 2,
                ..wish(None, Some("web-7"))
            },
            RosterError::Shared(2),
        ),
        (
            TokenWish {
                ttl: 0,
                ..wish(None, None)
            },
            RosterError::Lifetime(0),
        ),
        (
            TokenWish {
                ttl: 365 * DAY + 1,
                ..wish(None, None)
            },
            RosterError::Lifetime(365 * DAY + 1),
        ),
        (wish(None, Some("WEB-1")), taken()),
        (wish(Some(2), Some("WEB-1")), taken()),
        (
            wish(None, Some("Gate")),
            RosterError::NameTaken {
                name: name("Gate"),
                holder: id(0),
            },
        ),
    ];
    let before = roster.clone();
    for (wish, error) in cases {
        assert_eq!(roster.issue(&wish, random(2), NOW).unwrap_err(), error);
    }
    let again = roster.issue(&wish(None, None), random(1), NOW);
    assert_eq!(again.unwrap_err(), RosterError::Collision);
    assert_eq!(roster, before);
    let own = wish(Some(1), Some("web-1"));
    assert!(roster.issue(&own, random(2), NOW).is_ok());
}

#[test]
fn what_is_printed_is_what_enrolls() {
    let mut roster = Roster::new("gate");
    let parts = issue(&mut roster, &wish(Some(7), Some("web-7")), 1);
    let issued = parts.reveal(Pin::from_bytes([9; 32]));
    assert_eq!(
        (issued.id, issued.name, issued.uses, issued.expires),
        (Some(id(7)), Some(name("web-7")), 1, after(DAY))
    );
    let token = Token::parse(&issued.token).unwrap();
    assert_eq!(token.pin, Pin::from_bytes([9; 32]));
    let asked = request((token.id, token.secret), "other");
    let (enrolled, _) = roster.enroll(&asked, NOW).unwrap();
    assert_eq!((enrolled.id, enrolled.name), (id(7), name("web-7")));
}

#[test]
fn no_row_has_the_secret_of_a_token() {
    let mut roster = Roster::new("gate");
    let secret = Secret::from_bytes([0xab; 16]);
    let token = (TokenId::from_bytes([1; 8]), secret);
    let (_, changes) = roster.issue(&wish(None, None), token, NOW).unwrap();
    let text = serde_json::to_string(&changes).unwrap();
    assert!(
        !text.contains("abab") && !text.contains("171,171"),
        "{text}"
    );
}

#[test]
fn every_fault_of_a_token_reads_the_same_to_the_peer() {
    let mut roster = Roster::new("gate");
    issue(&mut roster, &wish(None, None), 1);
    let one = |token, secret| (random(token).0, random(secret).1);
    let mut refused = |token, at, expected| {
        let error = roster.enroll(&request(token, "web-1"), at).unwrap_err();
        let name = name("web-1");
        let fault = expected;
        assert_eq!(error, EnrollError::Token { name, fault });
        error.for_peer()
    };
    let told = [
        refused(one(2, 1), NOW, TokenFault::Unknown),
        refused(one(1, 2), NOW, TokenFault::WrongSecret),
        refused(one(1, 2), after(DAY), TokenFault::WrongSecret),
        refused(one(1, 1), after(DAY), TokenFault::Expired),
    ];
    let last = after(DAY - 1);
    assert!(roster.enroll(&request(random(1), "web-1"), last).is_ok());
    let used = roster.enroll(&request(random(1), "web-1"), last);
    let used = used.unwrap_err().for_peer();
    assert!(told.iter().all(|told| *told == used), "{told:?} {used:?}");
    assert_eq!(used.0, Denial::Token);
    assert_eq!(roster.members().count(), 2);
}

#[test]
fn a_name_belongs_to_one_agent_and_a_token_is_not_spent_on_it() {
    let mut roster = with_agent();
    issue(&mut roster, &wish(None, None), 2);
    let taken = roster.enroll(&request(random(2), "Web-1"), NOW);
    let (denial, text) = taken.unwrap_err().for_peer();
    assert_eq!(denial, Denial::NotPermitted, "its token is a good one");
    assert!(text.contains("--id 001"), "{text}");
    let host = roster.enroll(&request(random(2), "gate"), NOW);
    let (_, text) = host.unwrap_err().for_peer();
    assert!(!text.contains("--id"), "{text}");
    let (enrolled, _) = roster.enroll(&request(random(2), "web-2"), NOW).unwrap();
    assert_eq!(enrolled.id, id(2));
}

#[test]
fn an_id_that_was_asked_for_is_skipped_later_and_raises_nothing() {
    let mut roster = Roster::new("gate");
    enroll(&mut roster, &wish(Some(2), None), 1, "b");
    enroll(&mut roster, &wish(Some(900), None), 2, "z");
    issue(&mut roster, &wish(Some(3), Some("c")), 3);
    roster.revoke(&id(3)).unwrap();
    for (number, expected) in [(4, 1), (5, 4)] {
        let named = format!("a-{number}");
        let enrolled = enroll(&mut roster, &wish(None, None), number, &named);
        assert_eq!(enrolled.id, id(expected));
    }
}

#[test]
fn an_invited_agent_waits_with_its_id_name_and_groups() {
    let mut roster = Roster::new("gate");
    let wish = TokenWish {
        groups: vec![group("db")],
        ..wish(Some(7), Some("db-7"))
    };
    issue(&mut roster, &wish, 1);
    let invited = agent(&roster, 7);
    assert_eq!(invited.standing(), Standing::Invited);
    assert_eq!(
        (invited.name(), invited.groups()),
        ("db-7", &wish.groups[..])
    );
    // Actions are for those who can come.
    assert!(roster.select(&[Selector::Id(id(7))]).is_empty());
    roster.enroll(&request(random(1), "x"), NOW).unwrap();
    assert_eq!(roster.select(&[Selector::Id(id(7))]), [id(7)]);
}

#[test]
fn the_last_token_for_an_id_is_the_one_that_counts() {
    let mut roster = with_agent();
    issue(&mut roster, &wish(Some(1), None), 2);
    issue(&mut roster, &wish(Some(1), None), 3);
    assert!(roster.enroll(&request(random(2), "x"), NOW).is_err());
    let (enrolled, _) = roster.enroll(&request(random(3), "x"), NOW).unwrap();
    assert_eq!((enrolled.id, enrolled.generation), (id(1), 2));
    assert_eq!(enrolled.name, name("web-1"), "an agent keeps its name");
}

#[test]
fn a_token_renames_and_regroups_an_agent() {
    let mut roster = with_agent();
    let wish = TokenWish {
        groups: vec![group("db")],
        ..wish(Some(1), Some("db-1"))
    };
    let enrolled = enroll(&mut roster, &wish, 2, "x");
    assert_eq!((enrolled.id, enrolled.name), (id(1), name("db-1")));
    assert_eq!(enrolled.groups, [group("db")]);
    let free = self::wish(None, Some("web-1"));
    assert!(roster.issue(&free, random(3), NOW).is_ok());
}

#[test]
fn a_token_that_is_void_enrolls_nobody_and_the_others_stay() {
    let mut roster = Roster::new("gate");
    let shared = TokenWish {
        uses: 5,
        groups: vec![group("web")],
        ..wish(None, None)
    };
    issue(&mut roster, &shared, 1);
    issue(&mut roster, &wish(Some(7), Some("web-7")), 2);
    issue(&mut roster, &wish(None, Some("db")), 3);
    roster.enroll(&request(random(1), "web-1"), NOW).unwrap();
    let usable = |roster: &Roster, at| {
        let tokens = roster.usable_tokens(at).into_iter();
        let rows = tokens.map(|token| (token.token, token.id, token.name, token.uses));
        rows.collect::<Vec<_>>()
    };
    let first = (random(1).0, None, None, 4);
    let second = (random(2).0, Some(id(7)), Some(name("web-7")), 1);
    let third = (random(3).0, None, Some(name("db")), 1);
    let all = [first, second.clone(), third.clone()];
    assert_eq!(usable(&roster, NOW), all);
    assert_eq!(roster.usable_tokens(NOW)[0].groups, [group("web")]);
    assert_eq!(usable(&roster, after(DAY)), [], "they have expired");

    let stolen = WhichTokens::Ids(vec![random(1).0, random(9).0]);
    let (voided, changes) = roster.void_tokens(&stolen, NOW);
    assert_eq!((voided.len(), voided[0].token), (1, random(1).0));
    assert_eq!(changes, [Change::TokenGone(random(1).0)]);
    let refused = roster.enroll(&request(random(1), "evil"), NOW);
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(usable(&roster, NOW), [second, third]);
    assert_eq!(roster.void_tokens(&stolen, NOW), (vec![], vec![]));

    roster.enroll(&request(random(3), "x"), NOW).unwrap();
    let (voided, _) = roster.void_tokens(&WhichTokens::All, NOW);
    assert_eq!(voided.len(), 1, "a used one was none any more");
    assert!(roster.enroll(&request(random(2), "x"), NOW).is_err());
    assert_eq!(usable(&roster, NOW), []);
    // The id is still its own, for another token.
    let enrolled = enroll(&mut roster, &wish(Some(7), None), 4, "y");
    assert_eq!((enrolled.id, enrolled.name), (id(7), name("web-7")));
}
