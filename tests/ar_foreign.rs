//! Executables that work through a tool of the host: what is run, word by word,
//! and what becomes of it when the tool fails, hangs or lies. The tools are
//! doubles that keep a state, in a mount namespace of their own; the real ones
//! of other systems cannot be had here.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "the 4.x daemon is for ar_netns")]
#[path = "support/run.rs"]
mod run;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ipnetwork::IpNetwork;
use netns::{reexec_in_namespace, run as tool};
use ripost::ar::foreign::{Foreign, TABLE};
use ripost::ar::{Done, Fail};
use ripost::model::bundled::{Backend, Options, System, find};
use run::{Home, add, direct, feed, message};

const CALLS: &str = "/run/calls";
const STATE: &str = "/run/state";
const MODE: &str = "/run/mode";

/// What all doubles begin with: `put X` and `take X` change the state, unless
/// the double is told otherwise.
const DOUBLE: &str = r#"#!/bin/sh
printf '%s' "${0##*/}" >> /run/calls
printf ' [%s]' "$@" >> /run/calls
echo >> /run/calls
change() {
    case $(cat /run/mode) in
    fail) echo 'no luck today' >&2; exit 13;;
    hang) exec sleep 600;;
    liar) exit 0;;
    late) "$@"; echo 'too late' >&2; exit 13;;
    *) "$@";;
    esac
}
add() { echo "$1" >> /run/state; }
drop() { grep -vxF -e "$1" /run/state > /run/new; mv /run/new /run/state; }
put() { change add "$1"; }
take() { change drop "$1"; }
has() { grep -qxF -e "$1" /run/state; }
"#;

/// What each double does with its words, and how it answers.
const DOUBLES: &[(&str, &str)] = &[
    (
        "firewall-cmd",
        r#"case $1 in
        --add-rich-rule) put "$2";;
        --remove-rich-rule) take "$2";;
        --query-rich-rule)
            [ -e /run/stopped ] && { echo 'FirewallD is not running' >&2; exit 252; }
            has "$2" && { echo yes; exit 0; }; echo no; exit 1;;
        *) exit 2;;
        esac"#,
    ),
    (
        "ipfw",
        r#"case "$*" in
        list) cat /run/rules 2>/dev/null; echo '65535 allow ip from any to any';;
        '-q add 00001 '*) shift 3; echo "00001 $*" >> /run/rules;;
        '-q table 1 add '*) put "$5";;
        '-q table 1 delete '*) take "$5";;
        'table 1 lookup '*)
            case $4 in */*) entry=$4;; *:*) entry=$4/128;; *) entry=$4/32;; esac
            has "$4" && { echo "$entry 0"; exit 0; }
            # What a wider entry gives.
            [ -e /run/wider ] && { cat /run/wider; exit 0; }
            echo "ipfw: Entry $4 not found" >&2; exit 69;;
        *) exit 64;;
        esac"#,
    ),
    (
        "netsh",
        r#"case "$3 $4" in
        'add rule') put "$5";;
        'delete rule') has "$5" || exit 1; take "$5";;
        'show rule') has "$5" && { echo "Regelname: ${5#name=}"; exit 0; }; exit 1;;
        *) exit 1;;
        esac"#,
    ),
    (
        "npfctl",
        r#"case "$1 $3" in
        'show ') printf '# filtering:\tactive\n# config:\tloaded\ntable <wazuh_blacklist> type ipset\n';;
        'table add') put "$4";;
        'table del') take "$4";;
        'table test') has "$4" && exit 0; echo 'npfctl: no matching entry was not found' >&2; exit 1;;
        *) exit 1;;
        esac"#,
    ),
    (
        "pfctl",
        r#"case "$*" in
        '-s info') cat /run/info 2>/dev/null || echo 'Status: Enabled for 0 days 00:01:02  Debug: Urgent';;
        '-s rules') printf 'pass all\nblock drop in quick from <%s> to any\n' "$(cat /run/table)";;
        *'-T add '*) put "$2 $5"; echo '1/1 addresses added.' >&2;;
        *'-T delete '*) take "$2 $5"; echo '1/1 addresses deleted.' >&2;;
        *'-T test '*) has "$2 $5" && { echo '1/1 addresses match.' >&2; exit 0; }
            echo '0/1 addresses match.' >&2; exit 2;;
        '-k '*) echo 'killed 1 states from 1 sources and 0 destinations' >&2;;
        *) exit 1;;
        esac"#,
    ),
    (
        "route",
        r#"case "$1 $2" in
        '-q add') put "$5";;
        '-q delete') take "$5";;
        '-n get') has "$5" || { echo 'route: writing to routing socket: not in table' >&2; exit 1; }
            printf '   route to: %s\ndestination: %s\n      flags: <UP,HOST,DONE,STATIC,BLACKHOLE>\n' "$5" "${5%/*}";;
        '-p ADD') put "$3";;
        'DELETE '*) take "$2";;
        'PRINT '*) printf 'Aktive Routen:\n'
            grep -xF -e "$3" /run/state | while read -r a; do echo " $a  255.255.255.255  Auf Verbindung  127.0.0.1  331"; done
            grep -xF -e "$3/128" /run/state | while read -r a; do echo "  1   331 $a   Auf Verbindung"; done;;
        *) exit 1;;
        esac"#,
    ),
];

/// A fresh home as working directory, the doubles in place, and an empty state.
fn prepare() -> Home {
    tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
    for (name, text) in DOUBLES {
        let path = format!("/usr/local/sbin/{name}");
        fs::write(&path, format!("{DOUBLE}{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (path, text) in [(STATE, ""), (CALLS, ""), ("/run/table", "wazuh_fwtable")] {
        fs::write(path, text).unwrap();
    }
    set_mode("honest");
    let home = Home::new();
    std::env::set_current_dir(home.path()).unwrap();
    home
}

fn set_mode(mode: &str) {
    fs::write(MODE, mode).unwrap();
}

fn state() -> String {
    fs::read_to_string(STATE).unwrap()
}

/// What was run since the last look.
fn calls() -> Vec<String> {
    let text = fs::read_to_string(CALLS).unwrap();
    fs::write(CALLS, "").unwrap();
    text.lines().map(str::to_owned).collect()
}

#[derive(Clone, Copy)]
enum Order {
    Add,
    Delete,
}

fn order(order: Order, backend: Backend, system: System, target: &str) -> Result<Done, Fail> {
    let options = Options::default();
    let target: IpNetwork = target.parse().unwrap();
    let foreign = Foreign::new(backend, system, target, &options)?;
    match order {
        Order::Add => foreign.add(),
        Order::Delete => foreign.delete(),
    }
}

fn line(outcome: Result<Done, Fail>) -> String {
    format!("{:?}", outcome.unwrap_err())
}

/// What is run to block, and then to unblock.
struct Case {
    backend: Backend,
    system: System,
    target: &'static str,
    add: &'static [&'static str],
    delete: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        backend: Backend::Firewalld,
        system: System::Linux,
        target: "192.0.2.10",
        add: &[
            "firewall-cmd [--query-rich-rule] [rule family=ipv4 source address=192.0.2.10 drop]",
            "firewall-cmd [--add-rich-rule] [rule family=ipv4 source address=192.0.2.10 drop]",
            "firewall-cmd [--query-rich-rule] [rule family=ipv4 source address=192.0.2.10 drop]",
        ],
        delete: &[
            "firewall-cmd [--query-rich-rule] [rule family=ipv4 source address=192.0.2.10 drop]",
            "firewall-cmd [--remove-rich-rule] [rule family=ipv4 source address=192.0.2.10 drop]",
            "firewall-cmd [--query-rich-rule] [rule family=ipv4 source address=192.0.2.10 drop]",
        ],
    },
    Case {
        backend: Backend::Firewalld,
        system: System::Linux,
        target: "2001:db8:1::/48",
        add: &[
            "firewall-cmd [--query-rich-rule] [rule family=ipv6 source address=2001:db8:1::/48 drop]",
            "firewall-cmd [--add-rich-rule] [rule family=ipv6 source address=2001:db8:1::/48 drop]",
            "firewall-cmd [--query-rich-rule] [rule family=ipv6 source address=2001:db8:1::/48 drop]",
        ],
        delete: &[
            "firewall-cmd [--query-rich-rule] [rule family=ipv6 source address=2001:db8:1::/48 drop]",
            "firewall-cmd [--remove-rich-rule] [rule family=ipv6 source address=2001:db8:1::/48 drop]",
            "firewall-cmd [--query-rich-rule] [rule family=ipv6 source address=2001:db8:1::/48 drop]",
        ],
    },
    Case {
        backend: Backend::Ipfw,
        system: System::FreeBsd,
        target: "192.0.2.10",
        add: &[
            "ipfw [list]",
            "ipfw [-q] [add] [00001] [deny] [ip] [from] [table(1)] [to] [any]",
            "ipfw [list]",
            "ipfw [list]",
            "ipfw [-q] [add] [00001] [deny] [ip] [from] [any] [to] [table(1)]",
            "ipfw [list]",
            "ipfw [table] [1] [lookup] [192.0.2.10]",
            "ipfw [-q] [table] [1] [add] [192.0.2.10]",
            "ipfw [table] [1] [lookup] [192.0.2.10]",
        ],
        delete: &[
            "ipfw [table] [1] [lookup] [192.0.2.10]",
            "ipfw [-q] [table] [1] [delete] [192.0.2.10]",
            "ipfw [table] [1] [lookup] [192.0.2.10]",
        ],
    },
    Case {
        backend: Backend::Netsh,
        system: System::Windows,
        target: "2001:db8::10",
        add: &[
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST in 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST out 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [add] [rule] [name=RIPOST in 2001:db8::10/128] [interface=any] [dir=in] [action=block] [remoteip=2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [add] [rule] [name=RIPOST out 2001:db8::10/128] [interface=any] [dir=out] [action=block] [remoteip=2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST in 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST out 2001:db8::10/128]",
        ],
        delete: &[
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST in 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST out 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [delete] [rule] [name=RIPOST in 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [delete] [rule] [name=RIPOST out 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST in 2001:db8::10/128]",
            "netsh [advfirewall] [firewall] [show] [rule] [name=RIPOST out 2001:db8::10/128]",
        ],
    },
    Case {
        backend: Backend::Npf,
        system: System::NetBsd,
        target: "192.0.2.0/24",
        add: &[
            "npfctl [show]",
            "npfctl [show]",
            "npfctl [table] [wazuh_blacklist] [test] [192.0.2.0/24]",
            "npfctl [table] [wazuh_blacklist] [add] [192.0.2.0/24]",
            "npfctl [table] [wazuh_blacklist] [test] [192.0.2.0/24]",
        ],
        delete: &[
            "npfctl [table] [wazuh_blacklist] [test] [192.0.2.0/24]",
            "npfctl [table] [wazuh_blacklist] [del] [192.0.2.0/24]",
            "npfctl [table] [wazuh_blacklist] [test] [192.0.2.0/24]",
        ],
    },
    Case {
        backend: Backend::Pf,
        system: System::OpenBsd,
        target: "192.0.2.10",
        add: &[
            "pfctl [-s] [info]",
            "pfctl [-s] [rules]",
            "pfctl [-t] [wazuh_fwtable] [-T] [test] [192.0.2.10]",
            "pfctl [-t] [wazuh_fwtable] [-T] [add] [192.0.2.10]",
            "pfctl [-k] [192.0.2.10]",
            "pfctl [-t] [wazuh_fwtable] [-T] [test] [192.0.2.10]",
        ],
        delete: &[
            "pfctl [-t] [wazuh_fwtable] [-T] [test] [192.0.2.10]",
            "pfctl [-t] [wazuh_fwtable] [-T] [delete] [192.0.2.10]",
            "pfctl [-t] [wazuh_fwtable] [-T] [test] [192.0.2.10]",
        ],
    },
    Case {
        backend: Backend::RouteTool,
        system: System::FreeBsd,
        target: "192.0.2.0/24",
        add: &[
            "route [-n] [get] [-inet] [-net] [192.0.2.0/24]",
            "route [-q] [add] [-inet] [-net] [192.0.2.0/24] [127.0.0.1] [-blackhole]",
            "route [-n] [get] [-inet] [-net] [192.0.2.0/24]",
        ],
        delete: &[
            "route [-n] [get] [-inet] [-net] [192.0.2.0/24]",
            "route [-q] [delete] [-inet] [-net] [192.0.2.0/24] [127.0.0.1] [-blackhole]",
            "route [-n] [get] [-inet] [-net] [192.0.2.0/24]",
        ],
    },
    Case {
        backend: Backend::RouteTool,
        system: System::MacOs,
        target: "2001:db8::10",
        add: &[
            "route [-n] [get] [-inet6] [-host] [2001:db8::10]",
            "route [-q] [add] [-inet6] [-host] [2001:db8::10] [::1] [-blackhole]",
            "route [-n] [get] [-inet6] [-host] [2001:db8::10]",
        ],
        delete: &[
            "route [-n] [get] [-inet6] [-host] [2001:db8::10]",
            "route [-q] [delete] [-inet6] [-host] [2001:db8::10] [::1] [-blackhole]",
            "route [-n] [get] [-inet6] [-host] [2001:db8::10]",
        ],
    },
    Case {
        backend: Backend::RouteTool,
        system: System::Windows,
        target: "192.0.2.10",
        add: &[
            "route [PRINT] [-4] [192.0.2.10]",
            "route [-p] [ADD] [192.0.2.10] [MASK] [255.255.255.255] [0.0.0.0] [IF] [1]",
            "route [PRINT] [-4] [192.0.2.10]",
        ],
        delete: &[
            "route [PRINT] [-4] [192.0.2.10]",
            "route [DELETE] [192.0.2.10] [MASK] [255.255.255.255] [0.0.0.0]",
            "route [PRINT] [-4] [192.0.2.10]",
        ],
    },
    Case {
        backend: Backend::RouteTool,
        system: System::Windows,
        target: "2001:db8::10",
        add: &[
            "route [PRINT] [-6] [2001:db8::10]",
            "route [-p] [ADD] [2001:db8::10/128] [::] [IF] [1]",
            "route [PRINT] [-6] [2001:db8::10]",
        ],
        delete: &[
            "route [PRINT] [-6] [2001:db8::10]",
            "route [DELETE] [2001:db8::10/128] [::]",
            "route [PRINT] [-6] [2001:db8::10]",
        ],
    },
];

#[test]
fn each_tool_is_run_with_these_words_and_does_it_once() {
    reexec_in_namespace(|| {
        let _home = prepare();
        for case in CASES {
            let what = format!("{:?} on {:?}", case.backend, case.system);
            let run = |wanted| order(wanted, case.backend, case.system, case.target);
            assert_eq!(run(Order::Add).unwrap(), Done::applied(), "{what}");
            assert_eq!(calls(), case.add, "{what}");
            let in_force = state();
            assert!(!in_force.is_empty(), "{what}");
            assert_eq!(run(Order::Add).unwrap(), Done::in_place(), "{what}");
            assert_eq!(state(), in_force, "{what}");
            calls();
            assert_eq!(run(Order::Delete).unwrap(), Done::reverted(), "{what}");
            assert_eq!(calls(), case.delete, "{what}");
            assert_eq!(state(), "", "{what}");
            assert_eq!(run(Order::Delete).unwrap(), Done::absent(), "{what}");
            calls();
        }
        let tested = |row: &&ripost::ar::foreign::Row| {
            let of =
                |case: &Case| case.backend == row.backend && row.systems.contains(&case.system);
            CASES.iter().any(of)
        };
        assert!(TABLE.iter().all(|row| tested(&row)));
    });
}

#[test]
fn what_the_administrator_has_there_is_let_be() {
    reexec_in_namespace(|| {
        let _home = prepare();
        let rule = "rule family=ipv4 source address=192.0.2.10 drop\n";
        fs::write(STATE, rule).unwrap();
        let run = |wanted| order(wanted, Backend::Firewalld, System::Linux, "192.0.2.10").unwrap();
        let told = Done::already("firewall-cmd has it, and not from us".to_owned());
        assert_eq!(run(Order::Add), told);
        assert_eq!(run(Order::Delete), Done::absent());
        assert_eq!(state(), rule);
        // Ours, flushed by a reload and then made by the administrator's hand
        // or by us again, is ours until it is taken back.
        fs::write(STATE, "").unwrap();
        assert_eq!(run(Order::Add), Done::applied());
        fs::write(STATE, "").unwrap();
        assert_eq!(run(Order::Add), Done::applied());
        fs::write(STATE, "").unwrap();
        assert_eq!(run(Order::Delete), Done::absent());
        fs::write(STATE, rule).unwrap();
        assert_eq!(run(Order::Delete), Done::absent());
        assert_eq!(state(), rule);
        let mode = fs::metadata("queue/foreign").unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    });
}

#[test]
fn a_tool_that_fails_hangs_or_lies_is_a_failure() {
    reexec_in_namespace(|| {
        let _home = prepare();
        for (backend, system) in [
            (Backend::Firewalld, System::Linux),
            (Backend::Pf, System::OpenBsd),
            (Backend::Netsh, System::Windows),
        ] {
            let run = |wanted| order(wanted, backend, system, "192.0.2.10");
            let fails = |wanted, mode: &str, words: &str| {
                set_mode(mode);
                let said = line(run(wanted));
                assert!(said.contains(words), "{backend:?} {mode}: {said}");
                set_mode("honest");
            };
            fails(Order::Add, "fail", "exit status: 13: no luck today");
            fails(Order::Add, "liar", "said that it did, and does not find it");
            // Nothing of it is taken for ours.
            assert_eq!(state(), "");
            assert_eq!(run(Order::Delete).unwrap(), Done::absent());

            // It says that it failed and did it: that is ours to take back.
            fails(Order::Add, "late", "too late");
            assert_ne!(state(), "");
            assert_eq!(run(Order::Delete).unwrap(), Done::reverted());

            run(Order::Add).unwrap();
            fails(Order::Delete, "fail", "exit status: 13: no luck today");
            fails(
                Order::Delete,
                "liar",
                "said that it did, and still finds it",
            );
            assert_eq!(run(Order::Delete).unwrap(), Done::reverted());
        }
        set_mode("hang");
        let said = line(order(Order::Add, Backend::Pf, System::MacOs, "192.0.2.10"));
        assert!(
            said.contains("did not end within 8 s and was killed"),
            "{said}"
        );
    });
}

#[test]
fn a_firewall_that_is_not_ready_says_what_is_missing() {
    reexec_in_namespace(|| {
        let _home = prepare();
        let pf = || {
            line(order(
                Order::Add,
                Backend::Pf,
                System::OpenBsd,
                "192.0.2.10",
            ))
        };
        fs::write("/run/info", "Status: Disabled for 0 days 00:01:02\n").unwrap();
        assert!(pf().contains("pfctl -e"), "{}", pf());
        fs::remove_file("/run/info").unwrap();
        fs::write("/run/table", "ossec_fwtable").unwrap();
        assert!(pf().contains("table <wazuh_fwtable> persist"), "{}", pf());
        let row = find("pf").unwrap();
        let options = Options::parse(row.options, &["--table=ossec_fwtable".to_owned()]).unwrap();
        let target = "192.0.2.10".parse().unwrap();
        let foreign = Foreign::new(Backend::Pf, System::OpenBsd, target, &options).unwrap();
        assert_eq!(foreign.add().unwrap(), Done::applied());
        assert_eq!(state(), "ossec_fwtable 192.0.2.10\n");

        fs::write("/run/stopped", "").unwrap();
        let said = line(order(
            Order::Add,
            Backend::Firewalld,
            System::Linux,
            "192.0.2.10",
        ));
        assert!(said.contains("FirewallD is not running"), "{said}");
        fs::remove_file("/usr/local/sbin/npfctl").unwrap();
        let said = line(order(
            Order::Add,
            Backend::Npf,
            System::NetBsd,
            "192.0.2.10",
        ));
        assert!(said.contains("find npfctl"), "{said}");
    });
}

#[test]
fn a_wider_entry_is_not_taken_for_this_one() {
    reexec_in_namespace(|| {
        let _home = prepare();
        fs::write("/run/wider", "192.0.2.0/24 0\n").unwrap();
        let run = |wanted| order(wanted, Backend::Ipfw, System::FreeBsd, "192.0.2.10").unwrap();
        assert_eq!(run(Order::Add), Done::applied());
        assert_eq!(run(Order::Delete), Done::reverted());
    });
}

#[test]
fn half_of_a_block_is_made_whole_and_taken_back_as_a_whole() {
    reexec_in_namespace(|| {
        let _home = prepare();
        let run = |wanted| order(wanted, Backend::Netsh, System::Windows, "192.0.2.10").unwrap();
        for half in ["in", "out"] {
            fs::write(STATE, format!("name=RIPOST {half} 192.0.2.10/32\n")).unwrap();
            assert_eq!(run(Order::Delete), Done::reverted());
            assert_eq!(state(), "");
            fs::write(STATE, format!("name=RIPOST {half} 192.0.2.10/32\n")).unwrap();
            assert_eq!(run(Order::Add), Done::applied());
            assert_eq!(run(Order::Delete), Done::reverted());
            assert_eq!(state(), "");
        }
    });
}

#[test]
fn on_this_system_firewalld_works_and_the_others_say_where_they_belong() {
    reexec_in_namespace(|| {
        let home = prepare();
        let input = add("192.0.2.10", "{}");
        let ran = feed(direct(&home, "firewalld-drop"), &input);
        assert_eq!(
            (ran.code, ran.status()),
            (Some(0), "applied".into()),
            "{ran:?}"
        );
        assert_eq!(ran.result()["backend"], "firewalld");
        assert_eq!(state(), "rule family=ipv4 source address=192.0.2.10 drop\n");
        let line = message("delete", "192.0.2.10");
        let ran = feed(direct(&home, "firewalld-drop"), line.as_bytes());
        assert_eq!((ran.status(), state()), ("reverted".into(), String::new()));

        calls();
        for name in ["pf", "npf", "ipfw", "netsh"] {
            for input in [&input, line.as_bytes()] {
                let ran = feed(direct(&home, name), input);
                ran.failed(71);
                let log = home.log().pop().unwrap();
                let begin = format!(
                    "active-response/bin/{name}: Invalid system: failed to use it: {name} is of "
                );
                assert!(log.starts_with(&begin), "{log}");
                assert!(log.ends_with(", and this is Linux"), "{log}");
            }
        }
        assert_eq!(calls(), [] as [&str; 0]);
    });
}

#[test]
fn without_the_tool_the_log_says_so_in_the_words_of_4_x() {
    reexec_in_namespace(|| {
        let home = Home::new();
        for folder in ["/usr/local", "/usr/sbin", "/usr/bin"] {
            if std::path::Path::new(folder).join("firewall-cmd").exists() {
                return eprintln!("SKIPPED: firewalld is installed here");
            }
        }
        let ran = feed(direct(&home, "firewalld-drop"), &add("192.0.2.10", "{}"));
        ran.failed(69);
        let log = home.log().pop().unwrap();
        assert!(
            log.contains("The firewall-cmd file 'firewall-cmd' is not accessible"),
            "{log}"
        );
        assert!(ran.stderr.contains("apt install firewalld"), "{ran:?}");
        // Nothing of ours is there without it.
        let line = message("delete", "192.0.2.10");
        let ran = feed(direct(&home, "firewalld-drop"), line.as_bytes());
        assert_eq!(ran.status(), "absent");
    });
}
