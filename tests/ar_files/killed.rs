//! Runs that are killed at any moment.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::netns::reexec_in_namespace;
use crate::quarantine::ended;
use crate::random::Random;
use crate::run::{answer, direct};
use crate::scene::{
    BYTES, DELETE, Portrait, QUARANTINE, STORES, Scene, adorn, alert, message, names, portrait,
    store, untouched,
};

const ROUNDS: usize = 150;

const DEADLINE: Duration = Duration::from_secs(30);

const TRIES: usize = 50;

/// So large that hashing it takes a while.
const LARGE: usize = 32 << 20;

/// Longer than a run on a quiet machine takes.
const LONGEST: Duration = Duration::from_millis(8);

/// Starts a run and kills it as soon as this holds, unless it ends before.
fn killed_when(scene: &Scene, name: &str, input: &str, mut holds: impl FnMut(Duration) -> bool) {
    let mut child = direct(&scene.home, name)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    while !holds(start.elapsed()) && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < DEADLINE, "it neither ends nor gets there");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn killed(scene: &Scene, name: &str, input: &str, after: Duration) {
    killed_when(scene, name, input, |elapsed| elapsed >= after);
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

/// At which step a run is killed.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The store has a part of a copy.
    Copying,
    /// The file is in the store, and has not been compared yet.
    InStore,
    /// There is a private folder beside its place, with the file or a copy.
    Beside,
}

impl Step {
    fn is_reached(self, open: &Path, folder: &Path) -> bool {
        let (there, kept) = (names(open), names(folder));
        let inside =
            |name: &String| name.starts_with(".ripost-") && open.join(name).join("file").exists();
        match self {
            Self::Copying => kept.iter().any(|name| name.ends_with(".part")),
            Self::InStore => {
                kept.iter().any(|name| !name.contains('.'))
                    && !kept.iter().any(|name| name.ends_with(".json"))
            }
            Self::Beside => there.iter().any(inside),
        }
    }
}

#[test]
fn each_step_that_is_the_last_one_is_followed_by_the_next_run() {
    reexec_in_namespace(|| {
        let (scene, [same, other]) = (Scene::new(), STORES);
        let bytes: Vec<u8> = (0..LARGE).map(|at| (at / 7) as u8).collect();
        let sum: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let beside = format!(r#","sha256_after":"{sum}""#);
        let path = scene.open.join("x");
        for (name, order, args, step) in [
            (QUARANTINE, "add", same, Step::InStore),
            (QUARANTINE, "add", other, Step::Copying),
            (QUARANTINE, "add", other, Step::Beside),
            (QUARANTINE, "delete", other, Step::Beside),
            (DELETE, "add", same, Step::InStore),
            (DELETE, "add", other, Step::Beside),
        ] {
            let folder = store(&scene, args);
            let input = message(order, args, &alert(&path, &beside)) + &answer("continue", "{}");
            for next in ["add", "delete"] {
                let what = format!("{name} {order} {step:?}, then {next}");
                // On a busy machine it may be over before it is looked at.
                let reached = (0..TRIES).any(|_| {
                    fs::write(&path, &bytes).unwrap();
                    if order == "delete" {
                        ended(&scene.add(QUARANTINE, args, &path), "applied");
                    }
                    let is_reached = |_| step.is_reached(&scene.open, &folder);
                    killed_when(&scene, name, &input, is_reached);
                    let reached = is_reached(Duration::ZERO);
                    if !reached && !path.exists() {
                        scene.delete(args, &path);
                    }
                    reached
                });
                assert!(reached, "{what}: it was always too late");
                assert!(name == DELETE || is_safe(&path, &folder, &bytes), "{what}");
                match (name, next) {
                    (QUARANTINE, "add") => {
                        ended(&scene.add(QUARANTINE, args, &path), "applied");
                        assert_eq!(names(&folder).len(), 2, "{what}");
                        assert_eq!(names(&scene.open), [] as [&str; 0], "{what}");
                        ended(&scene.delete(args, &path), "reverted");
                    }
                    (QUARANTINE, _) => {
                        let status = scene.delete(args, &path).status();
                        assert!(["reverted", "absent"].contains(&&*status), "{what}");
                    }
                    (_, "add") => ended(&scene.add(DELETE, args, &path), "applied"),
                    // Another executable for the same path ends it, too.
                    (_, _) => ended(&scene.delete(args, &path), "absent"),
                }
                assert_eq!(names(&folder), [] as [&str; 0], "{what}");
                match name {
                    QUARANTINE => assert_eq!(fs::read(&path).unwrap(), bytes, "{what}"),
                    _ => assert!(!path.exists(), "{what}"),
                }
                let _ = fs::remove_file(&path);
                assert_eq!(names(&scene.open), [] as [&str; 0], "{what}");
            }
        }
    });
}

#[test]
fn a_copy_that_had_gone_back_is_not_in_the_way_of_itself() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let folder = store(&scene, &[]);
        for (next, returned, status, left) in [
            ("delete", true, "absent", 0),
            ("delete", false, "failed", 2),
            ("add", true, "applied", 2),
            ("add", false, "applied", 4),
        ] {
            let path = scene.file("x", BYTES);
            ended(&scene.add(QUARANTINE, &[], &path), "applied");
            // As a run leaves it that is killed before the store is cleared.
            scene.file("x", BYTES);
            let inode = fs::metadata(&path).unwrap().ino() + u64::from(!returned);
            let record = folder.join(&names(&folder)[1]);
            let text = fs::read_to_string(&record).unwrap();
            let text = text.replacen('{', &format!(r#"{{"returned":{inode},"#), 1);
            fs::write(&record, text).unwrap();
            let ran = match next {
                "add" => scene.add(QUARANTINE, &[], &path),
                _ => scene.delete(&[], &path),
            };
            ended(&ran, status);
            assert_eq!(names(&folder).len(), left, "{next} {returned}");
            fs::remove_dir_all(&folder).unwrap();
            let _ = fs::remove_file(&path);
        }
    });
}
