//! Configuration files, good and bad, and what is said of them.
//!
//! `tests/data/config/{good,bad}/NAME.conf` stands beside `NAME.expect`: what
//! `ripostctl check` would print, and for good files also what they mean.
//! `RIPOST_BLESS=1 cargo test --test config` writes the `.expect` files anew.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ripost::config::{AnyConfig, Checked, Context, Response, check_any, load_any};

fn data(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/config")
        .join(kind)
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", dir.display());
    files
}

fn check(path: &Path) -> Checked<AnyConfig> {
    let name = path.file_name().unwrap();
    check_any(
        &std::fs::read(path).unwrap(),
        Path::new(name),
        &Context::default(),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "writes expectations when asked to"
)]
fn compare(path: &Path, found: &str) {
    let expect = path.with_extension("expect");
    if std::env::var_os("RIPOST_BLESS").is_some() {
        std::fs::write(&expect, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&expect).unwrap_or_default();
    assert_eq!(wanted, found, "{}", expect.display());
}

fn describe(config: &AnyConfig) -> String {
    let mut out = String::new();
    match config {
        AnyConfig::Agent(agent) => writeln!(out, "{agent:#?}").unwrap(),
        AnyConfig::Manager(manager) => {
            for command in &manager.commands {
                writeln!(out, "{command:?}").unwrap();
            }
            for Response { text, line, .. } in &manager.responses {
                writeln!(out, "response in line {line}: {text}").unwrap();
            }
            let list: Vec<String> = manager.white_list.iter().map(|n| n.to_string()).collect();
            writeln!(out, "white list: {}", list.join(" ")).unwrap();
            for source in &manager.sources {
                writeln!(out, "{source:?}").unwrap();
            }
        }
    }
    out
}

#[test]
fn bad_files_say_what_is_wrong_where_and_what_to_write() {
    for path in files(&data("bad"), "conf") {
        let checked = check(&path);
        assert!(checked.value.is_none(), "{} passes", path.display());
        for problem in checked.diagnostics.iter() {
            assert!(problem.hint.is_some(), "no hint: {problem:?}");
        }
        compare(&path, &checked.problems());
    }
}

#[test]
fn good_files_mean_what_they_say() {
    for path in files(&data("good"), "conf") {
        let checked = check(&path);
        let problems = checked.problems();
        let Some(config) = &checked.value else {
            panic!("{}:\n{problems}", path.display());
        };
        let found = format!("{}{problems}{}\n", describe(config), checked.summary);
        compare(&path, &found);
    }
}

#[test]
fn the_shipped_files_pass_without_a_word_and_block_nobody() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    for name in ["manager.conf", "agent.conf"] {
        let checked = load_any(&etc.join(name), &Context::default());
        assert_eq!(checked.problems(), "");
        match checked.value.unwrap() {
            AnyConfig::Manager(config) => {
                assert_eq!(name, "manager.conf");
                assert!(config.responses.is_empty());
                let names: Vec<&str> = config.commands.iter().map(|c| c.name.as_str()).collect();
                assert_eq!(names, ["firewall-drop", "host-deny"]);
                assert_eq!(config.white_list.len(), 2);
            }
            AnyConfig::Agent(config) => {
                assert_eq!(name, "agent.conf");
                assert!(!config.disabled);
            }
        }
    }
}
