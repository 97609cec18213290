//! What holds whatever happens.

use std::collections::HashMap;

use proptest::prelude::{
    ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::host::Host;
use crate::clock::Wall;
use crate::model::action::sample::action;

#[derive(Clone, Debug)]
enum Happening {
    Alert {
        target: u8,
        timeout: Option<u64>,
        script: bool,
    },
    Pass(u64),
    Restart {
        reboot: bool,
    },
    Clock(i64),
    Broken(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..3u8, proptest::option::weighted(0.9, 1..40u64), any::<bool>()).prop_map(
            |(target, timeout, script)| Happening::Alert {
                target,
                timeout: if script { Some(timeout.unwrap_or(7)) } else { timeout },
                script,
            }
        ),
        4 => (0..30u64).prop_map(Happening::Pass),
        1 => any::<bool>().prop_map(|reboot| Happening::Restart { reboot }),
        1 => (-100_000..100_000i64).prop_map(Happening::Clock),
        1 => any::<bool>().prop_map(Happening::Broken),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: nothing is lifted before the latest
    /// end that was asked for, nothing outlives it while executables work, and
    /// no target is ever held by two actions.
    #[test]
    fn every_block_stands_until_its_latest_end_and_no_longer(
        story in proptest::collection::vec(happening(), 1..60)
    ) {
        let mut host = Host::new();
        // The latest end per executable and target, `None` for ever; in
        // seconds of time that has really passed.
        let mut wanted: HashMap<(String, u8), Option<u64>> = HashMap::new();
        let mut clock = 0u64;
        let mut number = 0u8;
        for happening in story {
            match happening {
                Happening::Alert { target, timeout, script } => {
                    number += 1;
                    let executable = if script { "block.sh" } else { "firewall-drop" };
                    host.accept(action(number, executable, timeout), target);
                    let end = timeout.map(|timeout| clock + timeout);
                    let entry = wanted.entry((executable.to_owned(), target)).or_insert(Some(0));
                    *entry = match (*entry, end) {
                        (Some(a), Some(b)) => Some(a.max(b)),
                        (None, _) | (_, None) => None,
                    };
                }
                Happening::Pass(seconds) => {
                    host.pass(seconds);
                    clock += seconds;
                }
                Happening::Restart { reboot } => host.restart(reboot),
                // Between reboots only: after one, a wrong wall clock is all
                // that is known, and `end` bounds what that can do.
                Happening::Clock(millis) => {
                    let wall = host.now.wall;
                    host.now.wall = Wall::from_millis(wall.millis() + millis);
                    host.pass(0);
                    host.now.wall = wall;
                }
                Happening::Broken(broken) => host.broken = broken,
            }
            for ((executable, target), end) in &wanted {
                let place = (executable.clone(), *target);
                let held = host.effects.get(&place).copied().unwrap_or(0);
                let due = end.is_none_or(|end| end > clock);
                prop_assert!(held <= 1, "{place:?} is held {held} times");
                prop_assert!(!due || held == 1, "{place:?} was lifted early");
                let failing = host.ledger.entries().any(|entry| entry.attempts > 0);
                prop_assert!(due || held == 0 || failing, "{place:?} outlived its end");
            }
        }
        host.broken = false;
        host.pass(100_000);
        let endless: Vec<_> = wanted.iter().filter(|(_, end)| end.is_none()).collect();
        prop_assert_eq!(host.effects.len(), endless.len());
        for id in host.ledger.entries().filter(|entry| entry.end.is_some()) {
            prop_assert!(false, "{:?} is still there", id.action.id);
        }
    }
}
