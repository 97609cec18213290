//! `firewall-drop` and `block-ip` with each of their back ends: packets that no
//! longer arrive and arrive again. Every test has namespaces of its own; a
//! kernel without nf_tables is one whose sockets for it are refused.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

#[path = "support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "not all executables are run here")]
#[path = "support/run.rs"]
mod run;
#[path = "support/seccomp.rs"]
mod seccomp;
#[path = "support/served.rs"]
mod served;

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netns::{Netns, reexec_in_namespace, run as tool, wait_for};
use ripost::ar::block::Block;
use ripost::ar::iptables::{Before, Iptables};
use ripost::ar::{Done, Fail};
use ripost::model::bundled::Backend;
use ripost::sys::nft::Element;
use run::{Home, Ran, answer, feed, under_execd, with_alert};
use seccomp::{Lacks, on_a_kernel_without};
use served::Served;

const FIREWALL_DROP: &str = "firewall-drop";
const BLOCK_IP: &str = "block-ip";
const ROUTE_NULL: &str = "route-null";

const ATTACKER: &str = "198.51.100.7";
const ATTACKER_6: &str = "2001:db8:bad::7";

/// What the kernel of a scene lacks.
const NOTHING: &[Lacks] = &[];
const NF_TABLES: &[Lacks] = &[Lacks::NfTables];

/// A server, its attackers, and a home on the server.
struct Scene {
    net: Netns,
    home: Home,
}

impl Scene {
    fn new() -> Self {
        Self {
            net: Netns::new(),
            home: Home::new(),
        }
    }

    fn command(&self, name: &str, lacks: &[Lacks]) -> Command {
        let mut command = self.net.command(&format!("active-response/bin/{name}"));
        command.current_dir(self.home.path());
        on_a_kernel_without(lacks, command)
    }

    fn add(&self, name: &str, lacks: &[Lacks], target: &str) -> Ran {
        feed(
            self.command(name, lacks),
            order("add", target, "").as_bytes(),
        )
    }

    fn delete(&self, name: &str, lacks: &[Lacks], target: &str) -> Ran {
        feed(
            self.command(name, lacks),
            order("delete", target, "").as_bytes(),
        )
    }

    /// A tool on the server, which must succeed.
    #[track_caller]
    fn tool(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let mut command = self.net.command(words.next().unwrap());
        let ran = feed_all(command.args(words));
        assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
        ran.stdout.join("\n")
    }
}

fn feed_all(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code(),
        stdout: text(&output.stdout).lines().map(str::to_owned).collect(),
        stderr: text(&output.stderr),
    }
}

/// The lines of an order; `extra_args` are words with blanks between them.
fn order(verb: &str, target: &str, extra_args: &str) -> String {
    let alert = format!(r#"{{"data":{{"srcip":"{target}"}}}}"#);
    let words: Vec<_> = extra_args.split_whitespace().collect();
    let args = serde_json::to_string(&words).unwrap();
    let line =
        with_alert(verb, &alert).replace(r#""extra_args":[]"#, &format!(r#""extra_args":{args}"#));
    match verb {
        "add" => line + &answer("continue", "{}"),
        _ => line,
    }
}

/// Status, back end, and that the exit status says the same.
#[track_caller]
fn assert_done(ran: &Ran, status: &str, backend: &str) {
    assert_eq!(
        (ran.code, ran.status()),
        (Some(0), status.to_owned()),
        "{ran:?}"
    );
    assert_eq!(ran.result()["backend"], backend, "{ran:?}");
}

#[track_caller]
fn assert_failed(ran: &Ran, words: &str) {
    assert_eq!(
        (ran.code, ran.status()),
        (Some(1), "failed".to_owned()),
        "{ran:?}"
    );
    assert!(ran.stderr.contains(words), "{ran:?}");
}

/// All rules of legacy iptables in the table raw, of both families.
fn rules(scene: &Scene) -> String {
    ["iptables-legacy", "ip6tables-legacy"]
        .map(|name| scene.tool(&format!("{name} -t raw -S")))
        .join("\n")
}

/// Covers a program with something that is none. It stays so in this test.
fn hide(name: &str) {
    let path = fs::canonicalize(format!("/usr/sbin/{name}")).unwrap();
    tool("mount", &["--bind", "/dev/null", path.to_str().unwrap()]);
}

#[test]
fn without_nf_tables_iptables_drops_the_packets_until_they_may_pass_again() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for (name, target, attacker, bystander) in [
            (FIREWALL_DROP, ATTACKER, ATTACKER, "198.51.100.70"),
            (FIREWALL_DROP, ATTACKER_6, ATTACKER_6, "2001:db8:bad::8"),
            (BLOCK_IP, "198.51.100.9", "198.51.100.9", "198.51.100.8"),
            (
                BLOCK_IP,
                "198.51.100.9/29",
                "198.51.100.15",
                "198.51.100.16",
            ),
            (
                BLOCK_IP,
                "2001:db8:bad:1::/64",
                "2001:db8:bad:1:f::1",
                "2001:db8:bad:2::1",
            ),
        ] {
            let arrives = |from| (scene.net.tcp_arrives(from), scene.net.udp_arrives(from));
            assert_eq!(arrives(attacker), (true, true), "{target}");
            assert_done(&scene.add(name, NF_TABLES, target), "applied", "iptables");
            assert_eq!(arrives(attacker), (false, false), "{target}");
            assert_eq!(arrives(bystander), (true, true), "{target}");

            let before = rules(&scene);
            let again = scene.add(name, NF_TABLES, target);
            assert_done(&again, "applied", "iptables");
            assert_eq!(again.result()["detail"], "was in force already");
            assert_eq!(rules(&scene), before, "{target}");

            assert_done(
                &scene.delete(name, NF_TABLES, target),
                "reverted",
                "iptables",
            );
            assert_eq!(arrives(attacker), (true, true), "{target}");
            assert_eq!(scene.delete(name, NF_TABLES, target).status(), "absent");
        }
    });
}

#[test]
fn where_nf_tables_answers_iptables_is_left_alone() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for (target, attacker) in [(ATTACKER, ATTACKER), ("198.51.100.16/28", "198.51.100.31")] {
            for name in [FIREWALL_DROP, BLOCK_IP] {
                let added = scene.add(name, NOTHING, target);
                assert_done(&added, "applied", "nf_tables");
                assert!(!scene.net.tcp_arrives(attacker));
                let deleted = scene.delete(name, NOTHING, target);
                assert_done(&deleted, "reverted", "nf_tables");
                assert!(scene.net.tcp_arrives(attacker));
                assert_eq!(scene.delete(name, NOTHING, target).status(), "absent");
            }
        }
        // To look at a table of it would bring it about.
        assert_eq!(scene.tool("cat /proc/self/net/ip_tables_names"), "");
        assert_eq!(scene.net.nft("list tables"), "table inet ripost\n");
    });
}

#[test]
fn without_nf_tables_and_iptables_block_ip_takes_routes_and_firewall_drop_says_why() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        hide("iptables-legacy");
        let ran = scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(&ran, "this kernel has none");
        // What is called iptables is there, and needs nf_tables too.
        assert!(ran.stderr.contains("works through nf_tables"), "{ran:?}");
        assert!(
            ran.stderr.contains("\n(load the module nf_tables"),
            "{ran:?}"
        );

        hide("iptables-nft");
        let ran = scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(&ran, "find iptables: it is in none of");
        assert!(ran.stderr.contains("apt install iptables"), "{ran:?}");
        assert!(scene.net.tcp_arrives(ATTACKER));

        for (target, attacker) in [
            (ATTACKER, ATTACKER),
            ("2001:db8:bad:1::/64", "2001:db8:bad:1::9"),
        ] {
            assert_done(&scene.add(BLOCK_IP, NF_TABLES, target), "applied", "routes");
            assert!(!scene.net.tcp_arrives(attacker));
            assert_done(
                &scene.delete(BLOCK_IP, NF_TABLES, target),
                "reverted",
                "routes",
            );
            assert!(scene.net.tcp_arrives(attacker));
        }
    });
}

#[test]
fn whatever_blocked_is_taken_back_under_another_back_end() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for (name, target) in [(FIREWALL_DROP, ATTACKER), (BLOCK_IP, ATTACKER_6)] {
            // The module is loaded after the block.
            scene.add(name, NF_TABLES, target);
            assert_done(&scene.delete(name, NOTHING, target), "reverted", "iptables");
            assert!(scene.net.tcp_arrives(target), "{name}");
            assert_eq!(scene.delete(name, NOTHING, target).status(), "absent");
            // And the block put back before it is lifted.
            scene.add(name, NF_TABLES, target);
            assert_done(&scene.add(name, NOTHING, target), "applied", "nf_tables");
            assert_eq!(scene.delete(name, NOTHING, target).status(), "reverted");
            assert!(scene.net.tcp_arrives(target), "{name}");
        }
        hide("iptables-legacy");
        hide("iptables-nft");
        assert_done(
            &scene.add(BLOCK_IP, NF_TABLES, ATTACKER),
            "applied",
            "routes",
        );
        assert_done(
            &scene.delete(BLOCK_IP, NOTHING, ATTACKER),
            "reverted",
            "routes",
        );
        assert!(scene.net.tcp_arrives(ATTACKER));
    });
}

#[test]
fn what_two_executables_block_is_kept_apart_whatever_they_use() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let apart = |lacks: &[Lacks], one: &str, other: &str, target: &str| {
            scene.add(one, lacks, target);
            let ran = scene.add(other, lacks, target);
            assert_eq!(ran.status(), "applied", "{ran:?}");
            assert!(ran.result()["detail"].is_null(), "{ran:?}");
            assert_eq!(scene.delete(one, lacks, target).status(), "reverted");
            assert!(!scene.net.tcp_arrives(target), "{one}, {other}");
            assert_eq!(scene.delete(one, lacks, target).status(), "absent");
            assert_eq!(scene.delete(other, lacks, target).status(), "reverted");
            assert!(scene.net.tcp_arrives(target), "{one}, {other}");
        };
        for lacks in [NOTHING, NF_TABLES] {
            for target in [ATTACKER, ATTACKER_6] {
                apart(lacks, FIREWALL_DROP, BLOCK_IP, target);
                apart(lacks, BLOCK_IP, FIREWALL_DROP, target);
            }
        }
        hide("iptables-legacy");
        hide("iptables-nft");
        for target in [ATTACKER, ATTACKER_6] {
            apart(NF_TABLES, BLOCK_IP, ROUTE_NULL, target);
            apart(NF_TABLES, ROUTE_NULL, BLOCK_IP, target);
        }
    });
}

#[test]
fn a_network_around_an_ipv6_address_is_blocked_on_demand() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let target = "2001:db8:bad:1::7";
        let run = |verb| {
            let lines = order(verb, target, "--ipv6-prefix 64");
            feed(scene.command(BLOCK_IP, NF_TABLES), lines.as_bytes())
        };
        let ran = run("add");
        assert!(
            ran.stdout[0].contains(r#"["2001:db8:bad:1::/64"]"#),
            "{ran:?}"
        );
        assert_done(&ran, "applied", "iptables");
        assert!(!scene.net.tcp_arrives("2001:db8:bad:1:ffff::1"));
        assert!(scene.net.tcp_arrives("2001:db8:bad:2::7"));
        assert_done(&run("delete"), "reverted", "iptables");
        assert!(scene.net.tcp_arrives("2001:db8:bad:1:ffff::1"));
    });
}

#[test]
fn under_a_4_x_execd_iptables_blocks_although_stdout_is_closed() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for name in [FIREWALL_DROP, BLOCK_IP] {
            let command = scene.command(name, NF_TABLES);
            let alert = format!(r#"{{"data":{{"srcip":"{ATTACKER}"}}}}"#);
            let line = with_alert("add", &alert);
            let (keys, code) =
                under_execd(command, &line, &line.replace("\"add\"", "\"continue\""));
            let wanted = format!(
                r#"{{"version":1,"origin":{{"name":"{name}","module":"active-response"}},"command":"check_keys","parameters":{{"keys":["{ATTACKER}"]}}}}"#
            );
            assert_eq!((keys.trim_end(), code), (wanted.as_str(), Some(0)));
            assert!(!scene.net.tcp_arrives(ATTACKER));
            scene.delete(name, NF_TABLES, ATTACKER);
            assert!(scene.net.tcp_arrives(ATTACKER));
        }
    });
}

#[test]
fn a_block_is_placed_again_whatever_was_done_to_the_rules() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let chain = "RIPOST-firewall-drop";
        for lines in [
            &["-F RIPOST-firewall-drop"][..],
            &["-D PREROUTING -j RIPOST-firewall-drop"],
            &["-F PREROUTING"],
            &["-F", "-X RIPOST-firewall-drop"],
            // What is left by one that is killed between -N and -A.
            &["-F", "-X RIPOST-firewall-drop", "-N RIPOST-firewall-drop"],
            // The administrator's rule comes first, and lets all pass.
            &["-I PREROUTING 1 -s 198.51.100.0/24 -j ACCEPT"],
        ] {
            scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
            assert!(!scene.net.tcp_arrives(ATTACKER), "{lines:?}");
            for line in lines {
                scene.tool(&format!("iptables-legacy -t raw {line}"));
            }
            assert!(scene.net.tcp_arrives(ATTACKER), "{lines:?}");
            assert_done(
                &scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER),
                "applied",
                "iptables",
            );
            assert!(!scene.net.tcp_arrives(ATTACKER), "{lines:?}");
            let rules = rules(&scene);
            assert_eq!(rules.matches("-j DROP").count(), 1, "{rules}");
            assert_eq!(rules.matches(&format!("-j {chain}")).count(), 1, "{rules}");
        }
        // The administrator's is there still, and goes with a flush by hand.
        assert!(rules(&scene).contains("-s 198.51.100.0/24 -j ACCEPT"));
        scene.tool("iptables-legacy -t raw -F RIPOST-firewall-drop");
        assert!(scene.net.tcp_arrives(ATTACKER));
        assert_eq!(
            scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER).status(),
            "absent"
        );
    });
}

#[test]
fn rules_that_somebody_doubled_are_all_taken_back() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        let append = "iptables-legacy -t raw -A RIPOST-firewall-drop -j DROP -s";
        for other in [ATTACKER, "198.51.100.8", ATTACKER] {
            scene.tool(&format!("{append} {other}"));
        }
        assert_eq!(
            scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER).status(),
            "reverted"
        );
        assert!(scene.net.tcp_arrives(ATTACKER));
        assert!(!scene.net.tcp_arrives("198.51.100.8"));
    });
}

#[test]
fn one_that_is_killed_at_any_moment_leaves_nothing_that_the_next_cannot_use() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        for millis in 0..30 {
            let mut command = scene.command(FIREWALL_DROP, NF_TABLES);
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let start = Instant::now();
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let lines = order("add", ATTACKER, "");
            std::io::Write::write_all(&mut stdin, lines.as_bytes()).unwrap();
            while start.elapsed() < Duration::from_millis(millis) {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            child.wait().unwrap();

            assert_done(
                &scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER),
                "applied",
                "iptables",
            );
            assert!(!scene.net.tcp_arrives(ATTACKER));
            // What it had started may end after it.
            wait_for("there is one rule", || {
                rules(&scene).matches("-j DROP").count() == 1
            });
            assert_eq!(
                scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER).status(),
                "reverted"
            );
            assert!(scene.net.tcp_arrives(ATTACKER));
            // Each time from the start.
            for line in ["-F", "-X"] {
                scene.tool(&format!("iptables-legacy -t raw {line}"));
            }
        }
    });
}

#[test]
fn parallel_blocks_by_iptables_all_take_effect_once() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        // Each twice.
        let addresses: Vec<String> = (0..20)
            .map(|n| format!("198.51.100.{}", n / 2 + 1))
            .collect();
        std::thread::scope(|scope| {
            for address in &addresses {
                let scene = &scene;
                scope.spawn(move || {
                    let ran = scene.add(FIREWALL_DROP, NF_TABLES, address);
                    assert_done(&ran, "applied", "iptables");
                });
            }
        });
        let found = rules(&scene);
        for address in &addresses {
            assert_eq!(
                found.matches(&format!("{address}/32 -j DROP")).count(),
                1,
                "{found}"
            );
        }
        assert_eq!(
            found.matches("-j RIPOST-firewall-drop").count(),
            1,
            "{found}"
        );
    });
}

#[test]
fn each_thing_that_iptables_lacks_is_said_by_its_name() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let mut command = scene.net.command("unshare");
        command
            .args([
                "--user",
                "--map-root-user",
                "active-response/bin/firewall-drop",
            ])
            .current_dir(scene.home.path());
        let command = on_a_kernel_without(NF_TABLES, command);
        let ran = feed(command, order("add", ATTACKER, "").as_bytes());
        assert_failed(&ran, "use iptables-legacy: operation not permitted");
        assert!(ran.stderr.contains("CAP_NET_ADMIN"), "{ran:?}");

        let lacks = [Lacks::NfTables, Lacks::Ipv6];
        let ran = scene.add(FIREWALL_DROP, &lacks, ATTACKER_6);
        assert_failed(&ran, "use ip6tables-legacy: this kernel has no IPv6");
        assert_done(
            &scene.add(FIREWALL_DROP, &lacks, ATTACKER),
            "applied",
            "iptables",
        );
        scene.delete(FIREWALL_DROP, &lacks, ATTACKER);

        let mut holder = Command::new("flock")
            .args(["--close", "/run/xtables.lock", "sleep", "100"])
            .spawn()
            .unwrap();
        wait_for("the lock is held", || {
            let test = Command::new("flock")
                .args(["--nonblock", "/run/xtables.lock", "true"])
                .status();
            !test.unwrap().success()
        });
        let ran = scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(
            &ran,
            "another program has held the lock of iptables for 5 s",
        );
        assert!(ran.stderr.contains("fuser /run/xtables.lock"), "{ran:?}");
        // And a revert is not told as done.
        let ran = scene.delete(FIREWALL_DROP, NF_TABLES, ATTACKER);
        assert_failed(&ran, "another program has held the lock");
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(scene.net.tcp_arrives(ATTACKER));
    });
}

/// Puts a program before the real one that knows no table raw.
fn without_raw(name: &str) {
    let real = format!("/usr/sbin/{name}");
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" = raw ] && {{\n  echo \"{name} v1.8.9 (legacy): can't initialize iptables table \\`raw': Table does not exist (do you need to insmod?)\" >&2; exit 3; }}\ndone\nexec {real} \"$@\"\n"
    );
    let path = format!("/usr/local/sbin/{name}");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_the_table_raw_the_table_filter_drops_what_comes_and_what_passes() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
        without_raw("iptables-legacy");
        without_raw("ip6tables-legacy");
        for (target, family) in [(ATTACKER, "iptables"), (ATTACKER_6, "ip6tables")] {
            assert_done(
                &scene.add(FIREWALL_DROP, NF_TABLES, target),
                "applied",
                "iptables",
            );
            assert!(!scene.net.tcp_arrives(target));
            let rules = scene.tool(&format!("{family}-legacy -S"));
            for hook in ["INPUT", "FORWARD"] {
                let call = format!("-A {hook} -j RIPOST-firewall-drop");
                assert!(rules.contains(&call), "{rules}");
            }
        }
        // Then the module for raw is loaded.
        tool("umount", &["/usr/local/sbin"]);
        scene.add(FIREWALL_DROP, NF_TABLES, ATTACKER);
        for target in [ATTACKER, ATTACKER_6] {
            assert_eq!(
                scene.delete(FIREWALL_DROP, NF_TABLES, target).status(),
                "reverted"
            );
            assert!(scene.net.tcp_arrives(target), "{target}");
        }
    });
}

/// Whether a datagram from this address gets through this host to itself.
fn passes(from: &str) -> bool {
    let from: IpAddr = from.parse().unwrap();
    let to = if from.is_ipv4() {
        "198.51.100.1"
    } else {
        "2001:db8:bad::1"
    };
    let receiver = UdpSocket::bind((to, 0)).unwrap();
    let wait = Duration::from_millis(100);
    receiver.set_read_timeout(Some(wait)).unwrap();
    let sender = UdpSocket::bind((from, 0)).unwrap();
    sender
        .send_to(b"x", receiver.local_addr().unwrap())
        .unwrap();
    receiver.recv(&mut [0; 8]).is_ok()
}

/// Whichever kind is there works, and the executables take back what either
/// has written.
#[test]
fn both_kinds_of_iptables_drop_and_let_pass_again() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        tool(
            "ip",
            &["route", "add", "local", "198.51.100.0/24", "dev", "lo"],
        );
        tool(
            "ip",
            &[
                "-6",
                "route",
                "add",
                "local",
                "2001:db8:bad::/48",
                "dev",
                "lo",
            ],
        );
        fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        for (program, other) in [
            ("iptables-legacy", "iptables-nft"),
            ("iptables-nft", "iptables-legacy"),
        ] {
            let path = fs::canonicalize(format!("/usr/sbin/{other}")).unwrap();
            let path = path.to_str().unwrap();
            for (target, attacker, bystander) in [
                (ATTACKER, ATTACKER, "198.51.100.8"),
                ("198.51.100.16/28", "198.51.100.31", "198.51.100.32"),
                (
                    "2001:db8:bad:1::/64",
                    "2001:db8:bad:1::9",
                    "2001:db8:bad::7",
                ),
            ] {
                let network = target.parse().unwrap();
                tool("mount", &["--bind", "/dev/null", path]);
                let mut iptables = Iptables::of(FIREWALL_DROP);
                assert!(passes(attacker), "{program}: {target}");
                for was_there in [false, true] {
                    let before = iptables.add(&[network]).remove(0).unwrap();
                    assert_eq!(has_dropped(before), was_there, "{program}: {target}");
                    assert!(!passes(attacker), "{program}: {target}");
                    assert!(passes(bystander), "{program}: {target}");
                }
                for was_there in [true, false] {
                    let before = iptables.delete(&[network]).remove(0).unwrap();
                    assert_eq!(has_dropped(before), was_there, "{program}: {target}");
                    assert!(passes(attacker), "{program}: {target}");
                }
                assert!(iptables.add(&[network])[0].is_ok());
                tool("umount", &[path]);
                let command = run::direct(&home, FIREWALL_DROP);
                let ran = feed(command, order("delete", target, "").as_bytes());
                assert_done(&ran, "reverted", "iptables");
                assert!(passes(attacker), "{program}: {target}");
            }
        }
    });
}

/// Whether the packets of a network were dropped before, and some of them were.
fn has_dropped(before: Before) -> bool {
    match before {
        Before::There { hits } => {
            assert!(hits > 0);
            true
        }
        Before::Missing => false,
    }
}

/// How often this program was run, which a script before it counts.
fn counted(name: &str) -> impl Fn() -> usize {
    const RUNS: &str = "/run/runs";
    tool("mount", &["-t", "tmpfs", "tmpfs", "/usr/local/sbin"]);
    let path = format!("/usr/local/sbin/{name}");
    let script = format!("#!/bin/sh\necho run >>{RUNS}\nexec /usr/sbin/{name} \"$@\"\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    || fs::read_to_string(RUNS).map_or(0, |text| text.lines().count())
}

#[test]
fn many_are_blocked_and_taken_back_at_once_and_the_few_under_iptables_too() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        // The table is there, for somebody else.
        tool("iptables-legacy", &["-t", "raw", "-S"]);
        let runs = counted("iptables-legacy");
        let networks: Vec<IpNetwork> = (0..2_000_u32)
            .map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()).into())
            .collect();
        let elements: Vec<_> = networks
            .iter()
            .map(|&network| Element {
                network,
                lasts: Some(Duration::from_secs(600)),
            })
            .collect();
        let mut block = Block::of(BLOCK_IP);
        let all = |done: Vec<Result<Done, Fail>>, wanted: Done| {
            assert_eq!(done.len(), networks.len());
            for one in done {
                assert_eq!(one.unwrap(), wanted);
            }
        };
        let by = |done: Done| done.by(Backend::NfTables);
        all(block.add_all(&elements), by(Done::applied()));
        let again = by(Done::in_place()).counting(Some(0));
        all(block.add_all(&elements), again);
        assert_eq!(runs(), 0);
        let reverted = |by| Done::reverted().by(by).counting(Some(0));
        all(block.delete_all(&networks), reverted(Backend::NfTables));
        // At most once for a table and second.
        assert!(runs() <= 20, "{}", runs());

        block.add_all(&elements[..1_000]);
        assert!(Iptables::of(BLOCK_IP).add(&networks[1_000..1_001])[0].is_ok());
        // Whoever has looked just now looks again a second later.
        let mut block = Block::of(BLOCK_IP);
        let done = block.delete_all(&networks[999..1_002]);
        let done: Vec<Done> = done.into_iter().map(Result::unwrap).collect();
        // Each by what did it.
        let wanted = [
            reverted(Backend::NfTables),
            reverted(Backend::Iptables),
            Done::absent(),
        ];
        assert_eq!(done, wanted);
        let rules = tool("iptables-legacy", &["-t", "raw", "-S", "RIPOST-block-ip"]);
        assert!(!rules.contains("DROP"), "{rules}");
    });
}

/// One after the other they would take minutes.
#[test]
fn a_worker_without_nf_tables_blocks_a_thousand_at_once() {
    reexec_in_namespace(|| {
        let scene = Scene::new();
        let hosts = (0..1_000).map(|n| format!("10.9.{}.{}", n / 250, n % 250));
        let named = [ATTACKER, "198.51.100.64/28", ATTACKER_6].map(str::to_owned);
        let targets: Vec<_> = hosts.chain(named).collect();
        let orders = |verb: &str| -> Vec<_> {
            let order = |target: &String| {
                let alert = format!(r#"{{"data":{{"srcip":"{target}"}}}}"#);
                (with_alert(verb, &alert), answer("continue", "{}"))
            };
            targets.iter().map(order).collect()
        };
        for name in [FIREWALL_DROP, BLOCK_IP] {
            let mut worker = Served::start(scene.command(name, NF_TABLES));
            let mut all = |verb: &str, status: &str| -> Vec<Ran> {
                let ran = worker.orders(&orders(verb));
                for ran in &ran {
                    assert_eq!(ran.status(), status, "{name}: {ran:?}");
                }
                ran
            };
            all("add", "applied");
            for attacker in [ATTACKER, "198.51.100.79", ATTACKER_6] {
                assert!(!scene.net.udp_arrives(attacker), "{name}: {attacker}");
            }
            assert!(scene.net.udp_arrives("198.51.100.80"), "{name}");
            let again = all("add", "applied");
            assert_eq!(again[0].result()["detail"], "was in force already");
            let deleted = all("delete", "reverted");
            assert_eq!(deleted[0].result()["hits"], 0);
            assert_eq!(deleted[0].result()["backend"], "iptables");
            assert!(deleted[1_000].result()["hits"].as_u64() > Some(0));
            assert!(scene.net.udp_arrives(ATTACKER), "{name}");
            all("delete", "absent");
            assert!(!rules(&scene).contains("DROP"), "{name}");
        }
    });
}

#[test]
fn where_no_chain_of_ours_was_is_looked_at_again_after_an_add() {
    reexec_in_namespace(|| {
        let home = Home::new();
        std::env::set_current_dir(home.path()).unwrap();
        tool("iptables-legacy", &["-t", "raw", "-S"]);
        let network = ATTACKER.parse().unwrap();
        let mut iptables = Iptables::of(BLOCK_IP);
        for _ in 0..2 {
            let deleted = iptables.delete(&[network]).remove(0);
            assert_eq!(deleted.unwrap(), Before::Missing);
        }
        assert!(iptables.add(&[network])[0].is_ok());
        let deleted = iptables.delete(&[network]).remove(0);
        assert_eq!(deleted.unwrap(), Before::There { hits: 0 });
    });
}
