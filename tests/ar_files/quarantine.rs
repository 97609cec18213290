//! The usual way of a file: there and back.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::netns::reexec_in_namespace;
use crate::run::Ran;
use crate::scene::{BYTES, DELETE, QUARANTINE, STORES, Scene, adorn, names, portrait, store};

const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[track_caller]
pub fn ended(ran: &Ran, status: &str) {
    assert_eq!(ran.status(), status, "{ran:?}");
    let code = match status {
        "applied" | "already" | "reverted" | "absent" => 0,
        "refused" if detail(ran).contains("it has changed since the alert") => 65,
        "refused" => 255,
        _ => return assert!(ran.code > Some(0), "{ran:?}"),
    };
    assert_eq!(ran.code, Some(code), "{ran:?}");
}

#[track_caller]
fn detail(ran: &Ran) -> String {
    ran.result()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_file_is_away_until_it_is_given_back_with_all_that_it_had() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for args in STORES {
            // The model refuses control characters.
            for name in [
                "plain",
                "a b'c\"d;$(id)`|&*?",
                "-rf",
                "\u{e9}\u{4e2d}\u{202e}",
            ] {
                let path = scene.file(name, BYTES);
                adorn(&path);
                let before = portrait(&path);
                let ran = scene.add(QUARANTINE, args, &path);
                ended(&ran, "applied");
                assert_eq!(detail(&ran), "", "{args:?}");
                assert_eq!(names(&scene.open), [] as [&str; 0]);
                assert_eq!(names(&store(&scene, args)).len(), 2);
                let kept = fs::metadata(store(&scene, args)).unwrap();
                assert_eq!(kept.permissions().mode() & 0o777, 0o700);

                let again = scene.add(QUARANTINE, args, &path);
                ended(&again, "applied");
                assert_eq!(detail(&again), "was in force already");

                ended(&scene.delete(args, &path), "reverted");
                assert_eq!(portrait(&path), before, "{args:?} {name}");
                assert_eq!(names(&scene.open), [name]);
                assert_eq!(names(&store(&scene, args)), [] as [&str; 0]);
                ended(&scene.delete(args, &path), "absent");
                fs::remove_file(&path).unwrap();
            }
        }
    });
}

#[test]
fn the_record_says_what_the_file_was() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let path = scene.file("empty", b"");
        adorn(&path);
        ended(&scene.add(QUARANTINE, &[], &path), "applied");
        let folder = store(&scene, &[]);
        let names = names(&folder);
        let record = fs::read(folder.join(&names[1])).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["path"], "/mnt/open/empty");
        assert_eq!(record["sha256"], SHA256);
        assert_eq!(
            (&record["size"], &record["purpose"]),
            (&0.into(), &"keep".into())
        );
        assert_eq!(record["attributes"]["mode"], 0o6751);
        assert_eq!(record["attributes"]["accessed"][1], 123_456_789);
    });
}

#[test]
fn what_stands_there_by_then_is_never_overwritten() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for args in STORES {
            let path = scene.file("x", BYTES);
            ended(&scene.add(QUARANTINE, args, &path), "applied");
            let kept = names(&store(&scene, args));
            for block in [
                || fs::write("/mnt/open/x", "new").unwrap(),
                || fs::create_dir("/mnt/open/x").unwrap(),
                || symlink("/mnt/nowhere", "/mnt/open/x").unwrap(),
            ] {
                block();
                let ran = scene.delete(args, &path);
                ended(&ran, "failed");
                assert!(detail(&ran).contains(&kept[0]), "{ran:?}");
                assert_eq!(names(&store(&scene, args)), kept);
                assert_eq!(names(&scene.open), ["x"]);
                assert!(fs::read(&path).ok().is_none_or(|bytes| bytes == b"new"));
                fs::remove_dir(&path)
                    .or_else(|_| fs::remove_file(&path))
                    .unwrap();
            }
            ended(&scene.delete(args, &path), "reverted");
            assert_eq!(fs::read(&path).unwrap(), BYTES);
        }
        // Nor is its folder made anew.
        let deep = scene.open.join("deep");
        fs::create_dir(&deep).unwrap();
        let path = scene.file("deep/x", BYTES);
        ended(&scene.add(QUARANTINE, &[], &path), "applied");
        fs::remove_dir(&deep).unwrap();
        ended(&scene.delete(&[], &path), "failed");
        fs::create_dir(&deep).unwrap();
        ended(&scene.delete(&[], &path), "reverted");
    });
}

#[test]
fn of_several_files_that_stood_there_the_last_one_goes_back_first() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for args in STORES {
            let path = scene.open.join("x");
            for bytes in ["one", "two", "three"] {
                fs::write(&path, bytes).unwrap();
                ended(&scene.add(QUARANTINE, args, &path), "applied");
            }
            for (bytes, older) in [
                ("three", "2 taken before"),
                ("two", "1 taken before"),
                ("one", ""),
            ] {
                let ran = scene.delete(args, &path);
                ended(&ran, "reverted");
                assert!(detail(&ran).contains(older), "{ran:?}");
                assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
                fs::remove_file(&path).unwrap();
            }
            ended(&scene.delete(args, &path), "absent");
        }
    });
}

#[test]
fn only_the_bytes_that_the_alert_speaks_of_are_taken() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for name in [QUARANTINE, DELETE] {
            let path = scene.file("x", b"");
            let zeros = "0".repeat(64);
            for (args, beside, why) in [
                (
                    &[][..],
                    format!(r#","sha256_after":"{zeros}""#),
                    "changed since the alert",
                ),
                (
                    &[],
                    format!(r#","md5_after":"{}""#, &zeros[..32]),
                    "another MD5",
                ),
                (
                    &[],
                    format!(
                        r#","sha256_after":"{SHA256}","sha1_after":"{}""#,
                        &zeros[..40]
                    ),
                    "another SHA-1",
                ),
                (&[], r#","md5_after":"none""#.to_owned(), "MD5 is none"),
                (
                    &["--require-hash"],
                    r#","md5_after":"""#.to_owned(),
                    "no hash of it",
                ),
            ] {
                let ran = scene.add_with(name, args, &path, &beside);
                ended(&ran, "refused");
                assert!(detail(&ran).contains(why), "{ran:?}");
                assert!(path.exists());
                assert_eq!(names(&store(&scene, &[])), [] as [&str; 0]);
            }
            let beside = format!(r#","sha256_after":"{SHA256}""#);
            ended(
                &scene.add_with(name, &["--require-hash"], &path, &beside),
                "applied",
            );
            assert!(!path.exists());
            scene.delete(&[], &path);
        }
    });
}

#[test]
fn guarded_files_are_refused_each_with_its_reason() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        crate::netns::run("mount", &["-t", "tmpfs", "tmpfs", "/etc"]);
        crate::netns::run("mount", &["-t", "tmpfs", "tmpfs", "/dev/shm"]);
        fs::write("/etc/shadow", "x").unwrap();
        fs::create_dir("/mnt/etc-too").unwrap();
        crate::netns::run("mount", &["--bind", "/etc", "/mnt/etc-too"]);
        let plain = scene.file("plain", BYTES);
        symlink(&plain, scene.open.join("link")).unwrap();
        symlink("/mnt/open", scene.open.join("around")).unwrap();
        crate::netns::run("mkfifo", &["/mnt/open/pipe"]);
        let ours = scene.home.file("active-response/bin/host-deny");
        let log = scene.home.file("logs/x");
        fs::write(&log, "").unwrap();
        for (path, why) in [
            (Path::new("/etc/shadow"), "lies in /etc"),
            (Path::new("//etc/./shadow"), "lies in /etc"),
            (Path::new("/mnt/etc-too/shadow"), "lies in /etc"),
            (Path::new("/usr/bin/env"), "lies in /usr"),
            (Path::new("/proc/self/environ"), "/proc"),
            (Path::new("/sys/kernel/notes"), "/sys"),
            (Path::new("/dev/null"), "/dev"),
            (&ours, "our own"),
            (&log, "our own"),
            (&scene.open.join("link"), "symlink"),
            (&scene.open.join("around/plain"), "symlink"),
            (&scene.open.join("pipe"), "no regular file"),
            (&scene.open, "no regular file"),
        ] {
            for name in [QUARANTINE, DELETE] {
                let ran = scene.add(name, &[], path);
                ended(&ran, "refused");
                assert!(detail(&ran).contains(why), "{path:?}: {ran:?}");
                assert!(fs::symlink_metadata(path).is_ok());
            }
        }
        let ran = scene.add(QUARANTINE, &["--allow-system"], "/etc/shadow".as_ref());
        ended(&ran, "applied");
        ended(&scene.delete(&[], "/etc/shadow".as_ref()), "reverted");
        // Where intruders leave their files.
        fs::write("/dev/shm/x", BYTES).unwrap();
        ended(
            &scene.add(QUARANTINE, &[], "/dev/shm/x".as_ref()),
            "applied",
        );
        // What only root can have made leads to where it says.
        symlink("open", "/mnt/by-root").unwrap();
        ended(
            &scene.add(QUARANTINE, &[], "/mnt/by-root/plain".as_ref()),
            "applied",
        );
        assert!(!plain.exists());
    });
}

#[test]
fn a_file_is_deleted_for_good_and_only_once() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for args in STORES {
            let path = scene.file("x", BYTES);
            ended(&scene.add(DELETE, args, &path), "applied");
            assert_eq!(names(&scene.open), [] as [&str; 0]);
            assert_eq!(names(&store(&scene, args)), [] as [&str; 0]);
            let ran = scene.add(DELETE, args, &path);
            ended(&ran, "already");
            assert_eq!(detail(&ran), "there is no such file");
            ended(&scene.delete(args, &path), "absent");
        }
        ended(&scene.add(QUARANTINE, &[], &scene.open.join("x")), "failed");
        ended(&scene.add(DELETE, &[], &scene.open.join("no/x")), "already");
    });
}

#[test]
fn another_name_of_the_same_file_stays_and_is_told() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for args in STORES {
            let path = scene.file("x", BYTES);
            fs::hard_link(&path, "/mnt/other").unwrap();
            let ran = scene.add(QUARANTINE, args, &path);
            ended(&ran, "applied");
            assert_eq!(detail(&ran), "the same file still has 1 other name(s)");
            assert_eq!(fs::read("/mnt/other").unwrap(), BYTES);
            ended(&scene.delete(args, &path), "reverted");
            assert_eq!(fs::read(&path).unwrap(), BYTES);
            fs::remove_file("/mnt/other").unwrap();
        }
    });
}

#[test]
fn that_another_program_can_still_write_to_it_is_told() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let path = scene.file("x", BYTES);
        let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
        for (args, told) in STORES.into_iter().zip([true, false]) {
            let ran = scene.add(QUARANTINE, args, &path);
            ended(&ran, "applied");
            // A copy is nobody else's.
            assert_eq!(detail(&ran).contains("still write"), told, "{ran:?}");
            ended(&scene.delete(args, &path), "reverted");
        }
        drop(writer);
    });
}

#[test]
fn a_file_of_a_lower_layer_is_moved_like_any_other() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for folder in ["lower", "lower/d", "upper", "work", "both"] {
            fs::create_dir(Path::new("/mnt").join(folder)).unwrap();
        }
        crate::netns::run("mount", &["-t", "tmpfs", "tmpfs", "/mnt/lower"]);
        fs::create_dir("/mnt/lower/d").unwrap();
        fs::write("/mnt/lower/d/x", BYTES).unwrap();
        let layers = "lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work,xino=off";
        let overlay = ["-t", "overlay", "-o", layers, "overlay", "/mnt/both"];
        let mounted = std::process::Command::new("mount").args(overlay).output();
        if !mounted.unwrap().status.success() {
            eprintln!("SKIPPED: this system lays no file system over another");
            return;
        }
        let path = Path::new("/mnt/both/d/x");
        let args = &["--store=/mnt/both/store"];
        ended(&scene.add(QUARANTINE, args, path), "applied");
        assert!(!path.exists());
        ended(&scene.delete(args, path), "reverted");
        assert_eq!(fs::read(path).unwrap(), BYTES);
    });
}
