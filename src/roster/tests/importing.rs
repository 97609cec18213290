//! Agents that are known elsewhere.

use super::{DAY, NOW, agent, enroll, id, issue, name, random, request, wish, with_agent};
use crate::roster::{Imported, Roster, RosterError, Standing};
use crate::wire::control::KnownAgent;

fn known(number: u32, named: &str) -> KnownAgent {
    KnownAgent {
        id: id(number),
        name: name(named),
        removed: false,
    }
}

fn removed(number: u32, named: &str) -> KnownAgent {
    KnownAgent {
        removed: true,
        ..known(number, named)
    }
}

fn import(roster: &mut Roster, agents: &[KnownAgent], from: u8) -> Imported {
    let mut number = from;
    let mut supply = || {
        number += 1;
        random(number - 1)
    };
    roster.import(agents, DAY, &mut supply, NOW).unwrap()
}

#[test]
fn known_agents_keep_their_ids_and_names() {
    let mut roster = Roster::new("gate");
    let list = [known(7, "web-7"), removed(1, "old"), known(1024, "db")];
    let imported = import(&mut roster, &list, 1);
    assert_eq!(imported.notes, [""; 0]);
    let tokens: Vec<_> = imported
        .tokens
        .iter()
        .map(|one| one.agent.clone())
        .collect();
    assert_eq!(tokens, [Some(id(7)), Some(id(1024))]);
    assert_eq!(agent(&roster, 1).standing(), Standing::Revoked);
    let (enrolled, _) = roster.enroll(&request(random(1), "x"), NOW).unwrap();
    assert_eq!((enrolled.id, enrolled.name), (id(7), name("web-7")));
    // The name of one that was removed is free, its id is not.
    let next = enroll(&mut roster, &wish(None, None), 9, "old");
    assert_eq!(next.id, id(2));
}

#[test]
fn a_second_import_adds_nobody_and_gives_fresh_tokens_to_those_who_wait() {
    let mut roster = Roster::new("gate");
    let list = [known(7, "web-7"), known(8, "web-8"), removed(1, "old")];
    import(&mut roster, &list, 1);
    roster.enroll(&request(random(1), "x"), NOW).unwrap();
    let second = import(&mut roster, &list, 11);
    assert_eq!(roster.members().count(), 4);
    let [token] = &second.tokens[..] else {
        panic!("{:?}", second.tokens);
    };
    assert_eq!((token.agent.clone(), token.id), (Some(id(8)), random(11).0));
    assert_eq!(second.notes.len(), 1, "{:?}", second.notes);
    assert!(roster.enroll(&request(random(2), "x"), NOW).is_err());
    assert!(roster.enroll(&request(random(11), "x"), NOW).is_ok());
}

#[test]
fn an_import_overwrites_nothing_and_says_so() {
    let mut roster = with_agent();
    enroll(&mut roster, &wish(None, None), 2, "web-2");
    roster.revoke(&id(2)).unwrap();
    issue(&mut roster, &wish(Some(3), None), 3);
    let before = roster.clone();
    let cases = [
        (known(0, "siem"), "000"),
        (known(1, "other"), "web-1"),
        (known(5, "WEB-1"), "001"),
        (removed(1, "web-1"), "revoke 001"),
        (known(2, "web-2"), "--id 002"),
        (known(3, "other"), "without a name"),
    ];
    for (agent, told) in cases {
        let imported = import(&mut roster, &[agent], 20);
        assert!(imported.tokens.is_empty() && imported.changes.is_empty());
        assert!(imported.notes[0].contains(told), "{:?}", imported.notes);
    }
    assert_eq!(roster, before);
    let twice = import(&mut roster, &[known(6, "a"), known(6, "b")], 20);
    assert_eq!((twice.tokens.len(), twice.notes.len()), (1, 1));
    assert_eq!(agent(&roster, 6).name(), "a");
    let mut supply = || random(30);
    let lifetime = roster.import(&[], 0, &mut supply, NOW);
    assert_eq!(lifetime.unwrap_err(), RosterError::Lifetime(0));
}
