//! Others who may write to the folder of a file exchange it all the time.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::netns::reexec_in_namespace;
use crate::scene::{DELETE, QUARANTINE, STORES, Scene, names, store};

const SECRET: &str = "/mnt/outside/x";
const EVIL: &[u8] = b"evil";
const RUNS: usize = 250;

/// Runs with somebody who goes on exchanging things, until the end of the runs.
fn against(other: impl Fn(usize) + Sync, runs: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                other(turn);
                turn += 1;
            }
        });
        // A run that fails must not leave the other going.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(runs));
        done.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|why| std::panic::resume_unwind(why));
    });
}

/// A file of root's which must stay where and as it is.
fn outside() -> (u64, u64, i64) {
    let stat = fs::symlink_metadata(SECRET).unwrap();
    assert_eq!(fs::read(SECRET).unwrap(), b"secret");
    assert_eq!(names(Path::new("/mnt/outside")), ["x"]);
    (stat.ino(), stat.nlink(), stat.ctime_nsec())
}

fn setup() -> Scene {
    let scene = Scene::new();
    fs::create_dir("/mnt/outside").unwrap();
    fs::write(SECRET, "secret").unwrap();
    scene
}

/// Runs both executables with both kinds of store and looks at what they took.
fn runs(scene: &Scene, path: &Path) {
    let before = outside();
    let mut applied = 0;
    for (name, args) in [QUARANTINE, DELETE]
        .into_iter()
        .flat_map(|name| STORES.map(|args| (name, args)))
    {
        for _ in 0..RUNS {
            let ran = scene.add(name, args, path);
            let status = ran.status();
            assert!(
                ["applied", "already", "refused", "failed"].contains(&&*status),
                "{ran:?}"
            );
            applied += usize::from(status == "applied");
            assert_eq!(outside(), before, "{ran:?}");
            let folder = store(scene, args);
            for name in names(&folder) {
                let kept = folder.join(&name);
                if name.ends_with(".json") || name.ends_with(".intent") {
                    assert!(
                        status != "applied" || name.ends_with(".json"),
                        "{name}: {ran:?}"
                    );
                } else if status == "applied" {
                    assert!(fs::symlink_metadata(&kept).unwrap().is_file());
                    assert_eq!(fs::read(&kept).unwrap(), EVIL);
                }
                fs::remove_file(kept).unwrap();
            }
        }
    }
    assert!(applied > 0, "the other was always quicker");
    assert_eq!(outside(), before);
}

/// Puts something in place of something at once.
fn put(made: PathBuf, at: &Path) {
    // It may be the turn of the executable.
    let _ = fs::rename(made, at);
}

#[test]
fn a_file_that_is_exchanged_for_a_link_takes_no_other_along() {
    reexec_in_namespace(|| {
        let scene = setup();
        let path = scene.open.join("x");
        let other = |turn: usize| {
            let made = scene.open.join("made");
            match turn % 2 {
                0 => fs::write(&made, EVIL).unwrap(),
                _ => symlink(SECRET, &made).unwrap(),
            }
            put(made, &path);
        };
        against(other, || runs(&scene, &path));
    });
}

#[test]
fn a_folder_that_is_exchanged_for_a_link_leads_nowhere() {
    reexec_in_namespace(|| {
        let scene = setup();
        let (folder, link, away) = ("/mnt/open/d", "/mnt/open/link", "/mnt/open/away");
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        symlink("/mnt/outside", link).unwrap();
        let path = PathBuf::from("/mnt/open/d/x");
        let other = |_| {
            // Into whichever of the two it is at the moment; but not the secret.
            let made = scene.open.join("made");
            fs::write(&made, EVIL).unwrap();
            put(made, &Path::new(folder).join("x"));
            put(folder.into(), Path::new(away));
            put(link.into(), Path::new(folder));
            put(folder.into(), Path::new(link));
            put(away.into(), Path::new(folder));
        };
        against(other, || runs(&scene, &path));
    });
}

#[test]
fn a_file_that_is_written_to_meanwhile_is_put_back() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let path = scene.file("x", b"A");
        let other = |turn: usize| {
            // It may be away just now.
            if let Ok(file) = fs::OpenOptions::new().write(true).open(&path) {
                file.write_all_at([b"A", b"B"][turn % 2], 0).unwrap();
            }
        };
        // SHA-1 of `A`.
        let beside = r#","sha1_after":"6dcd4ce23d88e2ee9568ba546c007c63d9131c1b""#;
        against(other, || {
            for args in STORES {
                let mut seen = BTreeSet::new();
                let end = Instant::now() + Duration::from_secs(60);
                while !seen.contains("failed") || !seen.contains("refused") {
                    assert!(Instant::now() < end, "seen only {seen:?}");
                    let ran = scene.add_with(QUARANTINE, args, &path, beside);
                    if ran.status() == "applied" {
                        assert_eq!(scene.delete(args, &path).status(), "reverted");
                    }
                    assert_eq!(names(&scene.open), ["x"], "{ran:?}");
                    assert_eq!(names(&store(&scene, args)), [] as [&str; 0], "{ran:?}");
                    seen.insert(ran.status());
                }
            }
        });
    });
}
