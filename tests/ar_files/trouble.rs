//! Disks that are full, read-only or in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::quarantine::ended;
use crate::run::Ran;
use crate::scene::{BYTES, DELETE, QUARANTINE, Scene, names, store};

/// Nothing was done, and it is said why, with what to do.
#[track_caller]
fn failed(ran: &Ran, why: &str, hint: &str) {
    ended(ran, "failed");
    let detail = ran.result()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(why), "{ran:?}");
    assert!(ran.stderr.contains(hint), "{ran:?}");
}

fn full(size: &str, at: &str) {
    let options = format!("size={size},mode=0700");
    tool("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", at]);
}

#[test]
fn a_store_without_room_takes_nothing() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let path = scene.file("x", &[7; 100_000]);
        fs::create_dir("/mnt/store").unwrap();
        full("64k", "/mnt/store");
        let args = &["--store=/mnt/store"];
        let ran = scene.add(QUARANTINE, args, &path);
        failed(&ran, "No space left", "another file system");
        assert_eq!(names(&scene.open), ["x"]);
        assert_eq!(fs::read(&path).unwrap(), [7; 100_000]);
        assert_eq!(names(Path::new("/mnt/store")), [] as [&str; 0]);
        // Not even the record.
        fs::write("/mnt/store/filler", [0; 64 << 10]).unwrap_err();
        failed(&scene.add(QUARANTINE, args, &path), "No space left", "");
        assert_eq!(names(&scene.open), ["x"]);
        fs::remove_file("/mnt/store/filler").unwrap();
        // What is deleted needs room for its record only.
        ended(&scene.add(DELETE, args, &path), "applied");
        assert_eq!(names(&scene.open), [] as [&str; 0]);
    });
}

#[test]
fn a_place_without_room_leaves_the_file_in_the_store() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        fs::create_dir("/mnt/small").unwrap();
        full("64k", "/mnt/small");
        let path = Path::new("/mnt/small/x");
        fs::write(path, [7; 40_000]).unwrap();
        ended(&scene.add(QUARANTINE, &[], path), "applied");
        fs::write("/mnt/small/filler", [0; 40_000]).unwrap();
        let kept = names(&store(&scene, &[]));
        let ran = scene.delete(&[], path);
        failed(&ran, "No space left", "");
        assert_eq!(names(Path::new("/mnt/small")), ["filler"]);
        assert_eq!(names(&store(&scene, &[])), kept);
        fs::remove_file("/mnt/small/filler").unwrap();
        ended(&scene.delete(&[], path), "reverted");
        assert_eq!(fs::read(path).unwrap(), [7; 40_000]);
    });
}

#[test]
fn a_read_only_file_system_keeps_its_files() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let path = scene.file("x", BYTES);
        for args in crate::scene::STORES {
            tool("mount", &["-o", "remount,rw", "/mnt"]);
            if args.len() == 1 {
                fs::create_dir("/mnt/store").unwrap();
                fs::set_permissions("/mnt/store", fs::Permissions::from_mode(0o700)).unwrap();
            }
            tool("mount", &["-o", "remount,ro", "/mnt"]);
            for name in [QUARANTINE, DELETE] {
                let ran = scene.add(name, args, &path);
                failed(&ran, "Read-only file system", "");
                assert_eq!(names(&scene.open), ["x"]);
                assert_eq!(names(&scene.home.file("queue/quarantine")), [] as [&str; 0]);
            }
        }
    });
}

#[test]
fn an_immutable_file_stays_and_it_is_said_how_to_change_that() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let path = scene.file("x", BYTES);
        let chattr = |flag: &str, path: &Path| {
            let mut command = std::process::Command::new("chattr");
            command
                .arg(flag)
                .arg(path)
                .output()
                .unwrap()
                .status
                .success()
        };
        if !chattr("+i", &path) {
            eprintln!("SKIPPED: this file system or user has no immutable files");
            return;
        }
        for args in crate::scene::STORES {
            for name in [QUARANTINE, DELETE] {
                failed(&scene.add(name, args, &path), "immutable", "chattr -ia");
                assert_eq!(names(&scene.open), ["x"]);
                assert_eq!(names(&store(&scene, args)), [] as [&str; 0]);
            }
        }
        assert!(chattr("-i", &path));
        ended(&scene.add(QUARANTINE, &[], &path), "applied");
    });
}

#[test]
fn a_store_that_others_can_look_into_or_lead_away_is_none() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let path = scene.file("x", BYTES);
        fs::create_dir("/mnt/readable").unwrap();
        fs::set_permissions("/mnt/readable", fs::Permissions::from_mode(0o755)).unwrap();
        for (at, why) in [
            ("/mnt/readable", "others can look into it"),
            ("/mnt/open", "others can write to it"),
            ("/mnt/open/store", "others can write to it"),
            ("/mnt/open/x", "Not a directory"),
        ] {
            let ran = scene.add(QUARANTINE, &["--store", at], &path);
            failed(&ran, why, "");
            assert_eq!(names(&scene.open), ["x"]);
        }
        std::os::unix::fs::symlink("/mnt/readable", "/mnt/open/link").unwrap();
        let ran = scene.add(QUARANTINE, &["--store=/mnt/open/link/s"], &path);
        failed(&ran, "symlink", "");
        assert_eq!(names(Path::new("/mnt/readable")), [] as [&str; 0]);
    });
}
