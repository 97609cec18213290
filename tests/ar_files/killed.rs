//! Runs that are killed at any moment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::netns::reexec_in_namespace;
use crate::quarantine::ended;
use crate::random::Random;
use crate::run::{answer, direct};
use crate::scene::{
    BYTES, DELETE, Portrait, QUARANTINE, STORES, Scene, adorn, alert, message, names, portrait,
    store, untouched,
};

const ROUNDS: usize = 150;

/// Longer than a run on a quiet machine takes.
const LONGEST: Duration = Duration::from_millis(8);

/// Starts a run and kills it within a while.
fn killed(scene: &Scene, name: &str, input: &str, after: Duration) {
    let mut child = direct(&scene.home, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    while start.elapsed() < after {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The file is at its place, or in the store and known there.
fn is_safe(path: &Path, folder: &Path, bytes: &[u8]) -> bool {
    let is_whole = |path: PathBuf| path.exists() && untouched(&path) == bytes;
    let names = names(folder);
    let is_known = |name: &str| {
        let records = ["intent", "json"].map(|suffix| format!("{name}.{suffix}"));
        names.iter().any(|name| records.contains(name))
    };
    is_whole(path.to_owned())
        || names
            .iter()
            .any(|name| is_known(name) && is_whole(folder.join(name)))
}

#[test]
fn a_run_killed_at_any_moment_loses_nothing_and_the_next_one_ends_it() {
    reexec_in_namespace(|| {
        let (scene, mut random) = (Scene::new(), Random::new());
        for args in STORES {
            let path = scene.file("x", BYTES);
            adorn(&path);
            let before: Portrait = portrait(&path);
            let folder = store(&scene, args);
            let add = message("add", args, &alert(&path, "")) + &answer("continue", "{}");
            let delete = message("delete", args, &alert(&path, ""));
            let mut seen = [0, 0];
            for round in 0..ROUNDS {
                let (input, turn) = match random.below(2) {
                    0 => (&add, 0),
                    _ => (&delete, 1),
                };
                killed(&scene, QUARANTINE, input, random.span(LONGEST));
                assert!(
                    is_safe(&path, &folder, BYTES),
                    "round {round}: {:?}",
                    names(&folder)
                );
                seen[turn] += usize::from(!path.exists());
                if random.below(3) == 0 {
                    ended(&scene.add(QUARANTINE, args, &path), "applied");
                    assert_eq!(names(&scene.open), [] as [&str; 0], "round {round}");
                    assert_eq!(names(&folder).len(), 2, "round {round}");
                }
                if random.below(3) == 0 {
                    let status = scene.delete(args, &path).status();
                    assert!(["reverted", "absent"].contains(&&*status), "round {round}");
                    assert_eq!(portrait(&path), before, "round {round}");
                    assert_eq!(names(&folder), [] as [&str; 0], "round {round}");
                }
            }
            assert!(seen[0] > 0, "no add was ever quick enough: {seen:?}");
            scene.delete(args, &path);
            assert_eq!(portrait(&path), before);
            assert_eq!(
                (names(&scene.open), names(&folder)),
                (vec!["x".to_owned()], vec![])
            );
        }
    });
}

#[test]
fn a_file_that_was_half_deleted_is_deleted_by_the_next_run() {
    reexec_in_namespace(|| {
        let (scene, mut random) = (Scene::new(), Random::new());
        for args in STORES {
            let folder = store(&scene, args);
            for round in 0..ROUNDS / 2 {
                let path = scene.file("x", BYTES);
                let add = message("add", args, &alert(&path, "")) + &answer("continue", "{}");
                killed(&scene, DELETE, &add, random.span(LONGEST));
                let status = scene.add(DELETE, args, &path).status();
                assert!(["applied", "already"].contains(&&*status), "round {round}");
                assert_eq!(names(&scene.open), [] as [&str; 0], "round {round}");
                assert_eq!(names(&folder), [] as [&str; 0], "round {round}");
            }
        }
    });
}
