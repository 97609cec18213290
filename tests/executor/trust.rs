//! What is not run, and what the reason says.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use ripost::executor::{End, Mode};
use ripost::model::{ExeName, bundled};
use ripost::sys::exe::{Home, Kind};

use crate::place::{CONTINUE, Place, add, carry_out};

const SCRIPT: &str = "#!/bin/sh\necho ran > logs/effect\n";

/// What the run of `x.sh` in this place says; it must not have been run.
async fn refusal(place: &Place) -> String {
    let (outcome, seen) = carry_out(place.run("x.sh", Mode::Add), CONTINUE).await;
    assert_eq!(place.read("logs/effect"), "");
    assert!(seen.process.is_none());
    match outcome.end {
        End::NotStarted(reason) => reason,
        other => panic!("ended as {other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_not_fit_to_run_is_refused_with_what_to_do() {
    type Spoil = fn(&Place, PathBuf);
    const CASES: &[(&str, Spoil, &str)] = &[
        (
            "no execute bit",
            |p, x| p.chmod(&x, 0o644),
            "is not executable (mode 0644)\n(chmod 0750 ",
        ),
        (
            "writable by group",
            |p, x| p.chmod(&x, 0o770),
            "group or others (mode 0770)\n(chmod go-w ",
        ),
        (
            "writable by others",
            |p, x| p.chmod(&x, 0o757),
            "group or others (mode 0757)\n(chmod go-w ",
        ),
        (
            "a link",
            |p, x| {
                fs::rename(&x, p.bin("y.sh")).unwrap();
                symlink("y.sh", &x).unwrap();
            },
            "is a symbolic link\n(replace the link ",
        ),
        (
            "a directory",
            |_, x| {
                fs::remove_file(&x).unwrap();
                fs::create_dir(&x).unwrap();
            },
            "is not a regular file\n",
        ),
        (
            "a FIFO",
            |p, x| {
                fs::remove_file(&x).unwrap();
                p.fifo("active-response/bin/x.sh");
            },
            "is not a regular file\n",
        ),
        (
            "missing",
            |_, x| fs::remove_file(x).unwrap(),
            "No such file",
        ),
        (
            "bin is a link",
            |p, _| {
                let bin = p.path().join("active-response/bin");
                fs::rename(&bin, p.path().join("elsewhere")).unwrap();
                symlink("../elsewhere", &bin).unwrap();
            },
            "/active-response/bin: it is a symbolic link\n",
        ),
        (
            "bin is writable by group",
            |p, x| p.chmod(&x.parent().unwrap().to_owned(), 0o770),
            "/active-response/bin: it can be written by group or others",
        ),
        (
            "the interpreter is missing",
            |p, _| drop(p.install("x.sh", "#!/no/such/sh -e\n")),
            "its interpreter \"/no/such/sh\" does not exist\n",
        ),
        (
            "CRLF line ends",
            |p, _| drop(p.install("x.sh", "#!/bin/sh\r\necho ran > logs/effect\r\n")),
            "its interpreter \"/bin/sh\\r\" does not exist\n(correct the first line, and save the file with LF",
        ),
        (
            "the interpreter cannot be executed",
            |p, _| drop(p.install("x.sh", "#!/etc/passwd\n")),
            "permission denied\n",
        ),
    ];
    for (what, spoil, wanted) in CASES {
        let place = Place::with("x.sh", SCRIPT);
        spoil(&place, place.bin("x.sh"));
        let reason = refusal(&place).await;
        assert!(reason.contains(wanted), "{what}: {reason}");
        assert!(
            reason.contains(&place.path().display().to_string()),
            "{what}: {reason}"
        );
    }
}

#[tokio::test]
async fn a_strangers_file_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for what in [
        "active-response/bin/x.sh",
        "active-response/bin",
        "active-response",
    ] {
        let place = Place::with("x.sh", SCRIPT);
        chown(place.path().join(what), Some(65_534), None).unwrap();
        let reason = refusal(&place).await;
        assert!(
            reason.contains(&format!("{what}: it belongs to user 65534")),
            "{reason}"
        );
        assert!(reason.contains("\n(chown root "), "{reason}");
    }
}

#[test]
fn a_home_that_others_could_swap_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let home = outer.path().join("home");
    fs::create_dir(&home).unwrap();
    let chmod = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (outer_mode, home_mode, wanted) in [
        (0o755, 0o750, None),
        (0o1777, 0o750, None),
        (
            0o777,
            0o750,
            Some("lies above the home (mode 0777)\n(chmod o-w "),
        ),
        (
            0o755,
            0o770,
            Some("can be written by group or others (mode 0770)\n(chmod go-w "),
        ),
    ] {
        chmod(outer.path(), outer_mode);
        chmod(&home, home_mode);
        let error = Home::open(&home).err().map(|error| error.to_string());
        match (&error, wanted) {
            (Some(error), Some(wanted)) => assert!(error.contains(wanted), "{error}"),
            (error, wanted) => assert_eq!(error.as_deref(), wanted),
        }
    }
    let missing = Home::open(&home.join("missing")).unwrap_err().to_string();
    assert!(missing.starts_with("open ") && missing.contains("/home/missing: No such file"));
}

#[test]
fn a_link_to_the_home_is_followed_once() {
    let place = Place::with("x.sh", SCRIPT);
    let links = tempfile::tempdir().unwrap();
    symlink(place.path(), links.path().join("home")).unwrap();
    let home = Home::open(&links.path().join("home")).unwrap();
    assert_eq!(home.path(), place.path());
    assert!(home.executable(&ExeName::parse("x.sh").unwrap()).is_ok());
}

#[tokio::test]
async fn a_file_that_is_being_written_is_not_started() {
    let place = Place::with("x.sh", SCRIPT);
    let writer = fs::OpenOptions::new()
        .append(true)
        .open(place.bin("x.sh"))
        .unwrap();
    let reason = refusal(&place).await;
    drop(writer);
    assert!(reason.contains("it is open for writing\n("), "{reason}");
}

#[tokio::test]
async fn a_file_without_an_interpreter_line_is_run_by_the_shell_as_under_4_x() {
    let place = Place::with("x.sh", "echo ran > logs/effect\n");
    assert_eq!(add(&place, "x.sh").await.end, End::Exited(0));
    assert_eq!(place.read("logs/effect"), "ran\n");
}

#[test]
fn a_file_is_bundled_by_name_and_recorded_content() {
    let place = Place::with("host-deny", SCRIPT);
    place.install("other", SCRIPT);
    let home = place.home();
    let verified = |name| home.executable(&ExeName::parse(name).unwrap()).unwrap();
    let kind = |name| {
        let exe = verified(name);
        (
            matches!(exe.kind(), Kind::Bundled(row) if row.name == name),
            exe.mismatch(),
        )
    };
    assert_eq!(kind("host-deny"), (false, true), "not recorded");
    home.record(&[bundled::find("host-deny").unwrap()]).unwrap();
    assert_eq!(kind("host-deny"), (true, false));
    assert_eq!(kind("other"), (false, false));
    // The same length, at the same place.
    place.install("host-deny", &SCRIPT.replace("ran", "RAN"));
    assert_eq!(kind("host-deny"), (false, true), "changed");
    place.install("host-deny", SCRIPT);
    assert_eq!(kind("host-deny"), (true, false), "changed back");
    assert_eq!(home.recorded().unwrap().len(), 1);
}

#[test]
fn a_record_that_others_can_write_is_not_believed() {
    let place = Place::with("host-deny", SCRIPT);
    let home = place.home();
    home.record(&[bundled::find("host-deny").unwrap()]).unwrap();
    let record = place.path().join("queue/bundled.sha256");
    let sum = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "queue/bundled.sha256"])
        .current_dir(place.path())
        .status();
    assert!(sum.unwrap().success(), "sha256sum reads it");
    place.chmod(&record, 0o666);
    let error = home
        .executable(&ExeName::parse("host-deny").unwrap())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("bundled.sha256: it can be written by")
    );
    place.chmod(&record, 0o600);
    fs::write(&record, "0000  active-response/bin/host-deny\n").unwrap();
    let error = home.recorded().unwrap_err();
    assert!(
        error.to_string().contains("bundled.sha256: line 1 is not"),
        "{error}"
    );
}
