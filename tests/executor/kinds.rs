//! Scripts as people write them, unchanged, under the contract that each was
//! written for.

use std::time::Duration;

use ripost::executor::{End, Mode};
use ripost::model::action::{Contract, Want, Wanted};

use crate::place::{CONTINUE, Place, carry_out};

pub const SRCIP: Contract = Contract::Argv(Wanted {
    srcip: Want::Needed,
    ..Wanted::NOTHING
});

/// What a script is heard to name by its contract.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keys {
    Named,
    None,
}

struct Kind {
    name: &'static str,
    text: &'static str,
    contract: Contract,
    keys: Keys,
}

macro_rules! kind {
    ($name:literal, $contract:expr, $keys:expr) => {
        Kind {
            name: $name,
            text: include_str!(concat!("../data/scripts/", $name)),
            contract: $contract,
            keys: $keys,
        }
    };
}

const KINDS: &[Kind] = &[
    kind!("read.bash", Contract::Json, Keys::Named),
    kind!("cat.bash", Contract::Json, Keys::None),
    kind!("jq.bash", Contract::Json, Keys::Named),
    kind!("handshake.py", Contract::Json, Keys::Named),
    kind!("handshake.pl", Contract::Json, Keys::Named),
    kind!("home.sh", Contract::Json, Keys::None),
    kind!("chatty.sh", Contract::Json, Keys::Named),
    kind!("words.sh", SRCIP, Keys::Named),
    kind!("words.sh", Contract::Argv(Wanted::ANYTHING), Keys::Named),
    kind!("words.pl", SRCIP, Keys::Named),
    kind!("words.py", SRCIP, Keys::Named),
    kind!("v5.py", Contract::V5, Keys::Named),
    kind!("v5.bash", Contract::V5, Keys::None),
];

#[tokio::test]
async fn every_kind_of_script_acts_and_reverts_unchanged() {
    for kind in KINDS {
        let Kind { name, contract, .. } = kind;
        let place = Place::with(name, kind.text);
        for (mode, done) in [
            (Mode::Add, "add 203.0.113.9\n"),
            (Mode::Delete, "add 203.0.113.9\ndelete 203.0.113.9\n"),
        ] {
            let mut planned = place.run_by(*contract, name, mode);
            planned.limits.handshake = Duration::from_secs(1);
            let (outcome, seen) = carry_out(planned, CONTINUE).await;
            let stderr = outcome.stderr.as_str();
            let ended = (&outcome.end, stderr);
            assert_eq!(ended, (&End::Exited(0), ""), "{name} {mode:?}");
            let keys: &[_] = match (kind.keys, mode) {
                (Keys::Named, Mode::Add) => &[Ok("203.0.113.9".to_owned())],
                (Keys::None, _) | (_, Mode::Delete) => &[],
            };
            assert_eq!(seen.keys, keys, "{name} {mode:?}");
            assert_eq!(place.read("logs/effect"), done, "{name} {mode:?}");
        }
    }
}

#[tokio::test]
async fn every_script_of_the_folder_is_tried() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/scripts");
    // What other tests run.
    let others = ["handshake.sh", "worker.sh"];
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let tried = KINDS.iter().any(|kind| kind.name == name);
        assert!(tried || others.contains(&name.as_str()), "{name}");
    }
}

#[tokio::test]
async fn scripts_write_the_log_of_4_x_where_readers_look_for_it() {
    for (name, text, contract, wanted) in [
        (
            "home.sh",
            include_str!("../data/scripts/home.sh"),
            Contract::Json,
            " active-response/bin/home.sh: Starting\n",
        ),
        (
            "words.sh",
            include_str!("../data/scripts/words.sh"),
            SRCIP,
            " active-response/bin/words.sh add - 203.0.113.9 1772600767.41231 5763 - - \n",
        ),
    ] {
        let place = Place::with(name, text);
        carry_out(place.run_by(contract, name, Mode::Add), CONTINUE).await;
        let log = place.read("logs/active-responses.log");
        assert!(log.contains(wanted), "{log}");
    }
}
