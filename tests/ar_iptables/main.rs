//! `firewall-drop` and `block-ip` with each of their back ends: packets that no
//! longer arrive and arrive again. Every test has namespaces of its own; a
//! kernel without nf_tables is one whose sockets for it are refused.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

mod choice;
mod disturbed;
mod lacking;
mod many;
#[path = "../support/netns.rs"]
mod netns;
#[expect(dead_code, reason = "not all executables are run here")]
#[path = "../support/run.rs"]
mod run;
#[path = "../support/seccomp.rs"]
mod seccomp;
#[path = "../support/served.rs"]
mod served;

use std::process::Command;

use netns::Netns;
use run::{Home, Ran, answer, feed, with_alert};
use seccomp::{Lacks, on_a_kernel_without};

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
fn assert_failed(ran: &Ran, code: i32, words: &str) {
    ran.failed(code);
    assert!(ran.stderr.contains(words), "{ran:?}");
}

/// All rules of legacy iptables in the table raw, of both families.
fn rules(scene: &Scene) -> String {
    ["iptables-legacy", "ip6tables-legacy"]
        .map(|name| scene.tool(&format!("{name} -t raw -S")))
        .join("\n")
}
