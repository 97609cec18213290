//! Many executions at once.

use std::fs;
use std::time::Duration;

use crate::scene::{Gate, SOON, Scene, keyed, lines, stateful};
use crate::support::alert::Alert;
use crate::support::home::millis;
use crate::support::{holds_for, wait_for};

/// Counts how many run while this one does: each puts a folder of its own into
/// `logs/running`.
fn counted(word: &str) -> String {
    format!(
        "mkdir logs/running/$$; set -- logs/running/*; echo \"$#\" >> logs/{word}s; \
         sleep 0.05; rmdir logs/running/$$"
    )
}

fn most(scene: &Scene, word: &str) -> usize {
    let counts = lines(&scene.home.file(&format!("logs/{word}s")));
    counts
        .iter()
        .map(|line| line.parse().unwrap())
        .max()
        .unwrap_or(0)
}

#[test]
fn two_hundred_ends_at_the_same_moment_are_all_kept_sixteen_at_a_time() {
    let mut scene = Scene::new();
    fs::create_dir(scene.home.file("logs/running")).unwrap();
    let body = keyed(&counted("add"), &counted("delete"));
    scene.home.script("keyed", &body);
    scene.start(&[stateful("keyed", "1001", "15")]);
    alerts(&scene, "1001", 200);
    wait_for_all(&scene, 200, "applied");
    // What came due while nobody was there is due at one and the same moment.
    scene.kill_agentd();
    let records = scene.records("keyed");
    let applied = records.iter().filter(|record| record["state"] == "applied");
    let last = applied.map(|record| millis(record, "until")).max().unwrap();
    wait_for("all ends are over", SOON, || {
        (chrono::Utc::now().timestamp_millis() > last).then_some(())
    });
    scene.start_agentd();
    wait_for_all(&scene, 200, "reverted");
    assert_eq!(ended_children(scene.agentd().id()), 0);
    for word in ["add", "delete"] {
        let most = most(&scene, word);
        assert!((2..=16).contains(&most), "{most} {word}s at once");
        let effects = scene.effects();
        let words = effects.iter().filter(|effect| effect.contains(word));
        assert_eq!(words.count(), 200, "{word}");
    }
}

/// How many children of a process have ended and were never asked after.
fn ended_children(parent: u32) -> usize {
    let processes = fs::read_dir("/proc").unwrap();
    let stats = processes.filter_map(|entry| {
        let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        Some(stat.rsplit_once(')')?.1.to_owned())
    });
    let wanted = format!(" Z {parent} ");
    stats.filter(|stat| stat.starts_with(&wanted)).count()
}

/// Looks less often than others do: there is much to read.
fn wait_for_all(scene: &Scene, number: usize, state: &str) {
    wait_for(&format!("{number} are {state}"), 2 * SOON, || {
        std::thread::sleep(Duration::from_millis(50));
        (scene.count("keyed", state) == number).then_some(())
    });
}

/// Of all scripts together, 48 adds run at once and 64 executions, so that a
/// flood of alerts leaves room for reverts.
#[test]
fn a_flood_of_adds_leaves_room_for_reverts() {
    const FLOODED: [&str; 5] = ["a", "b", "c", "d", "e"];
    const REVERTED: [&str; 2] = ["x", "y"];
    let mut scene = Scene::new();
    let mut adds = Gate::new(&scene.home, "adds");
    let mut deletes = Gate::new(&scene.home, "deletes");
    let mut blocks = Vec::new();
    for name in FLOODED {
        scene.home.script(name, &keyed(&adds.wait(), ""));
        blocks.push(stateful(name, "1001", "600"));
    }
    for name in REVERTED {
        scene.home.script(name, &keyed("", &deletes.wait()));
        blocks.push(stateful(name, "1002", "6"));
    }
    scene.start(&blocks);
    let running = |names: &[&str], word: &str| {
        let is_wanted = |line: &String| {
            let (name, rest) = line.split_once(' ').unwrap();
            names.contains(&name) && rest.starts_with(word)
        };
        scene.effects().into_iter().filter(is_wanted).count()
    };
    alerts(&scene, "1002", 12);
    for name in REVERTED {
        scene.wait_nth(name, "applied", 12);
    }
    alerts(&scene, "1001", 20);
    let still = Duration::from_millis(300);
    let adding = || running(&FLOODED, "add");
    wait_for("48 adds", SOON, || (adding() == 48).then_some(()));
    holds_for("48 adds are all", still, || adding() == 48);
    for name in FLOODED {
        let of_one = running(&[name], "add");
        assert!(of_one <= 16, "{of_one} of {name}");
    }
    let deleting = || running(&REVERTED, "delete");
    wait_for("16 deletes beside them", SOON, || {
        (deleting() == 16).then_some(())
    });
    holds_for("64 are all", still, || adding() + deleting() == 64);

    deletes.open();
    for name in REVERTED {
        scene.wait_nth(name, "reverted", 12);
    }
    assert_eq!(adding(), 48);
    adds.open();
    for name in FLOODED {
        scene.wait_nth(name, "applied", 20);
    }
}

/// By the order of the records: an alert of another script is acted upon while
/// thirty reverts of one wait.
#[test]
fn reverts_that_hang_leave_room_for_alerts() {
    let mut scene = Scene::new();
    let mut gate = Gate::new(&scene.home, "gate");
    scene.home.script("slow", &keyed("", &gate.wait()));
    scene.home.script("quick", &keyed("", ""));
    scene.start(&[
        stateful("slow", "1001", "4"),
        stateful("quick", "1002", "600"),
    ]);
    alerts(&scene, "1001", 30);
    scene.wait_nth("slow", "reverting", 30);
    alerts(&scene, "1002", 30);
    scene.wait_nth("quick", "applied", 30);
    assert_eq!(scene.count("slow", "reverted"), 0);
    gate.open();
    scene.wait_nth("slow", "reverted", 30);
}

/// So many alerts for `rule`, each of an address of its own, in one write.
fn alerts(scene: &Scene, rule: &str, number: usize) {
    let alert = |n| Alert::sshd(&format!("198.18.0.{n}")).rule(rule);
    scene
        .home
        .alert(&(0..number).map(alert).collect::<Vec<_>>());
}
