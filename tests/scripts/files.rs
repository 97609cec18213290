//! The file behind a script: what is run, what is not, and why.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::scene::Scene;
use crate::support::home::{command, response, text};

const BODY: &str = "read -r message; echo \"${0##*/}\" >> logs/effects";

/// How a file is spoilt, and a word of the detail that must tell it.
struct Spoilt {
    name: &'static str,
    spoil: fn(&Path),
    word: &'static str,
}

const SPOILT: &[Spoilt] = &[
    Spoilt {
        name: "missing",
        spoil: |path| fs::remove_file(path).unwrap(),
        word: "active-response/bin/missing: No such file",
    },
    Spoilt {
        name: "not-executable",
        spoil: |path| mode(path, 0o640),
        word: "is not executable",
    },
    Spoilt {
        name: "of-the-group",
        spoil: |path| mode(path, 0o770),
        word: "can be written by group or others",
    },
    Spoilt {
        name: "of-others",
        spoil: |path| mode(path, 0o757),
        word: "can be written by group or others",
    },
    Spoilt {
        name: "link",
        spoil: |path| {
            let real = path.with_file_name("real");
            fs::rename(path, &real).unwrap();
            symlink("real", path).unwrap();
        },
        word: "is a symbolic link",
    },
    Spoilt {
        name: "folder",
        spoil: |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        word: "is not a regular file",
    },
    Spoilt {
        name: "no-interpreter",
        spoil: |path| fs::write(path, "#!/nowhere/sh\n").unwrap(),
        word: "/nowhere/sh",
    },
    // Silent under 4.x, like most of these.
    Spoilt {
        name: "of-windows",
        spoil: |path| fs::write(path, format!("#!/bin/sh\r\n{BODY}\r\n")).unwrap(),
        word: "LF line ends",
    },
];

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_that_cannot_be_run_or_trusted_is_not_run_and_the_record_says_why() {
    let mut scene = Scene::new();
    let mut blocks = Vec::new();
    for spoilt in SPOILT {
        let path = scene.home.script(spoilt.name, BODY);
        (spoilt.spoil)(&path);
        blocks.push(command(spoilt.name, "") + &response(spoilt.name, "1001", ""));
    }
    scene.start(&blocks);
    scene.alert("1001", "203.0.113.9");
    for spoilt in SPOILT {
        let failed = scene.wait(spoilt.name, "failed");
        let detail = text(&failed, "detail");
        assert!(detail.contains(spoilt.word), "{}: {failed}", spoilt.name);
        let path = format!("active-response/bin/{}", spoilt.name);
        assert!(detail.contains(&path), "{}: {failed}", spoilt.name);
    }
    assert!(scene.effects().is_empty());

    // What is mended runs, without a restart.
    for spoilt in SPOILT {
        let path = scene.home.file("active-response/bin").join(spoilt.name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        scene.home.script(spoilt.name, BODY);
    }
    scene.alert("1001", "203.0.113.9");
    for spoilt in SPOILT {
        scene.wait(spoilt.name, "done");
    }
    assert_eq!(scene.effects().len(), SPOILT.len());
}

#[test]
fn a_folder_that_others_can_write_is_not_trusted_either() {
    let mut scene = Scene::new();
    scene.home.script("mine", BODY);
    scene.start(&[command("mine", "") + &response("mine", "1001", "")]);
    let folders = ["active-response", "active-response/bin"];
    for (number, folder) in (1..).zip(folders) {
        let folder = scene.home.file(folder);
        mode(&folder, 0o770);
        scene.alert("1001", "203.0.113.9");
        let failed = scene.wait_nth("mine", "failed", number);
        let detail = text(&failed, "detail");
        assert!(
            detail.contains("can be written by group or others"),
            "{failed}"
        );
        assert!(detail.contains(folder.to_str().unwrap()), "{failed}");
        mode(&folder, 0o750);
    }
    assert!(scene.effects().is_empty());
}

/// execvp(3) hands it to sh, and scripts of 4.x rely on it.
#[test]
fn a_script_without_a_first_line_is_for_sh() {
    let mut scene = Scene::new();
    let path = scene.home.script("plain", "");
    fs::write(&path, format!("{BODY}\n")).unwrap();
    scene.start(&[command("plain", "") + &response("plain", "1001", "")]);
    scene.alert("1001", "203.0.113.9");
    scene.wait("plain", "done");
    assert_eq!(scene.effects(), ["plain"]);
}

#[test]
fn a_bundled_executable_that_was_replaced_is_a_script_and_a_warning() {
    let mut scene = Scene::new();
    let path = scene.home.file("active-response/bin/host-deny");
    fs::remove_file(path).unwrap();
    scene.home.script("host-deny", BODY);
    scene.start(&[response("host-deny", "1001", "600")]);
    scene.alert("1001", "203.0.113.9");
    let done = scene.wait("host-deny", "done");
    assert!(done.get("verified").is_none(), "{done}");
    assert_eq!(scene.effects(), ["host-deny"]);
    let said = scene.agentd().said();
    let warning = said
        .lines()
        .find(|line| line.contains("not the recorded one"));
    assert!(
        warning.is_some_and(|line| line.contains("host-deny")),
        "{said}"
    );
}
