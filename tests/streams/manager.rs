//! What the real manager makes of alerts that are sent, and of many files.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;
use std::time::Duration;

use crate::support::alert::Alert;
use crate::support::daemon::{Daemon, Pair, Program};
use crate::support::home::{Home, command, counter, response};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(20);

/// A `<alert_source>` block with these elements.
fn source(elements: &str) -> String {
    format!("<alert_source>{elements}</alert_source>")
}

/// A home whose `note.sh` runs for each alert of rule 5763, and these sources.
fn home(sources: &[&str]) -> Home {
    let home = Home::new();
    home.script("note.sh", "read -r line; exit 0");
    configure(&home, sources);
    home
}

fn configure(home: &Home, sources: &[&str]) {
    let mut blocks: Vec<String> = sources.iter().map(|elements| source(elements)).collect();
    blocks.push(command("note.sh", ""));
    blocks.push(response("note.sh", "5763", ""));
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    home.configure(&blocks);
}

/// Waits until so many runs of `note.sh` are over, and looks that there are no
/// more.
#[track_caller]
fn expect_runs(home: &Home, wanted: usize) {
    let over = || {
        let responses = home.responses();
        responses
            .iter()
            .filter(|record| record["state"] == "done")
            .count()
    };
    wait_for(&format!("{wanted} runs"), SOON, || {
        (over() >= wanted).then_some(())
    });
    let status = home.ctl_json(&["status"]);
    assert_eq!(counter(&status, "actions"), wanted as u64, "{status}");
}

#[track_caller]
fn wait_counter(home: &Home, name: &str, wanted: u64) {
    wait_for(&format!("{name} {wanted}"), SOON, || {
        let status = home.ctl_json(&["status"]);
        (counter(&status, name) >= wanted).then_some(())
    });
}

#[test]
fn alerts_that_are_sent_are_acted_upon() {
    isolated(|| {
        let net = Net::new();
        let sources = [
            "<location>unix:queue/alerts.sock</location>\
             <location>unixgram:queue/datagrams.sock</location>",
            "<location>tcp:127.0.0.1:5140</location>",
        ];
        let home = home(&sources);
        let pair = Pair::start(&net, &home);
        let alert = |number: u8| Alert::sshd(&format!("203.0.113.{number}")).line();

        let mut stream = UnixStream::connect(home.file("queue/alerts.sock")).unwrap();
        stream.write_all((alert(1) + &alert(2)).as_bytes()).unwrap();
        // The end counts without its newline.
        stream.write_all(alert(3).trim_end().as_bytes()).unwrap();
        drop(stream);
        let socket = UnixDatagram::unbound().unwrap();
        let to = home.file("queue/datagrams.sock");
        socket.send_to(alert(4).as_bytes(), to).unwrap();
        let mut send = net.on_server();
        let mut peer = send
            .args(["bash", "-c", "cat > /dev/tcp/127.0.0.1/5140"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = peer.stdin.take().unwrap();
        input.write_all(alert(5).as_bytes()).unwrap();
        drop(input);
        assert!(peer.wait().unwrap().success());
        expect_runs(&home, 5);
        for name in ["queue/alerts.sock", "queue/datagrams.sock"] {
            let mode = fs::metadata(home.file(name)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        // A killed predecessor's sockets are taken over.
        pair.manager.kill();
        let _manager = Daemon::start(&net, &home, Program::Manager);
        let mut stream = UnixStream::connect(home.file("queue/alerts.sock")).unwrap();
        stream.write_all(alert(6).as_bytes()).unwrap();
        expect_states(&home, 6);
    });
}

#[test]
fn the_same_alert_from_two_sources_is_acted_upon_once_40() {
    isolated(|| {
        let net = Net::new();
        let sources = [
            "<location>logs/alerts/alerts.json</location>\
             <location>logs/alerts/copy.json</location>",
            "<location>unix:queue/alerts.sock</location>",
        ];
        let home = home(&sources);
        let _pair = Pair::start(&net, &home);
        let line = Alert::sshd("203.0.113.9").line();
        let mut other: serde_json::Value = serde_json::from_str(&line).unwrap();
        other["manager"]["name"] = "another".into();
        let other = format!("{other}\n");
        home.append(line.as_bytes());
        expect_runs(&home, 1);
        fs::write(home.file("logs/alerts/copy.json"), &line).unwrap();
        let mut stream = UnixStream::connect(home.file("queue/alerts.sock")).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        wait_counter(&home, "duplicate alerts", 2);
        expect_runs(&home, 1);
        // Another manager gave the same id to another alert; and the same line
        // twice in one source is two alerts.
        stream.write_all(other.as_bytes()).unwrap();
        home.append(line.as_bytes());
        expect_runs(&home, 3);
    });
}

#[test]
fn a_reload_keeps_what_has_not_changed_open_and_changes_nothing_if_it_fails() {
    isolated(|| {
        let net = Net::new();
        let kept = "<location>unix:queue/kept.sock</location>";
        let home = home(&[kept, "<location>unix:queue/gone.sock</location>"]);
        let pair = Pair::start(&net, &home);
        let alert = |number: u8| Alert::sshd(&format!("203.0.113.{number}")).line();
        let connect = |name: &str| UnixStream::connect(home.file(name)).unwrap();
        let (mut stays, mut goes) = (connect("queue/kept.sock"), connect("queue/gone.sock"));
        stays.write_all(alert(1).as_bytes()).unwrap();
        goes.write_all(alert(2).as_bytes()).unwrap();
        expect_runs(&home, 2);

        // Somebody else is there.
        let taken = UnixListener::bind(home.file("queue/taken.sock")).unwrap();
        configure(&home, &[kept, "<location>unix:queue/taken.sock</location>"]);
        let output = home.ctl(&["reload"]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("listens there already"), "{said}");
        goes.write_all(alert(3).as_bytes()).unwrap();
        expect_runs(&home, 3);

        drop(taken);
        let new = "<location>unix:queue/taken.sock</location><max_age>10d</max_age>";
        configure(&home, &[kept, new]);
        let output = home.ctl(&["reload"]);
        assert!(output.status.success(), "{output:?}");
        // The one that is gone is closed, the other was not.
        goes.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(goes.read(&mut [0]).unwrap(), 0);
        stays.write_all(alert(4).as_bytes()).unwrap();
        let mut fresh = connect("queue/taken.sock");
        fresh.write_all(alert(5).as_bytes()).unwrap();
        expect_runs(&home, 5);

        // Another mode: the same socket, for others.
        let wider = format!("{kept}<socket_mode>0660</socket_mode>");
        configure(&home, &[&wider, new]);
        assert!(home.ctl(&["reload"]).status.success());
        let mode = fs::metadata(home.file("queue/kept.sock")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o660);
        connect("queue/kept.sock")
            .write_all(alert(6).as_bytes())
            .unwrap();
        expect_runs(&home, 6);
        assert!(pair.manager.stop().success());
    });
}

#[test]
fn a_manager_that_cannot_open_a_source_says_so_and_does_not_start() {
    isolated(|| {
        let net = Net::new();
        let home = home(&["<location>unix:queue/alerts.sock</location>"]);
        let path = home.file("queue/alerts.sock");
        let taken = UnixListener::bind(&path).unwrap();
        let (status, said) = Daemon::refuses(&net, &home, Program::Manager);
        assert_eq!(status.code(), Some(75), "{said}");
        assert!(said.contains("somebody listens there already"), "{said}");
        drop(taken);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"precious").unwrap();
        let (status, said) = Daemon::refuses(&net, &home, Program::Manager);
        assert_eq!(status.code(), Some(78), "{said}");
        assert!(said.contains("is no socket"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");

        let open = home.beside().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let elements = format!("<location>unix:{}/a.sock</location>", open.display());
        configure(&home, &[&elements]);
        let (status, said) = Daemon::refuses(&net, &home, Program::Manager);
        assert_eq!(status.code(), Some(78), "{said}");
        assert!(said.contains("can be written to by others"), "{said}");
    });
}

#[test]
fn standard_input_is_read_to_its_end_and_the_manager_goes_on() {
    isolated(|| {
        let net = Net::new();
        let home = home(&[
            "<location>-</location>",
            "<location>logs/alerts/alerts.json</location>",
        ]);
        let pipe = home.beside().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        // Opened for both, so that nobody waits for the other end.
        let mut input = File::options().read(true).write(true).open(&pipe).unwrap();
        let mut start = net.on_server();
        let script = format!("exec \"$@\" < {}", pipe.display());
        start.args(["sh", "-c", &script, "sh"]);
        let _manager = Daemon::start_with(start, &home, Program::Manager);
        let _agentd = Daemon::start(&net, &home, Program::Agentd);
        let alert = |number: u8| Alert::sshd(&format!("203.0.113.{number}")).line();
        input.write_all((alert(1) + &alert(2)).as_bytes()).unwrap();
        expect_runs(&home, 2);
        drop(input);
        assert!(home.ctl(&["reload"]).status.success());
        home.append(alert(3).as_bytes());
        expect_runs(&home, 3);
        let status = home.ctl_json(&["status"]);
        assert!(!status.to_string().contains("has ended"), "{status}");
    });
}

#[test]
fn files_of_a_pattern_are_read_once_over_rotation_and_kills() {
    isolated(|| {
        let net = Net::new();
        let home = home(&["<location>logs/alerts/*.json*</location>"]);
        let file = |name: &str| home.file("logs/alerts").join(name);
        let write = |name: &str, number: u8| {
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(file(name))
                .unwrap();
            let line = Alert::sshd(&format!("203.0.113.{number}")).line();
            file.write_all(line.as_bytes()).unwrap();
        };
        // What was there before the first start is old.
        write("a.json", 1);
        let pair = Pair::start(&net, &home);
        write("a.json", 2);
        write("b.json", 3);
        expect_runs(&home, 2);
        fs::rename(file("a.json"), file("a.json.1")).unwrap();
        write("a.json", 4);
        expect_runs(&home, 3);
        pair.manager.kill();
        // Renamed, and new, while nobody reads.
        fs::rename(file("b.json"), file("b.json.1")).unwrap();
        write("b.json.1", 5);
        write("b.json", 6);
        let _manager = Daemon::start(&net, &home, Program::Manager);
        expect_states(&home, 5);
    });
}

/// Waits until `note.sh` has run for so many actions, over all lives of the
/// manager, and looks that none has run twice.
#[track_caller]
fn expect_states(home: &Home, wanted: usize) {
    let done = || -> Vec<String> {
        let records = home.responses_after_crashes();
        let mut done: Vec<_> = records
            .iter()
            .filter(|record| record["state"] == "done")
            .map(|record| record["action"].to_string())
            .collect();
        done.sort();
        done.dedup();
        done
    };
    wait_for(&format!("{wanted} actions"), SOON, || {
        (done().len() >= wanted).then_some(())
    });
    assert_eq!(done().len(), wanted);
}

#[test]
fn strangers_at_a_port_cause_nothing_and_are_counted() {
    isolated(|| {
        let net = Net::new();
        let elements = "<location>tcp:0.0.0.0:5140</location><allowed-ips>192.0.2.7</allowed-ips>";
        let home = home(&[elements]);
        let _pair = Pair::start(&net, &home);
        let line = Alert::sshd("203.0.113.9").line();
        let mut send = net.on_server();
        let mut peer = send
            .args(["bash", "-c", "cat > /dev/tcp/127.0.0.1/5140"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It may be closed before the line is written.
        drop(peer.stdin.take().unwrap().write_all(line.as_bytes()));
        drop(peer.wait());
        wait_counter(&home, "connections refused", 1);
        expect_runs(&home, 0);
    });
}

#[test]
fn a_source_that_floods_keeps_no_other_one_waiting() {
    isolated(|| {
        let net = Net::new();
        let home = home(&[
            "<location>unix:queue/flood.sock</location>",
            "<location>unix:queue/quiet.sock</location><location>logs/alerts/alerts.json</location>",
        ]);
        let pair = Pair::start(&net, &home);
        let floods: Vec<_> = (0..4)
            .map(|_| {
                let mut peer = UnixStream::connect(home.file("queue/flood.sock")).unwrap();
                std::thread::spawn(move || {
                    let block = Alert::sshd("203.0.113.9").rule("1").line().repeat(200);
                    let mut written: u64 = 0;
                    while peer.write_all(block.as_bytes()).is_ok() {
                        written += 200;
                    }
                    written
                })
            })
            .collect();
        wait_counter(&home, "alerts read", 5_000);
        let mut quiet = UnixStream::connect(home.file("queue/quiet.sock")).unwrap();
        for number in 1..=5 {
            let line = Alert::sshd(&format!("203.0.113.{number}")).line();
            quiet.write_all(line.as_bytes()).unwrap();
            home.append(
                Alert::sshd(&format!("198.51.100.{number}"))
                    .line()
                    .as_bytes(),
            );
        }
        let read = || counter(&home.ctl_json(&["status"]), "alerts read");
        let before = read();
        wait_for("what is quiet", SOON, || {
            let responses = home.responses();
            let sent = responses.iter().filter(|record| record["state"] == "sent");
            (sent.count() == 10).then_some(())
        });
        // The flood was on all the while, and still is.
        wait_counter(&home, "alerts read", before + 5_000);
        drop(pair);
        let written: u64 = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
        assert!(written > before);
    });
}
