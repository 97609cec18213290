//! A manager that may open no more files.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::scene::{Config, Fleet, LISTEN, SOON};
use crate::support::isolation::isolated;
use crate::support::wait_for;

/// How long it is starved.
const SPAN: Duration = Duration::from_secs(2);

/// What a listener that tries without a pause takes of a processor meanwhile is
/// several times as much.
const MUCH: Duration = Duration::from_millis(400);

/// Lets the manager have files with numbers below this one, or as many as it
/// could have at first.
fn allow(manager: u32, files: Option<u64>) {
    let pid = Pid::from_raw(manager.cast_signed()).unwrap();
    // The manager has inherited it from the test.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = files.or(maximum);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// The number that the next file of the manager gets.
fn next_file(manager: u32) -> u64 {
    let open: Vec<u64> = fs::read_dir(format!("/proc/{manager}/fd"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    (0..).find(|number| !open.contains(number)).unwrap()
}

/// proc_pid_stat(5), fields 14 and 15, in ticks of 10 ms.
fn worked(manager: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{manager}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|f| f.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Whether nothing is heard on a connection for so long, not even its end.
fn is_ignored(stream: &mut TcpStream, span: Duration) -> bool {
    stream.set_read_timeout(Some(span)).unwrap();
    let heard = stream.read(&mut [0; 64]).map_err(|error| error.kind());
    matches!(heard, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn a_manager_without_free_descriptors_waits_quietly_and_goes_on_when_there_are_some() {
    isolated(|| {
        let mut fleet = Fleet::of_one(&Config::default());
        fleet.wait_all_connected();
        let token = fleet.token(&["--name", "web-1"]);
        let manager = fleet.manager.as_ref().unwrap().id();
        // What is no handshake is refused at once by whoever takes it in. A file
        // that the manager has just closed is one that it has left.
        let mut stream = wait_for("nobody is taken in", SOON, || {
            allow(manager, Some(next_file(manager)));
            let mut stream = TcpStream::connect(LISTEN).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            is_ignored(&mut stream, SPAN / 4).then_some(stream)
        });
        let before = worked(manager);
        assert!(is_ignored(&mut stream, SPAN), "it was taken in");
        let worked = worked(manager) - before;
        assert!(worked < MUCH, "{worked:?} of work in {SPAN:?}");

        allow(manager, None);
        assert!(
            !is_ignored(&mut stream, SOON),
            "nobody is taken in any more"
        );
        fleet.join("web-1", &token);
        fleet.wait_all_connected();
    });
}
