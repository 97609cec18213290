//! What stands in /etc/shadow while an account is disabled, and after that.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use crate::netns::{reexec_in_namespace, run as tool};
use crate::run::Home;
use crate::{
    LABEL, PASSWORDS, SHADOW, SHADOW_LABEL, disable, enable, has_users, memories, order, own_etc,
    shadow, with,
};

/// The SELinux label that [`own_etc`] gave the file, if it is there.
fn label(path: &str) -> Option<Vec<u8>> {
    let mut label = vec![0; 64];
    let found = rustix::fs::getxattr(path, LABEL, &mut label[..]).ok()?;
    label.truncate(found);
    assert_eq!(label, SHADOW_LABEL);
    Some(label)
}

#[test]
fn an_account_is_locked_as_by_passwd_and_comes_back_byte_for_byte() {
    reexec_in_namespace(|| {
        own_etc();
        let group = if has_users() { 42 } else { 0 };
        chown(SHADOW, None, Some(group)).unwrap();
        let is_labelled = label(SHADOW).is_some();
        let home = Home::new();
        for (user, before, locked) in [
            ("alice", "alice:$6$a$", "alice:!$6$a$"),
            ("bob", "bob:$6$b$", "bob:!$6$b$"),
            ("keys", "keys:*:", "keys:!*:"),
            ("empty", "empty::", "empty:!:"),
            ("a;$(id)'b", "'b:$6$x$", "'b:!$6$x$"),
        ] {
            assert_eq!(disable(&home, user, &[]), "applied", "{user}");
            assert_eq!(shadow(), with(PASSWORDS, before, locked));
            let found = fs::metadata(SHADOW).unwrap();
            assert_eq!((found.mode() & 0o7777, found.gid()), (0o640, group));
            assert_eq!(label(SHADOW).is_some(), is_labelled);
            let memory = memories(&home);
            assert_eq!(memory.len(), 1);
            let found = fs::metadata(&memory[0]).unwrap();
            assert_eq!(found.mode() & 0o7777, 0o600);
            assert!(!fs::read_to_string(&memory[0]).unwrap().contains("$6$"));

            let again = order(&home, user, &[]).result();
            assert_eq!(again["detail"], "was in force already", "{user}");
            assert_eq!(enable(&home, user), "reverted", "{user}");
            assert_eq!(shadow(), PASSWORDS);
            assert_eq!(memories(&home).len(), 0);
            assert_eq!(enable(&home, user), "absent", "{user}");
            assert_eq!(shadow(), PASSWORDS);
        }
        // The one that the administrator would use writes the same.
        disable(&home, "alice", &[]);
        let ours = shadow();
        enable(&home, "alice");
        tool("passwd", &["-l", "alice"]);
        assert_eq!(ours, shadow());
    });
}

#[test]
fn an_account_that_is_ended_too_gets_its_old_end_back() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        for (user, before, ended) in [
            (
                "bob",
                "$6$b$bbb:19000:1:90:7:14::",
                "!$6$b$bbb:19000:1:90:7:14:1:",
            ),
            ("keys", "*:19000::::::", "!*:19000:::::1:"),
            (
                "leaver",
                "$6$l$lll:19000:0:99999:7::40000:",
                "!$6$l$lll:19000:0:99999:7::1:",
            ),
            // It has ended already, which nobody is to lengthen.
            (
                "gone",
                "$6$g$ggg:19000:0:99999:7::100:",
                "!$6$g$ggg:19000:0:99999:7::100:",
            ),
        ] {
            assert_eq!(disable(&home, user, &["--expire"]), "applied", "{user}");
            let (before, ended) = (format!("{user}:{before}"), format!("{user}:{ended}"));
            assert_eq!(shadow(), with(PASSWORDS, &before, &ended));
            assert_eq!(enable(&home, user), "reverted", "{user}");
            assert_eq!(shadow(), PASSWORDS);
        }
        // What was only locked is ended by a later response, and both come back.
        assert_eq!(disable(&home, "bob", &[]), "applied");
        assert_eq!(disable(&home, "bob", &["--expire"]), "applied");
        let ours = shadow();
        assert_eq!(disable(&home, "bob", &[]), "applied");
        assert_eq!(shadow(), ours);
        assert_eq!(enable(&home, "bob"), "reverted");
        assert_eq!(shadow(), PASSWORDS);
        tool("usermod", &["-L", "-e", "1", "bob"]);
        assert_eq!(ours, shadow());
    });
}

#[test]
fn what_the_administrator_has_locked_stays_locked() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        tool("passwd", &["-l", "alice"]);
        let theirs = shadow();
        let ran = order(&home, "alice", &[]);
        assert_eq!((ran.code, ran.status()), (Some(0), "already".to_owned()));
        let detail = ran.result()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("alice is locked"), "{detail}");
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!(shadow(), theirs);

        // The end is ours then, and the lock is still theirs.
        assert_eq!(disable(&home, "alice", &["--expire"]), "applied");
        assert_ne!(shadow(), theirs);
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), theirs);
    });
}

#[test]
fn what_the_administrator_does_meanwhile_is_not_undone() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        // Unlocked: there is nothing left to take back.
        disable(&home, "alice", &[]);
        tool("passwd", &["-u", "alice"]);
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!((shadow().as_str(), memories(&home).len()), (PASSWORDS, 0));

        // Unlocked, and disabled again by us.
        disable(&home, "alice", &[]);
        tool("passwd", &["-u", "alice"]);
        assert_eq!(disable(&home, "alice", &[]), "applied");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), PASSWORDS);

        // Another password, locked by them: not ours.
        disable(&home, "alice", &["--expire"]);
        let theirs = with(&shadow(), "!$6$a$aaa", "!$6$new$nnn");
        fs::write(SHADOW, &theirs).unwrap();
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(
            shadow(),
            with(&theirs, "nnn:19000:0:99999:7::1:", "nnn:19000:0:99999:7:::")
        );

        // Other accounts have changed, and ours is gone.
        fs::write(SHADOW, PASSWORDS).unwrap();
        disable(&home, "alice", &[]);
        tool("usermod", &["-L", "bob"]);
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), with(PASSWORDS, "bob:", "bob:!"));
        disable(&home, "alice", &[]);
        let without = PASSWORDS.replace("alice:$6$a$aaa:19000:0:99999:7:::\n", "");
        fs::write(SHADOW, &without).unwrap();
        assert_eq!(enable(&home, "alice"), "absent");
        assert_eq!((shadow(), memories(&home).len()), (without, 0));
    });
}

#[test]
fn no_tool_is_needed() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        for program in ["/usr/bin/passwd", "/usr/sbin/usermod", "/usr/bin/chage"] {
            tool("mount", &["--bind", "/dev/null", program]);
        }
        assert_eq!(disable(&home, "alice", &["--expire"]), "applied");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), PASSWORDS);
    });
}
