//! Scripts of the administrator that behave, and scripts that do not.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, command, response};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(10);

/// A script that prints the address as its key and writes `add ADDRESS` and
/// `delete ADDRESS` to the file `log`.
const KEYED: &str = r#"
read -r line
address=$(printf '%s' "$line" | sed 's/.*"srcip":"\([^"]*\)".*/\1/')
case $line in
*'"command":"add"'*)
    printf '{"version":1,"origin":{"name":"keyed","module":"active-response"},"command":"check_keys","parameters":{"keys":["%s"]}}\n' "$address"
    read -r answer
    case $answer in *'"command":"continue"'*) ;; *) echo "abort $address" >> "$LOG"; exit 0 ;; esac
    echo "add $address" >> "$LOG"
    ;;
*) echo "delete $address" >> "$LOG" ;;
esac
"#;

fn keyed(home: &Home) -> std::path::PathBuf {
    let log = home.beside().join("keyed.log");
    home.script("keyed", &format!("LOG={}\n{KEYED}", log.display()));
    log
}

fn lines(path: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_script_with_keys_is_run_once_per_target_and_reverted_once() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let log = keyed(&home);
        home.configure(&[
            &command("keyed", "<timeout_allowed>yes</timeout_allowed>"),
            &response("keyed", "5763", "3"),
        ]);
        let _pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        let applied = home.wait_state("203.0.113.9", "applied");
        assert!(applied.get("verified").is_none(), "{applied}");
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "already");
        home.wait_state("203.0.113.9", "reverted");
        assert_eq!(
            lines(&log),
            ["add 203.0.113.9", "abort 203.0.113.9", "delete 203.0.113.9"]
        );
    });
}

#[test]
fn a_script_that_was_applied_is_reverted_after_a_crash_and_not_run_again() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let log = keyed(&home);
        home.configure(&[
            &command("keyed", "<timeout_allowed>yes</timeout_allowed>"),
            &response("keyed", "5763", "3"),
        ]);
        let pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_state("203.0.113.9", "applied");
        pair.kill();
        let _pair = Pair::start(&net, &home);
        home.wait_state("203.0.113.9", "reverted");
        assert_eq!(lines(&log), ["add 203.0.113.9", "delete 203.0.113.9"]);
    });
}

/// A script that does not behave: what it does, the state its action ends in,
/// and what the record must say.
const MISBEHAVING: &[(&str, &str, &str, &str)] = &[
    (
        "exits-1",
        "read -r line; echo why >&2; exit 1",
        "failed",
        r#""exit_code":1"#,
    ),
    (
        "killed-half-way",
        "read -r line; kill -9 $$",
        "failed",
        "signal",
    ),
    (
        "prints-garbage",
        "read -r line; echo '{\"garbage\": '; echo more",
        "done",
        "",
    ),
    (
        "prints-10-megabytes",
        "read -r line; head -c 10000000 /dev/zero | tr '\\0' x",
        "done",
        "",
    ),
    ("reads-nothing", "exit 0", "done", ""),
    (
        "says-why",
        "read -r line; echo 'no such thing' >&2; exit 3",
        "failed",
        "no such thing",
    ),
];

#[test]
fn a_script_that_misbehaves_is_told_from_one_that_worked() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let mut blocks = Vec::new();
        for (name, body, _, _) in MISBEHAVING {
            home.script(name, body);
            blocks.push(command(name, ""));
            blocks.push(response(name, "5763", ""));
        }
        home.script("no-interpreter", "");
        fs::write(
            home.file("active-response/bin/no-interpreter"),
            "#!/nowhere/sh\n",
        )
        .unwrap();
        blocks.push(command("no-interpreter", ""));
        blocks.push(response("no-interpreter", "5763", ""));
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        home.configure(&blocks);
        let _pair = Pair::start(&net, &home);

        home.alert(&[Alert::sshd("203.0.113.9")]);
        let ended = |name: &str| {
            home.wait_record(&format!("{name} has ended"), |record| {
                record["executable"] == name
                    && ["done", "failed"].contains(&record["state"].as_str().unwrap())
            })
        };
        for (name, _, state, wanted) in MISBEHAVING {
            let record = ended(name);
            assert_eq!(record["state"], *state, "{name}: {record}");
            assert!(record.to_string().contains(wanted), "{name}: {record}");
        }
        assert_eq!(ended("no-interpreter")["state"], "failed");
    });
}

#[test]
fn a_script_that_hangs_is_ended_with_its_children_and_holds_nobody_up() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let pids = home.beside().join("pids");
        home.script(
            "hangs",
            &format!(
                "read -r line\n(trap '' TERM; while :; do sleep 1; done) & echo $! >> {0}\n\
                 echo $$ >> {0}\nwhile :; do sleep 1; done",
                pids.display()
            ),
        );
        home.configure(&[
            &command("hangs", "<execution_timeout>2</execution_timeout>"),
            &response("hangs", "5763", ""),
            &response("firewall-drop", "5763", "3"),
        ]);
        let _pair = Pair::start(&net, &home);
        let written = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9")]);
        net.wait_blocked("203.0.113.9", Duration::from_millis(1_500));
        net.wait_open("203.0.113.9", SOON);
        let lifted = written.elapsed();
        assert!(
            lifted <= Duration::from_secs(4),
            "a revert waited: {lifted:?}"
        );

        let failed = wait_for("it is ended", Duration::from_secs(15), || {
            home.responses()
                .into_iter()
                .find(|record| record["executable"] == "hangs" && record["state"] == "failed")
        });
        assert!(failed.to_string().contains("2"), "{failed}");
        let pids = lines(&pids);
        assert_eq!(pids.len(), 2);
        wait_for("nothing of it is left", SOON, || {
            pids.iter().all(|pid| !lives(pid)).then_some(())
        });
    });
}

/// Whether a process runs. One that has ended and that nobody has asked about
/// is as good as gone.
fn lives(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

#[test]
fn a_child_in_the_background_that_holds_stdout_is_left_alone_and_holds_nobody_up() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let pid = home.beside().join("pid");
        home.script(
            "leaves-a-child",
            &format!("read -r line\nsleep 600 & echo $! > {}", pid.display()),
        );
        home.configure(&[
            &command("leaves-a-child", ""),
            &response("leaves-a-child", "5763", ""),
        ]);
        let _pair = Pair::start(&net, &home);
        let written = Instant::now();
        home.alert(&[Alert::sshd("203.0.113.9")]);
        home.wait_record("the script is done", |record| record["state"] == "done");
        assert!(
            written.elapsed() < Duration::from_secs(7),
            "{:?}",
            written.elapsed()
        );
        assert!(lives(lines(&pid)[0].as_str()));
    });
}

/// 200 executions at once of a script that keeps count of how many of it run:
/// side by side, but no more than the stated 16.
#[test]
fn two_hundred_executions_at_once_keep_to_their_bounds() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let running = home.beside().join("running");
        fs::create_dir(&running).unwrap();
        let seen = home.beside().join("seen");
        home.script(
            "counts",
            &format!(
                "read -r line\nmkdir {0}/$$\nls {0} | wc -l >> {1}\nsleep 0.1\nrmdir {0}/$$",
                running.display(),
                seen.display()
            ),
        );
        home.configure(&[&command("counts", ""), &response("counts", "5763", "")]);
        let _pair = Pair::start(&net, &home);
        let alerts: Vec<Alert> = (0..200)
            .map(|n| Alert::sshd(&format!("198.18.0.{n}")))
            .collect();
        home.alert(&alerts);
        wait_for("all 200 are done", Duration::from_secs(60), || {
            let done = home
                .responses()
                .iter()
                .filter(|record| record["state"] == "done")
                .count();
            (done == 200).then_some(())
        });
        let counts: Vec<u32> = lines(&seen)
            .iter()
            .map(|line| line.trim().parse().unwrap())
            .collect();
        assert_eq!(counts.len(), 200);
        let most = counts.iter().max().unwrap();
        assert!((2..=16).contains(most), "{most} at once");
    });
}

#[test]
fn a_script_that_was_running_when_the_agent_was_killed_is_ended_and_not_run_again() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let log = home.beside().join("log");
        home.script(
            "slow",
            &format!("read -r line\necho $$ >> {}\nsleep 600", log.display()),
        );
        home.configure(&[&command("slow", ""), &response("slow", "5763", "")]);
        let mut pair = Pair::start(&net, &home);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        let pid = wait_for("it runs", SOON, || lines(&log).first().cloned());
        pair.agentd.kill();
        assert!(lives(&pid), "a crash does not end it by itself");

        pair.agentd = Daemon::start(&net, &home, Program::Agentd);
        wait_for("it is ended", SOON, || (!lives(&pid)).then_some(()));
        let failed = home.wait_record("it is told", |record| record["state"] == "failed");
        assert!(
            failed["detail"].to_string().contains("interrupted"),
            "{failed}"
        );
        assert_eq!(lines(&log).len(), 1);
    });
}
