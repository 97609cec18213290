//! The executables that call a web service, against one on this host that
//! behaves and misbehaves as a test wants.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the clock, and fails by panicking"
)]

mod cloudflare;
#[expect(
    dead_code,
    reason = "the 4.x daemon and other executables are for other tests"
)]
#[path = "../support/run.rs"]
mod run;
mod server;
mod slack;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use run::Home;

/// Puts a file below the home's `etc`.
fn keep(home: &Home, below: &str, text: &str, mode: u32) -> PathBuf {
    let path = home.file(below);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// The first line of a run, with these words in `extra_args`.
fn line(command: &str, words: &[&str], alert: &str) -> String {
    let words = serde_json::to_string(words).unwrap();
    run::with_alert(command, alert).replacen(
        r#""extra_args":[]"#,
        &format!(r#""extra_args":{words}"#),
        1,
    )
}
