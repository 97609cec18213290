//! The source behind the real daemons: what a 200 is worth.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::client::{Answer, Client};
use crate::owner::{TOKEN, sends};
use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Program};
use crate::support::home::{Home, command, counter, response};
use crate::support::isolation::{isolated, run};
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(60);

/// A home whose manager is posted alerts, and a script that notes for which
/// addresses it ran.
struct Scene {
    home: Home,
    address: SocketAddr,
    effects: PathBuf,
}

/// A port that nobody has.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn bare() -> Command {
    Command::new("env")
}

impl Scene {
    fn new() -> Self {
        Self::at(Home::new(), free_port(), "")
    }

    /// With more in its configuration.
    fn at(home: Home, port: u16, more: &str) -> Self {
        let effects = home.beside().join("effects");
        fs::write(&effects, "").unwrap();
        let body = format!(
            r#"read -r message
ip=${{message#*\"srcip\":\"}}
echo "${{ip%%\"*}}" >> {}"#,
            effects.display()
        );
        home.script("notify", &body);
        let source = format!(
            "<alert_source><location>http:127.0.0.1:{port}</location>\
             <token_file>etc/tls/webhook.token</token_file></alert_source>{more}"
        );
        let blocks = [
            source,
            command("notify", ""),
            response("notify", "5763", ""),
        ];
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        home.configure(&blocks);
        let scene = Self {
            home,
            address: ([127, 0, 0, 1], port).into(),
            effects,
        };
        scene.write_token(TOKEN, 0o600);
        scene
    }

    fn write_token(&self, token: &str, mode: u32) {
        let path = self.home.file("etc/tls/webhook.token");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, token).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn manager(&self) -> Daemon {
        Daemon::start_with(bare(), &self.home, Program::Manager)
    }

    /// Starts a manager that must refuse to run; its exit code, and what it said.
    fn refuses(&self) -> (Option<i32>, String) {
        let output = Command::new("timeout")
            .args([
                "-k",
                "1",
                "60",
                env!("CARGO_BIN_EXE_ripost-manager"),
                "--home",
            ])
            .arg(self.home.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    }

    fn agentd(&self) -> Daemon {
        Daemon::start_with(bare(), &self.home, Program::Agentd)
    }

    /// Posts on a connection of its own.
    fn post(&self, body: &str) -> Answer {
        Client::connect(self.address).post(TOKEN, body)
    }

    /// The addresses that the script ran for.
    fn effects(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.effects).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the script has run so often, and for each of these once.
    #[track_caller]
    fn wait_effects(&self, wanted: &[String]) {
        wait_for("the script has run for each", SOON, || {
            (self.effects().len() >= wanted.len()).then_some(())
        });
        let mut found = self.effects();
        found.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort();
        assert_eq!(found, wanted, "each once");
    }
}

fn addresses(count: u8) -> Vec<String> {
    (0..count).map(|last| format!("203.0.113.{last}")).collect()
}

#[test]
fn alerts_that_are_posted_are_acted_upon_and_counted() {
    let scene = Scene::new();
    let manager = scene.manager();
    let _agentd = scene.agentd();
    let wanted = addresses(3);
    let alerts: Vec<String> = wanted.iter().map(|ip| Alert::sshd(ip).line()).collect();
    let other = Alert::sshd("203.0.113.9").rule("1").line();
    assert_eq!(scene.post(&alerts[0]).status, 200);
    let both = format!("[{},{},{other},7]", alerts[1], alerts[2]);
    let answer = scene.post(&both);
    assert_eq!((answer.status, answer.accepted()), (200, 3));
    scene.wait_effects(&wanted);
    assert_eq!(Client::connect(scene.address).post("x", &both).status, 401);
    let status = scene.home.ctl_json(&["status"]);
    for (name, value) in [
        ("HTTP requests stored", 2),
        ("HTTP requests without the token", 1),
        ("HTTP pieces that are no alert", 1),
        ("alerts read", 4),
    ] {
        assert_eq!(counter(&status, name), value, "{name}");
    }
    let said = manager.said();
    assert!(!said.contains(TOKEN), "{said}");
}

/// The agent is not there yet, so that nothing has happened when the manager is
/// killed.
#[test]
fn what_was_acknowledged_is_done_after_a_kill_and_a_second_try_adds_nothing() {
    let scene = Scene::new();
    let manager = scene.manager();
    let wanted = addresses(5);
    let alerts: Vec<String> = wanted.iter().map(|ip| Alert::sshd(ip).line()).collect();
    for alert in &alerts {
        assert_eq!(scene.post(alert).status, 200);
    }
    manager.kill();
    let _manager = scene.manager();
    // A sender that was cut off before it heard, and sends in another form.
    let all = format!("[{}]", alerts.join(","));
    let answer = scene.post(&all);
    assert_eq!((answer.status, answer.accepted()), (200, 5));
    let _agentd = scene.agentd();
    scene.wait_effects(&wanted);
    // And once more, when everything is done.
    assert_eq!(scene.post(&all).accepted(), 5);
    let marker = Alert::sshd("203.0.113.77").line();
    assert_eq!(scene.post(&marker).status, 200);
    scene.wait_effects(&[wanted, vec!["203.0.113.77".to_owned()]].concat());
}

#[test]
fn a_manager_that_is_killed_while_it_is_sent_to_acts_once_on_what_is_sent_again() {
    let scene = Scene::new();
    let _agentd = scene.agentd();
    let wanted = addresses(6);
    for (round, ip) in wanted.iter().enumerate() {
        let manager = scene.manager();
        let alert = Alert::sshd(ip).line();
        let mut client = Client::connect(scene.address);
        sends(&mut client, &alert);
        if round.is_multiple_of(2) {
            let record = scene.home.file("logs/responses.json");
            wait_for("the alert has led to something", SOON, || {
                let text = fs::read_to_string(&record).ok()?;
                text.contains(ip.as_str()).then_some(())
            });
        }
        manager.kill();
        let manager = scene.manager();
        assert_eq!(scene.post(&alert).status, 200);
        manager.stop();
    }
    let _manager = scene.manager();
    scene.wait_effects(&wanted);
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_and_with_room_each_alert_counts_once() {
    isolated(|| {
        run("ip", &["link", "set", "lo", "up"]);
        let scene = Scene::at(Home::on_tmpfs("160m"), 8514, "");
        let _manager = scene.manager();
        let _agentd = scene.agentd();
        let first = Alert::sshd("203.0.113.100").line();
        assert_eq!(scene.post(&first).status, 200);
        scene.wait_effects(&["203.0.113.100".to_owned()]);

        let ballast = scene.home.file("ballast");
        fill(&ballast);
        let wanted = addresses(4);
        // One of them has nothing that names it.
        let nameless = r#"{"rule":{"level":10,"id":"5763"},"agent":{"id":"000"},"data":{"srcip":"203.0.113.0"}}"#;
        let mut alerts: Vec<String> = wanted.iter().map(|ip| Alert::sshd(ip).line()).collect();
        alerts[0] = nameless.to_owned();
        let answers: Vec<Answer> = thread::scope(|scope| {
            let posts: Vec<_> = alerts
                .iter()
                .map(|alert| scope.spawn(|| scene.post(alert)))
                .collect();
            posts.into_iter().map(|post| post.join().unwrap()).collect()
        });
        for answer in answers {
            assert_eq!((answer.status, answer.accepted()), (503, 0), "{answer:?}");
            assert!(answer.header("retry-after").is_some());
        }
        let mut asks = Client::connect(scene.address);
        assert_eq!(asks.ask("GET /health", &[], b"").status, 503);
        assert!(
            counter(
                &scene.home.ctl_json(&["status"]),
                "HTTP requests not stored in time"
            ) >= 4
        );

        fs::remove_file(&ballast).unwrap();
        for alert in &alerts {
            wait_for("it is stored", SOON, || {
                (scene.post(alert).status == 200).then_some(())
            });
        }
        scene.wait_effects(&[wanted, vec!["203.0.113.100".to_owned()]].concat());
        assert_eq!(asks.ask("GET /health", &[], b"").status, 200);
    });
}

/// Fills the file system of `path` to the last byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 10, 1] {
        while file.write_all(&vec![0_u8; size]).is_ok() {}
    }
}

#[test]
fn a_flood_of_requests_does_not_keep_a_file_waiting() {
    let file = "<alert_source><location>logs/alerts/alerts.json</location></alert_source>";
    let scene = Scene::at(Home::new(), free_port(), file);
    let _manager = scene.manager();
    let _agentd = scene.agentd();
    let other = Alert::sshd("203.0.113.9").rule("1").line().repeat(2_000);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(scene.address);
                while !over.load(Ordering::Relaxed) {
                    let answer = client.post(TOKEN, &other);
                    assert!(matches!(answer.status, 200 | 429 | 503), "{answer:?}");
                }
            });
        }
        wait_for("the flood has begun", SOON, || {
            let status = scene.home.ctl_json(&["status"]);
            (counter(&status, "alerts read") > 10_000).then_some(())
        });
        let wanted = addresses(20);
        let mut done = Vec::new();
        for ip in &wanted {
            scene.home.alert(&[Alert::sshd(ip)]);
            done.push(ip.clone());
            scene.wait_effects(&done);
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_token_that_is_missing_or_that_others_can_read_keeps_the_manager_from_starting() {
    let scene = Scene::new();
    let refused = || {
        let (code, said) = scene.refuses();
        assert_eq!(code, Some(78), "{said}");
        let check = scene.home.ctl(&["check"]);
        assert!(!check.status.success());
        let told = [check.stdout, check.stderr].concat();
        said + &String::from_utf8_lossy(&told)
    };
    for mode in [0o644, 0o640, 0o602] {
        scene.write_token(TOKEN, mode);
        let said = refused();
        assert_eq!(said.matches("chmod 600").count(), 2, "{said}");
        assert!(!said.contains(TOKEN), "{said}");
    }
    fs::remove_file(scene.home.file("etc/tls/webhook.token")).unwrap();
    let said = refused();
    assert!(
        said.contains("head -c 32 /dev/urandom | base64 >"),
        "{said}"
    );
    scene.write_token("", 0o600);
    assert!(refused().contains("one line"));
    scene.write_token(TOKEN, 0o600);
    assert_eq!(scene.manager().stop().code(), Some(0));
}

#[test]
fn a_reload_takes_a_new_token_and_keeps_connections_and_a_bad_one_changes_nothing() {
    let scene = Scene::new();
    let manager = scene.manager();
    let mut client = Client::connect(scene.address);
    assert_eq!(
        client.post(TOKEN, Alert::sshd("203.0.113.1").line()).status,
        200
    );
    let other = "7b9d2c0c4c0f4d6e";
    scene.write_token(other, 0o644);
    assert!(!scene.home.ctl(&["reload"]).status.success());
    assert_eq!(
        client.post(TOKEN, Alert::sshd("203.0.113.2").line()).status,
        200
    );
    scene.write_token(other, 0o600);
    // Nobody asks for the file before he is told to.
    assert_eq!(
        client.post(other, Alert::sshd("203.0.113.3").line()).status,
        401
    );
    assert!(scene.home.ctl(&["reload"]).status.success());
    assert_eq!(
        client.post(TOKEN, Alert::sshd("203.0.113.3").line()).status,
        401
    );
    assert_eq!(
        client.post(other, Alert::sshd("203.0.113.3").line()).status,
        200
    );
    // Other settings at the same address.
    let path = scene.home.file("etc/manager.conf");
    let text = fs::read_to_string(&path).unwrap();
    let small = "</token_file><max_body>1k</max_body>";
    fs::write(&path, text.replace("</token_file>", small)).unwrap();
    assert!(scene.home.ctl(&["reload"]).status.success());
    assert_eq!(client.post(other, [b' '; 1_025]).status, 413);
    // No source any more: the port is closed, also to those who are there.
    let without = text.split("<alert_source>").next().unwrap().to_owned()
        + text.split("</alert_source>").nth(1).unwrap();
    fs::write(&path, without).unwrap();
    assert!(scene.home.ctl(&["reload"]).status.success());
    client.wait_closed();
    assert!(TcpStream::connect(scene.address).is_err());
    manager.signal(Signal::TERM);
}

#[test]
fn a_port_that_is_taken_is_named_and_the_manager_does_not_start() {
    let scene = Scene::new();
    let _taken = TcpListener::bind(scene.address).unwrap();
    let (code, said) = scene.refuses();
    assert!(matches!(code, Some(69 | 75 | 78)), "{code:?} {said}");
    assert!(said.contains(&scene.address.to_string()), "{said}");
}
