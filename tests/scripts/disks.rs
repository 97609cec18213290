//! Homes that cannot be written, from the start or from some moment on.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::identity::{PROGRAMS, refused};
use crate::scene::{SOON, Scene, keyed, stateful};
use crate::support::alert::Alert;
use crate::support::home::{Home, command, response};
use crate::support::isolation::{isolated, mount};
use crate::support::wait_for;

#[test]
fn a_read_only_home_is_refused_with_what_to_do() {
    isolated(|| {
        let scene = Scene::new();
        scene.configure(&[]);
        let path = scene.home.path().to_str().unwrap();
        mount(&["--bind", path, path]);
        mount(&["-o", "remount,bind,ro", path]);
        for program in PROGRAMS {
            let output = refused(&scene, program, &[]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(77), "{program}: {said}");
            assert!(said.contains(path) && said.contains("remount"), "{said}");
            assert!(said.to_lowercase().contains("read-only"), "{said}");
        }
        mount(&["-o", "remount,bind,rw", path]);
        let mut scene = scene;
        scene.start_manager();
        scene.start_agentd();
    });
}

/// The alerts stand on another disk, as they do where Wazuh writes them.
#[test]
fn a_full_disk_loses_nothing_and_starts_nothing_that_is_not_written_down() {
    isolated(|| {
        let mut scene = Scene::at(Home::on_tmpfs("160m"));
        let (alerts, effects) = (
            scene.home.beside().join("alerts"),
            scene.home.beside().join("effects"),
        );
        fs::write(&alerts, "").unwrap();
        let body = keyed("", "").replace("logs/effects", effects.to_str().unwrap());
        scene.home.script("keyed", &body);
        let notify = format!("read -r message; echo notify >> {}", effects.display());
        scene.home.script("notify", &notify);
        let source = format!(
            "<alert_source><location>{}</location></alert_source>",
            alerts.display()
        );
        scene.start(&[
            source,
            stateful("keyed", "1001", "5"),
            command("notify", "") + &response("notify", "1002", ""),
        ]);
        let append = |alert: Alert| {
            let mut file = fs::File::options().append(true).open(&alerts).unwrap();
            file.write_all(alert.line().as_bytes()).unwrap();
        };
        append(Alert::sshd("203.0.113.1").rule("1001"));
        scene.wait("keyed", "applied");
        let ballast = scene.home.file("ballast");
        fill(&ballast);
        for number in 0..40 {
            append(Alert::sshd(&format!("203.0.113.{number}")).rule("1002"));
        }
        let status = wait_for("status tells of it", SOON, || {
            let status = scene.home.ctl(&["status"]);
            let text = String::from_utf8_lossy(&status.stdout).into_owned();
            text.contains("problem: ").then_some(text)
        });
        assert!(status.contains("cannot be written"), "{status}");
        assert!(scene.manager().is_running() && scene.agentd().is_running());
        // An end needs no disk.
        wait_for("the revert", SOON, || {
            let effects = fs::read_to_string(&effects).unwrap();
            effects.contains("keyed delete 203.0.113.1").then_some(())
        });

        fs::remove_file(&ballast).unwrap();
        scene.wait_nth("notify", "done", 40);
        scene.wait("keyed", "reverted");
        append(Alert::sshd("203.0.113.2").rule("1001"));
        scene.wait_nth("keyed", "applied", 2);
        let ran = fs::read_to_string(&effects).unwrap();
        assert_eq!(ran.matches("notify").count(), 40, "each once: {ran}");
        assert_eq!(ran.matches("keyed delete 203.0.113.1").count(), 1, "{ran}");
        // What was begun when the disk became full stands on a line of its own.
        let text = fs::read_to_string(scene.home.file("logs/responses.json")).unwrap();
        let is_torn = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_err();
        let torn: Vec<_> = text.lines().filter(is_torn).collect();
        assert!(torn.len() <= 1, "{torn:?}");
        wait_for("nothing is wrong any more", SOON, || {
            let status = scene.home.ctl(&["status"]);
            let text = String::from_utf8_lossy(&status.stdout).into_owned();
            (!text.contains("cannot be written")).then_some(())
        });
    });
}

/// Fills the file system of `path` to the last byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 10, 1] {
        while file.write_all(&vec![0_u8; size]).is_ok() {}
    }
}
