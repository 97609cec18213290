//! One order after the other.

use super::{
    BLOCKERS, DELETED, Differs, IDEMPOTENT, Input, NETWORKS, NO_SRCIP, Seen, bytes, ended, none,
    objection, order, refused, reset, show, state, stopped, with_data,
};
use crate::netns::reexec_in_namespace;
use crate::run::direct;
use crate::{fresh, home};

/// One order after the other for one address.
struct Story {
    name: &'static str,
    args: &'static [&'static str],
    /// For add, add, delete and delete again.
    seen: [Seen; 4],
    differs: [Option<Differs>; 4],
}

const KEY: &str = "192.0.2.10";
const STORIES: &[Story] = &[
    Story {
        name: "firewall-drop",
        args: &[],
        // The second adds its rules again, and takes two deletes.
        seen: [ended(KEY), ended(KEY), DELETED, DELETED],
        differs: [None, None, None, None],
    },
    Story {
        name: "host-deny",
        args: &[],
        seen: [
            ended(KEY),
            stopped(KEY, "IP 192.0.2.10 already exists on '/etc/hosts.deny'"),
            DELETED,
            DELETED,
        ],
        differs: [
            None,
            Some(Differs {
                ours: ended(KEY),
                why: IDEMPOTENT,
            }),
            None,
            None,
        ],
    },
    Story {
        name: "route-null",
        args: &[],
        seen: [ended(KEY), ended(KEY), DELETED, DELETED],
        differs: [None, None, None, None],
    },
    Story {
        name: "ip-customblock",
        args: &["--directory", "/run/ipblock"],
        seen: [
            ended(KEY),
            ended(KEY),
            DELETED,
            refused("Error deleting /ipblock/192.0.2.10 file"),
        ],
        differs: [
            None,
            None,
            None,
            Some(Differs {
                ours: DELETED,
                why: IDEMPOTENT,
            }),
        ],
    },
    Story {
        name: "firewalld-drop",
        args: &[],
        seen: [ended(KEY), ended(KEY), DELETED, DELETED],
        differs: [None, None, None, None],
    },
];

#[test]
fn a_second_order_changes_nothing_and_one_delete_takes_all_back() {
    reexec_in_namespace(|| {
        fresh();
        let mut objections = Vec::new();
        for story in STORIES {
            let home = home();
            reset();
            let parameters = with_data(r#"{"srcip":"192.0.2.10"}"#, story.args);
            let add = [order("add", &parameters), order("continue", "{}")].concat();
            let delete = order("delete", &parameters);
            let before = state();
            let mut states = Vec::new();
            for (at, input) in [&add, &add, &delete, &delete].into_iter().enumerate() {
                let shown = show(&home, direct(&home, story.name), input, story.name);
                let differs = story.differs[at].as_ref();
                let wanted = differs.map_or(story.seen[at], |differs| differs.ours);
                assert!(differs.is_none_or(|differs| differs.ours != story.seen[at]));
                let what = format!("{}, order {at}", story.name);
                objections.extend(objection(&what, &shown, wanted));
                states.push(state());
            }
            assert_ne!(states[0], before, "{}", story.name);
            assert_eq!(states[0], states[1], "{}", story.name);
            assert!(!states[2].contains(KEY), "{}: {}", story.name, states[2]);
            assert_eq!(states[2], states[3], "{}", story.name);
        }
        none(objections);
    });
}

/// A network, which 4.x takes of none.
#[test]
fn networks_are_taken_where_they_can_be_blocked() {
    const TAKES: &[(&str, Seen, &str)] = &[
        ("firewall-drop", ended("192.0.2.0/24"), NETWORKS),
        ("route-null", ended("192.0.2.0/24"), NETWORKS),
        ("firewalld-drop", ended("192.0.2.0/24"), NETWORKS),
        ("host-deny", NO_SRCIP, ""),
        ("ip-customblock", ended("192.0.2.0/24"), NETWORKS),
    ];
    reexec_in_namespace(|| {
        fresh();
        let mut objections = Vec::new();
        for (name, wanted, why) in TAKES {
            assert_eq!(*wanted == NO_SRCIP, why.is_empty());
            reset();
            let home = home();
            let args = BLOCKERS.iter().find(|(known, _)| known == name).unwrap().1;
            let input = bytes(Input::Data(r#"{"srcip":"192.0.2.0/24"}"#), args);
            let shown = show(&home, direct(&home, name), &input, name);
            objections.extend(objection(name, &shown, *wanted));
        }
        none(objections);
    });
}
