//! `ripostctl init`: what a new home looks like, and what is refused.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ripost::model::bundled::BUNDLED;
use sha2::{Digest, Sha256};

use crate::{code, ctl, stderr, stdout};

/// Beside the bundled executables.
const TREE: &[(&str, u32)] = &[
    ("active-response", 0o40750),
    ("active-response/bin", 0o40750),
    ("etc", 0o40750),
    ("etc/agent.conf", 0o100640),
    ("etc/lists", 0o40700),
    ("etc/manager.conf", 0o100640),
    ("etc/tls", 0o40700),
    ("logs", 0o40750),
    ("logs/alerts", 0o40750),
    ("queue", 0o40700),
    ("queue/bundled.sha256", 0o100600),
];

fn init(words: &[&str], directory: &Path) -> Output {
    let mut command = ctl();
    command.arg("init").args(words).arg(directory);
    command.output().expect("ripostctl starts")
}

/// Every path below `directory`, with its type and mode.
fn tree(directory: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            let metadata = path.symlink_metadata().expect("it is there");
            let name = path.strip_prefix(directory).expect("it lies below");
            found.insert(name.display().to_string(), metadata.mode());
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn wanted_tree() -> BTreeMap<String, u32> {
    let executables = names().map(|name| (format!("active-response/bin/{name}"), 0o100750));
    TREE.iter()
        .map(|(path, mode)| ((*path).to_owned(), *mode))
        .chain(executables)
        .collect()
}

fn names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().flat_map(|row| row.names())
}

/// What sha256sum(1) prints for the bundled executables of `home`.
fn sums(home: &Path) -> String {
    let names: std::collections::BTreeSet<_> = names().collect();
    names
        .into_iter()
        .map(|name| {
            let path = format!("active-response/bin/{name}");
            let bytes = std::fs::read(home.join(&path)).expect("an installed executable");
            let sum = Sha256::digest(bytes);
            let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{sum}  {path}\n")
        })
        .collect()
}

fn record(home: &Path) -> String {
    std::fs::read_to_string(home.join("queue/bundled.sha256")).expect("the record")
}

/// The programs as an installation has them: `ripostctl` with these beside it.
fn installation(folder: &Path, names: &[&str]) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_ripostctl"));
    let program = folder.join("ripostctl");
    crate::copy_program(built, &program);
    for name in names {
        let script = format!("#!/bin/sh\n# {name}\n");
        std::fs::write(folder.join(name), script).expect("room for a script");
    }
    program
}

#[test]
fn a_new_home_has_the_documented_folders_and_modes_whatever_the_umask() {
    for umask in ["0000", "0077"] {
        let parent = tempfile::tempdir().unwrap();
        let home = parent.path().join("home");
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("umask {umask}; exec \"$0\" init \"$1\""))
            .arg(env!("CARGO_BIN_EXE_ripostctl"))
            .arg(&home)
            .output()
            .unwrap();
        assert_eq!((code(&output), stderr(&output)), (0, ""));
        assert!(stdout(&output).contains("ripost-manager --home"));
        assert_eq!(tree(&home), wanted_tree());
        assert_eq!(home.metadata().unwrap().mode(), 0o40750);
        assert_eq!(record(&home), sums(&home));
    }
}

#[test]
fn a_home_of_an_agent_has_nothing_of_a_manager() {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    let output = init(&["--agent"], &home);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let next = stdout(&output);
    assert!(next.contains("enroll --manager"), "{next}");
    assert!(!next.contains("ripost-manager"), "{next}");
    let mut wanted = wanted_tree();
    for path in ["etc/manager.conf", "logs/alerts"] {
        wanted.remove(path).expect("a manager has it");
    }
    assert_eq!(tree(&home), wanted);
    assert_eq!(record(&home), sums(&home));
    let output = crate::run(&home, &["check"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    assert_eq!(code(&init(&["--refresh"], &home)), 0);
}

#[test]
fn an_empty_directory_becomes_a_home() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(code(&init(&[], home.path())), 0);
    assert_eq!(tree(home.path()), wanted_tree());
}

#[test]
fn what_is_no_place_for_a_home_is_refused_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let full = parent.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine"), "x").unwrap();
    let open = parent.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let orphan = parent.path().join("no/where");
    let before = tree(parent.path());
    for (directory, text) in [
        (&full, "--refresh"),
        (&open, "chmod go-w"),
        (&file, "not a directory"),
        (&orphan, "does not exist"),
    ] {
        let output = init(&[], directory);
        assert_eq!((code(&output), stdout(&output)), (1, ""));
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    }
    assert_eq!(tree(parent.path()), before);
}

#[test]
fn a_missing_bundled_executable_is_named_and_nothing_is_made() {
    let parent = tempfile::tempdir().unwrap();
    let names = BUNDLED.iter().map(|row| row.name);
    let others: Vec<_> = names.filter(|name| *name != "host-deny").collect();
    let program = installation(parent.path(), &others);
    let home = parent.path().join("home");
    let output = Command::new(program).arg("init").arg(&home).output();
    let output = output.unwrap();
    assert_eq!(code(&output), 1);
    let folder = parent.path().display().to_string();
    for part in ["host-deny", folder.as_str()] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert!(!home.exists());
}

/// Runs `ripostctl` so that files end at 8 KiB, as on a full disk.
fn with_short_files(words: &[&str], home: &Path) -> Output {
    let output = Command::new("sh")
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_ripostctl"))
        .args(words)
        .arg(home)
        .output();
    output.expect("sh starts")
}

#[test]
fn a_failure_half_way_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let empty = parent.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for home in [parent.path().join("new"), empty.clone()] {
        let output = with_short_files(&["init"], &home);
        assert_eq!(code(&output), 1);
        assert!(
            stderr(&output).contains("active-response/bin"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(
        tree(parent.path()),
        BTreeMap::from([("empty".to_owned(), 0o40755)])
    );
}

#[test]
fn refresh_renews_the_executables_and_their_record_and_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    assert_eq!(code(&init(&[], &home)), 0);
    for (path, text) in [
        ("etc/manager.conf", "mine"),
        ("active-response/bin/own.sh", "#!/bin/sh\n"),
        ("queue/bundled.sha256", "old"),
    ] {
        std::fs::write(home.join(path), text).unwrap();
    }
    let installed = parent.path().join("installed");
    std::fs::create_dir(&installed).unwrap();
    let program = installation(&installed, &names().collect::<Vec<_>>());
    let output = Command::new(program)
        .args(["init", "--refresh"])
        .arg(&home)
        .output();
    assert_eq!(code(&output.unwrap()), 0);

    let drop = std::fs::read_to_string(home.join("active-response/bin/firewall-drop"));
    assert_eq!(drop.unwrap(), "#!/bin/sh\n# firewall-drop\n");
    assert_eq!(record(&home), sums(&home));
    let configuration = std::fs::read_to_string(home.join("etc/manager.conf"));
    assert_eq!(configuration.unwrap(), "mine");
    let mut wanted = wanted_tree();
    wanted.insert("active-response/bin/own.sh".to_owned(), 0o100644);
    assert_eq!(tree(&home), wanted);
}

#[test]
fn a_refresh_that_fails_half_way_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    assert_eq!(code(&init(&[], &home)), 0);
    let before = (tree(&home), record(&home), sums(&home));
    let output = with_short_files(&["init", "--refresh"], &home);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert_eq!((tree(&home), record(&home), sums(&home)), before);
}

#[test]
fn refresh_of_what_is_no_home_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let output = init(&["--refresh"], place.path());
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("is no home"),
        "{}",
        stderr(&output)
    );
    assert_eq!(tree(place.path()), BTreeMap::new());
}

#[test]
fn the_default_configuration_passes_the_check_of_its_home() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(code(&init(&[], home.path())), 0);
    let output = crate::run(home.path(), &["check"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let lines: Vec<_> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 2);
    for (line, file) in lines.iter().zip(["manager.conf: ", "agent.conf: "]) {
        assert!(line.contains(file), "{line}");
        assert!(line.ends_with("; 0 errors, 0 warnings"), "{line}");
    }
}

#[test]
fn an_error_in_either_file_of_a_home_fails_the_check() {
    for file in ["etc/manager.conf", "etc/agent.conf"] {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(code(&init(&[], home.path())), 0);
        let wrong = "<ossec_config>\n  <global><nonsense/></global>\n</ossec_config>\n";
        std::fs::write(home.path().join(file), wrong).unwrap();
        let output = crate::run(home.path(), &["check"]);
        assert_eq!(code(&output), 1);
        assert_eq!(stdout(&output).lines().count(), 2);
        let place = format!("{}:2:", home.path().join(file).display());
        assert!(stderr(&output).contains(&place), "{}", stderr(&output));
    }
}

#[test]
fn a_file_is_checked_by_itself_and_against_a_home_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manager.conf");
    let text = "<ossec_config>\n<command><name>x</name><executable>x.sh</executable></command>\n</ossec_config>\n";
    std::fs::write(&file, text).unwrap();
    let alone = ctl().args(["check", "-c"]).arg(&file).output().unwrap();
    assert_eq!((code(&alone), stderr(&alone)), (0, ""));
    assert!(stdout(&alone).ends_with("0 errors, 0 warnings\n"));

    let words = ["check", "-c", file.to_str().unwrap()];
    let held = crate::run(folder.path(), &words);
    assert_eq!(code(&held), 0, "warnings are no errors");
    assert!(stderr(&held).contains("x.sh"), "{}", stderr(&held));
    assert!(stdout(&held).ends_with("0 errors, 1 warning\n"));
}

#[test]
fn a_check_that_finds_no_file_fails_and_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let output = crate::run(folder.path(), &["check"]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    assert!(
        stderr(&output).contains("check -c FILE"),
        "{}",
        stderr(&output)
    );
    let output = ctl().args(["check", "-c"]).arg(folder.path()).output();
    assert_eq!(code(&output.unwrap()), 1);
}
