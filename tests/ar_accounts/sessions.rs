//! `end-sessions`: processes that end, with and without a login manager.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::netns::reexec_in_namespace;
use crate::run::{Home, Ran, answer, direct, feed};
use crate::{
    PASSWORDS, SESSIONS, disable, enable, fake, has_users, line, order, own_etc, own_tools, shadow,
};

/// A process of this user that runs a script after having said so.
fn process(uid: u32, script: &str) -> Child {
    use std::io::Read;
    let mut child = Command::new("sh")
        .args(["-c", &format!("{script} echo; sleep 600 & wait; sleep 600")])
        .uid(uid)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

fn sessions(home: &Home, user: &str) -> Ran {
    let input = line("add", user, &[]) + &answer("continue", "{}");
    feed(direct(home, SESSIONS), input.as_bytes())
}

#[test]
fn all_processes_of_a_user_end_and_nobody_elses() {
    reexec_in_namespace(|| {
        if !has_users() {
            return;
        }
        own_etc();
        let home = Home::new();
        let mut bystander = process(1002, "");
        let mut polite = process(1001, "");
        let mut stubborn = process(1001, "trap '' TERM;");
        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        // Each of the two had a child.
        assert_eq!(ran.result()["detail"], "ended processes: 4");
        assert_eq!(ran.result()["backend"], "signals");
        polite.try_wait().unwrap().expect("it has ended");
        stubborn.try_wait().unwrap().expect("it has ended");
        assert!(bystander.try_wait().unwrap().is_none());

        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        assert_eq!(ran.result()["detail"], "found no process of this user");
        let delete = line("delete", "bob", &[]);
        let ran = feed(direct(&home, SESSIONS), delete.as_bytes());
        assert_eq!(ran.status(), "absent");
        assert!(bystander.try_wait().unwrap().is_none());

        // With the lock, in one go, only where that was asked for.
        assert_eq!(disable(&home, "bob", &[]), "applied");
        assert!(bystander.try_wait().unwrap().is_none());
        let ran = order(&home, "bob", &["--end-sessions"]);
        let detail = "was in force already; ended processes: 2";
        assert_eq!(ran.result()["detail"], detail);
        bystander.try_wait().unwrap().expect("it has ended");
        let ran = order(&home, "bob", &["--end-sessions"]);
        assert_eq!(ran.result()["detail"], "was in force already");
    });
}

/// The login manager: a table in /run/sessions, of which `terminate-user` takes
/// away the rows that do not resist, and `kill-user` all.
const LOGINCTL: &str = r#"
echo "$*" >>/run/asked
case "$1" in
list-sessions) cat /run/sessions ;;
list-users) while read -r _ uid user _; do echo "$uid $user"; done </run/sessions ;;
terminate-user) sed -i "/ $2 .*polite/d" /run/sessions ;;
kill-user) sed -i "/ $3 .*stubborn/d" /run/sessions ;;
*) exit 1 ;;
esac"#;

#[test]
fn where_there_is_a_login_manager_it_ends_the_sessions() {
    reexec_in_namespace(|| {
        own_etc();
        own_tools();
        let home = Home::new();
        fs::create_dir_all("/run/systemd/system").unwrap();
        let ran = sessions(&home, "alice");
        assert_eq!(ran.status(), "failed", "no login manager answers here");
        let hangs = |text: &str| fs::write("/run/sessions", text).unwrap();
        let asked = || fs::read_to_string("/run/asked").unwrap_or_default();
        fake("loginctl", LOGINCTL);

        hangs(" 3 1002 bob seat0 tty1 polite\n");
        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        assert_eq!(ran.result()["detail"], "found no session of this user");
        assert_eq!(ran.result()["backend"], "logind");
        assert!(!asked().contains("terminate-user"), "{}", asked());

        hangs(
            " 1 1001 alice - pts/0 polite\n 2 1001 alice - pts/1 stubborn\n 3 1002 bob seat0 tty1 polite\n",
        );
        let ran = sessions(&home, "alice");
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        assert_eq!(ran.result()["detail"], "ended sessions: 2");
        let left = fs::read_to_string("/run/sessions").unwrap();
        assert_eq!(left, " 3 1002 bob seat0 tty1 polite\n");

        hangs(" 4 1001 alice - pts/0 immortal\n");
        let ran = sessions(&home, "alice");
        ran.failed(1);
        let detail = ran.result()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("1 of them are still there"), "{detail}");
        // An account is disabled all the same, and says what is left.
        let ran = order(&home, "alice", &["--end-sessions"]);
        assert_eq!((ran.code, ran.status()), (Some(0), "applied".to_owned()));
        let detail = ran.result()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("its sessions go on: "), "{detail}");
        assert_eq!(enable(&home, "alice"), "reverted");
        assert_eq!(shadow(), PASSWORDS);
    });
}
