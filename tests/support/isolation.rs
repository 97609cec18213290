//! A test in namespaces of its own.
//!
//! The test binary starts itself again, for this one test, under unshare(1):
//! with network, mounts and processes of its own, and without root in a user
//! namespace as well. Nothing it does reaches the machine, tests run side by
//! side, and whatever a test leaves running ends with it.

use std::any::type_name;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Set inside, to the folder in which the test leaves its files.
const INSIDE: &str = "RIPOST_TEST_FOLDER";
const REQUIRED: &str = "RIPOST_REQUIRE_NETNS";

/// The mount and process namespaces make `/run`, `/proc` and `/etc` ours.
const FLAGS: &[&str] = &[
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
];

/// Runs `test`, which must be the closure a test function consists of, in
/// namespaces of its own. Where the system does not allow that, the test is
/// skipped with a word on stderr, or fails if `RIPOST_REQUIRE_NETNS` is set.
pub fn isolated<F: FnOnce()>(test: F) {
    if is_inside() {
        prepare();
        return test();
    }
    let name = test_name::<F>();
    let Some((mut command, _folder)) = own_program() else {
        assert!(
            std::env::var_os(REQUIRED).is_none(),
            "{name} needs namespaces, which this system does not allow"
        );
        eprintln!("SKIPPED {name}: this system does not allow namespaces");
        return;
    };
    let output = command
        .args(["--exact", &name, "--nocapture", "--test-threads", "1"])
        .output()
        .expect("unshare(1) is part of util-linux");
    report(&name, &output);
}

/// Whether this process is the one in the namespaces.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The command line that starts this program again in namespaces of its own,
/// without arguments; none where the system does not allow that. With it comes
/// the folder for its files, to be dropped afterwards: inside, mounts and kills
/// may be in the way of tidying up.
pub fn own_program() -> Option<(Command, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command
        .args(allowed_flags()?)
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, folder.path());
    Some((command, folder))
}

/// A folder that goes away with the test; for a test without namespaces too.
pub fn folder() -> TempDir {
    match std::env::var_os(INSIDE) {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

/// libtest names a test by its path without the crate, which is also the path
/// of its closure.
fn test_name<F>() -> String {
    let path = type_name::<F>();
    let path = path.split_once("::").map_or(path, |(_, rest)| rest);
    path.split("::{{closure}}")
        .next()
        .unwrap_or(path)
        .to_owned()
}

fn report(name: &str, output: &Output) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name} failed in its namespaces ({})\n{stdout}\n{stderr}",
        output.status
    );
    assert!(
        stdout.contains("1 passed"),
        "{name} was not found by its own name\n{stdout}"
    );
    eprint!("{stderr}");
}

/// The flags of unshare(1) that work here: a user namespace only where there
/// is no other way, since in one every other account is `nobody`.
fn allowed_flags() -> Option<Vec<&'static str>> {
    let candidates: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    candidates
        .into_iter()
        .map(|user| [user, FLAGS].concat())
        .find(|flags| {
            Command::new("unshare")
                .args(flags)
                .args(["ip", "link", "set", "lo", "up"])
                .output()
                .is_ok_and(|output| output.status.success())
        })
}

/// Covers `/run`, where ip(8) keeps its names and daemons look for sockets of
/// the machine.
pub fn prepare() {
    mount(&["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"]);
    std::fs::create_dir("/run/netns").unwrap();
}

/// mount(8) in the namespace of this test.
#[track_caller]
pub fn mount(arguments: &[&str]) {
    run("mount", arguments);
}

/// Runs a tool of the system and returns what it printed.
#[track_caller]
pub fn run(tool: &str, arguments: &[&str]) -> String {
    assert!(
        is_inside(),
        "{tool} is only run inside the namespaces of a test"
    );
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("start {tool}: {error}"));
    assert!(
        output.status.success(),
        "{tool} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
