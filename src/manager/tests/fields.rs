//! Everybody who asks what an action is about gets the same answer.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use crate::config::Command;
use crate::contract::request::{self, Message};
use crate::contract::target::Unclear;
use crate::contract::words::{NoWords, Unfit, Words};
use crate::contract::{input, target};
use crate::manager::alerts::acted_on;
use crate::model::action::{Contract, Wanted, sample};
use crate::model::bundled::{self, Options};
use crate::model::{Action, ExeName, Field, FieldMap, FieldPath, Mode, Target};

/// Where things stand, for Wazuh's executables, for scripts, and for nobody.
const PATHS: [&str; 12] = [
    "data.srcip",
    "data.win.eventdata.ipAddress",
    "srcip",
    "data.dstuser",
    "data.process.pid",
    "data.process.executable",
    "syscheck.path",
    "DATA.aws.ip",
    r"fields.fd\.rip",
    "decisions.0.value",
    "decisions.1.value",
    "id",
];

fn value() -> impl Strategy<Value = Value> {
    const TEXTS: [&str; 16] = [
        "203.0.113.9",
        "198.51.100.0/24",
        "2001:DB8::0:7",
        "::ffff:192.0.2.1",
        "::1",
        "fe80::1%3",
        "127.1",
        "scan.example.org",
        "alice",
        "-l",
        "/tmp/a b",
        "4711",
        "-",
        "",
        "-\u{0}x",
        "\u{0}",
    ];
    prop_oneof![
        8 => prop::sample::select(&TEXTS[..]).prop_map(Value::from),
        1 => Just(json!(4711)),
        1 => Just(json!(47.5)),
        1 => Just(Value::Null),
        1 => Just(json!(["203.0.113.10"])),
        1 => Just(json!({"0": {"value": "203.0.113.11"}})),
    ]
}

/// Puts values where paths lead. Lists are made where a number is the name.
fn alert(values: Vec<(FieldPath, Value)>) -> Vec<u8> {
    let mut alert = json!({});
    for (path, value) in values {
        let mut place = &mut alert;
        for name in path.names() {
            place = match name.parse::<usize>() {
                Ok(number) => {
                    if !place.is_array() {
                        *place = json!([]);
                    }
                    let items = place.as_array_mut().unwrap();
                    items.resize(items.len().max(number + 1), Value::Null);
                    &mut items[number]
                }
                Err(_) => {
                    if !place.is_object() {
                        *place = json!({});
                    }
                    &mut place[&*name]
                }
            };
        }
        *place = value;
    }
    alert.to_string().into_bytes()
}

fn path() -> impl Strategy<Value = FieldPath> {
    prop::sample::select(&PATHS[..]).prop_map(|path| FieldPath::parse(path).unwrap())
}

fn fields() -> impl Strategy<Value = Option<FieldMap>> {
    let field = prop::sample::select(&Field::ALL[..]);
    let pairs = prop::collection::vec((field, path()), 1..12);
    let map = pairs.prop_map(|pairs| {
        let mut map = FieldMap::default();
        for (field, path) in pairs {
            map.push(field, path);
        }
        map
    });
    prop::option::weighted(0.8, map)
}

/// An executable, its words, and how it is spoken to.
fn command() -> impl Strategy<Value = (&'static str, Vec<String>, Contract)> {
    const BUNDLED: [(&str, &str); 9] = [
        ("firewall-drop", ""),
        ("firewall-drop", "--ipv6-prefix 64"),
        ("firewall-drop.sh", "--field srcip,data.srcip"),
        ("host-deny", ""),
        ("disable-account", "--expire"),
        ("kill-process", ""),
        ("kill-process", "--by exe"),
        ("kill-process", "--field=data.process.pid --by user"),
        ("quarantine-file", ""),
    ];
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let contract = prop::sample::select(&[Contract::Json, Contract::V5][..]);
    let contract = prop_oneof![contract, Just(Contract::Argv(Wanted::ANYTHING))];
    prop_oneof![
        2 => prop::sample::select(&BUNDLED[..])
            .prop_map(move |(name, own)| (name, words(own), Contract::Json)),
        1 => contract.prop_map(|contract| ("own.sh", Vec::new(), contract)),
    ]
}

/// What a bundled executable finds in the line that it reads.
fn found_by_itself(action: &Action, alert: &[u8]) -> Option<Target> {
    let row = bundled::find_or_stand_in(action.executable.as_str()).unwrap();
    let args = target::extra_args(row, &action.extra_args, action.fields.as_deref());
    let message = Message::new("node", &action.executable, &args, alert).unwrap();
    let line = message.line(request::Command::Add);
    let read = input::request(&line).unwrap();
    let options = Options::parse(row.options, &read.extra_args()).unwrap();
    target::named(row, &options, read.alert().unwrap()).ok()?
}

/// A restore has no alert but one that is made for it.
fn put_back(action: &Action, key: &str) -> Option<Target> {
    let row = bundled::find_or_stand_in(action.executable.as_str()).unwrap();
    let options = target::options(row, action).unwrap();
    let alert = target::naming(row, &options, key, action).unwrap();
    found_by_itself(action, &alert)
}

fn told_in_words(action: &Action, wanted: Wanted, alert: &[u8]) -> Option<Target> {
    let words = Words::new(action, wanted, alert).ok()?;
    let word = words.arguments(Mode::Add)[2].to_owned();
    assert_eq!(words.target().is_some(), word != "-", "{word}");
    Target::parse_address(&word).ok()
}

fn told_in_v5(action: &Action, alert: &[u8]) -> Option<Target> {
    let message = Message::v5(action, alert).unwrap();
    let line: Value = serde_json::from_slice(&message.line(request::Command::Add)).unwrap();
    let address = line["source"]["ip"].as_str()?;
    Some(Target::parse_address(address).unwrap())
}

fn agree(action: &Action, command: &Command, alert: &[u8]) -> Result<(), TestCaseError> {
    let is_bundled = bundled::find_or_stand_in(action.executable.as_str()).is_some();
    let on_manager = acted_on(command, action.fields.as_deref(), alert);
    let on_host = match target::of_action(action, is_bundled, alert) {
        Ok(target) => target,
        // A script that expects a user or a file is told nothing at all, and does
        // not run, if its alert has something else there. The manager, who asks
        // for the address alone, may guard one that nobody acts on.
        Err(Unclear::Words(NoWords::Unfit {
            why: Unfit::User | Unfit::Filename,
            ..
        })) => return Ok(()),
        Err(_) => None,
    };
    prop_assert_eq!(&on_manager, &on_host);
    let address = on_host
        .clone()
        .filter(|target| matches!(target, Target::Address(_)));
    match action.contract {
        _ if is_bundled => {
            prop_assert_eq!(found_by_itself(action, alert), on_host.clone());
            if let Some(target @ (Target::Address(_) | Target::Network(_))) = on_host {
                prop_assert_eq!(put_back(action, &target.to_string()), Some(target));
            }
        }
        Contract::Argv(wanted) => prop_assert_eq!(told_in_words(action, wanted, alert), address),
        Contract::V5 => prop_assert_eq!(told_in_v5(action, alert), address),
        // It looks for itself.
        Contract::Json => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn guards_words_messages_and_executables_agree_on_the_target(
        values in prop::collection::vec((path(), value()), 0..10),
        fields in fields(),
        (name, extra_args, contract) in command(),
        by_hand in any::<bool>(),
    ) {
        let mut action = sample::action(1, name, Some(600));
        action.extra_args.clone_from(&extra_args);
        action.contract = contract;
        action.fields = fields.map(Into::into);
        action.rule.take_if(|_| by_hand);
        let command = Command {
            name: action.command.clone(),
            executable: ExeName::parse(name).unwrap(),
            timeout_allowed: true,
            extra_args,
            contract,
            revert: None,
            execution_timeout: None,
            handshake_timeout: None,
        };
        agree(&action, &command, &alert(values))?;
    }
}
