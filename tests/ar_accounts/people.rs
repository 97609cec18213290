//! Whose accounts are acted on, and whose never.

use std::fs;

use crate::netns::reexec_in_namespace;
use crate::run::{Home, answer, direct, feed};
use crate::{
    NAME, PASSWORDS, SESSIONS, disable, enable, fake, line, order, own_etc, own_tools, shadow, with,
};

const NOBODYS: &str = "nor any directory of this host has it";

#[test]
fn only_people_are_acted_on() {
    reexec_in_namespace(|| {
        own_etc();
        own_tools();
        let home = Home::new();
        let root = "it is root by another name (uid 0)";
        let system = "an account of the system (uid";
        for (user, args, wanted) in [
            ("toor", &[][..], root),
            ("toor", &["--min-uid", "1"], root),
            ("daemon", &[], system),
            ("nobody", &["--min-uid", "1"], "stands for nobody"),
            ("noone", &[], "stands for nobody"),
            ("early", &[], system),
            ("alice", &["--min-uid", "1002"], system),
        ] {
            for name in [NAME, SESSIONS] {
                let input = line("add", user, args) + &answer("continue", "{}");
                let ran = feed(direct(&home, name), input.as_bytes());
                let result = ran.result();
                assert_eq!((ran.code, ran.status()), (Some(255), "refused".to_owned()));
                let detail = result["detail"].as_str().unwrap();
                assert!(detail.contains(wanted), "{user}: {detail}");
            }
        }
        fake(
            "getent",
            r#"case "$1 $2 $3" in "passwd -- ldap") echo ldap:x:7:7:::;; "passwd -- 0") echo root:x:0:0:::;; *) exit 2;; esac"#,
        );
        for (user, wanted) in [
            ("nosuch", NOBODYS),
            ("Root", NOBODYS),
            ("$(id)", NOBODYS),
            ("0", NOBODYS),
            ("ldap", "comes from a directory, such as LDAP"),
            ("ghost", "find ghost in /etc/shadow"),
        ] {
            let ran = order(&home, user, &[]);
            ran.failed(if wanted == NOBODYS { 66 } else { 1 });
            let detail = ran.result()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(wanted), "{user}: {detail}");
        }
        assert_eq!(shadow(), PASSWORDS);
        assert_eq!(disable(&home, "early", &["--min-uid=500"]), "applied");
        assert_eq!(enable(&home, "early"), "reverted");
        fs::write("/etc/login.defs", "UID_MIN 500\n").unwrap();
        assert_eq!(disable(&home, "early", &[]), "applied");
        assert_eq!(enable(&home, "early"), "reverted");
        fs::write("/etc/login.defs", "UID_MIN many\n").unwrap();
        assert_eq!(order(&home, "early", &[]).status(), "failed");
        fs::remove_file("/etc/login.defs").unwrap();
        assert_eq!(order(&home, "early", &[]).status(), "refused");
        assert_eq!(shadow(), PASSWORDS);
    });
}

/// Rows of Wazuh 4.14.7 that end before anything is done.
#[test]
fn what_4_x_takes_for_no_user_is_answered_in_its_words() {
    reexec_in_namespace(|| {
        own_etc();
        let home = Home::new();
        let long = "x".repeat(257);
        for user in [
            "root", "", "-u", "+x", "~x", "a b", "a\tb", "a\nb", "a:b", "a,b", "a/b", "a\\b",
            "a..b", &long,
        ] {
            let ran = order(&home, user, &[]);
            assert_eq!((ran.code, ran.stdout.len()), (Some(255), 0), "{user:?}");
            let last = home.log().pop().unwrap();
            assert!(
                last.ends_with("Cannot read 'dstuser' from data or invalid username format"),
                "{user:?}: {last}"
            );
        }
        let input = line("add", "alice", &[]) + &answer("abort", "{}");
        let ran = feed(direct(&home, NAME), input.as_bytes());
        assert_eq!((ran.code, ran.stdout.len()), (Some(0), 1));
        assert!(home.log().pop().unwrap().ends_with(": Aborted"));
        assert_eq!(shadow(), PASSWORDS);
        let of = with(
            &line("add", "alice", &["--field", "data.who"]),
            "dstuser",
            "who",
        );
        let ran = feed(
            direct(&home, NAME),
            (of + &answer("continue", "{}")).as_bytes(),
        );
        assert_eq!(ran.status(), "applied");
        assert!(home.log().pop().unwrap().ends_with(": Ended"));
    });
}
