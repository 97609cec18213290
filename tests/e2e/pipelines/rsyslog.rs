//! rsyslog, from the alert file of somebody else to a dropped packet.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::page::Page;
use crate::support::alert::Alert;
use crate::support::daemon::Pair;
use crate::support::home::{Home, response};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(20);

/// Where the address of the server is in the page, and where it is here.
const SERVER: &str = "192.0.2.1";

/// A running rsyslogd. Dropped, it is killed.
struct Rsyslog {
    child: Child,
    said: PathBuf,
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "rsyslogd said:\n{}",
                fs::read_to_string(&self.said).unwrap()
            );
        }
    }
}

/// rsyslogd as it is installed, or as `scripts/setup test` has unpacked it
/// without installing it.
fn program() -> Option<(PathBuf, Option<PathBuf>)> {
    let installed = Path::new("/usr/sbin/rsyslogd");
    if installed.exists() {
        return Some((installed.to_owned(), None));
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/rsyslog");
    let unpacked = tools.join("usr/sbin/rsyslogd");
    unpacked.exists().then_some((unpacked, Some(tools)))
}

/// Starts rsyslogd with what the page shows, on whichever host `command` is; it
/// reads what the home has as alert file. None where there is no rsyslogd.
fn start(mut command: Command, home: &Home, config: &str) -> Option<Rsyslog> {
    let (program, unpacked) = program()?;
    let folder = home.beside().join("rsyslog");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("rsyslog.conf");
    let config = format!("global(workDirectory=\"{}\")\n{config}", folder.display());
    fs::write(&file, here(&config, home)).unwrap();
    let said = folder.join("stderr");
    command.arg(program).arg("-n").arg("-f").arg(&file);
    command.arg("-i").arg(folder.join("pid"));
    if let Some(tools) = unpacked {
        // The libraries lie in a folder named for the architecture.
        let libraries = fs::read_dir(tools.join("usr/lib")).unwrap();
        let library = libraries
            .map(|entry| entry.unwrap().path())
            .find(|path| path.join("rsyslog").is_dir())
            .unwrap();
        command.arg("-M").arg(library.join("rsyslog"));
        command.env("LD_LIBRARY_PATH", library);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    Some(Rsyslog { child, said })
}

/// What the page shows, with the paths of this home.
fn here(text: &str, home: &Home) -> String {
    let alerts = home.beside().join("wazuh-alerts.json");
    text.replace(
        "/var/ossec/logs/alerts/alerts.json",
        &alerts.display().to_string(),
    )
    .replace("/var/ripost", &home.path().display().to_string())
}

/// Appends to the file that stands for Wazuh's.
fn write(home: &Home, alerts: &[Alert]) {
    let path = home.beside().join("wazuh-alerts.json");
    let lines: String = alerts.iter().map(Alert::line).collect();
    let mut file = fs::File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

fn configure(home: &Home, source: &str) {
    home.configure(&[
        &here(source, home),
        &response("firewall-drop", "5763", "600"),
    ]);
}

fn skipped() {
    eprintln!("SKIPPED: there is no rsyslogd here (scripts/setup test fetches it)");
}

#[test]
fn datagrams_of_rsyslog_block_their_addresses() {
    isolated(|| {
        let (net, home, page) = (Net::new(), Home::new(), Page::new());
        let heading = "### Through a socket on the same host";
        configure(&home, &page.block(heading, "xml"));
        let _pair = Pair::start(&net, &home);
        let shown = page.block(heading, "rsyslog");
        let Some(_rsyslog) = start(net.on_server(), &home, &shown) else {
            return skipped();
        };
        write(
            &home,
            &[Alert::sshd("203.0.113.9"), Alert::web("203.0.113.10")],
        );
        net.wait_blocked("203.0.113.9", SOON);
        let applied = home.wait_state("203.0.113.9", "applied");
        assert_eq!(applied["verified"], true);
        assert!(net.arrives("203.0.113.10"), "no response has its rule");
    });
}

#[test]
fn lines_that_rsyslog_sends_over_the_network_survive_a_manager_that_is_away() {
    isolated(|| {
        let (net, home, page) = (Net::new(), Home::new(), Page::new());
        let heading = "### Over the network";
        // The other host is the one at the other end of the wire.
        let source = page
            .block(heading, "xml")
            .replace("192.0.2.7", "192.0.2.254");
        assert!(source.contains(&format!("tcp:{SERVER}:5140")));
        configure(&home, &source);
        let shown = page.block(heading, "rsyslog");
        // rsyslogd is there first, and keeps what it reads until it gets through.
        write(&home, &[]);
        let Some(_rsyslog) = start(Command::new("env"), &home, &shown) else {
            return skipped();
        };
        write(&home, &[Alert::sshd("203.0.113.9")]);
        let _pair = Pair::start(&net, &home);
        net.wait_blocked("203.0.113.9", SOON * 3);
        write(&home, &[Alert::sshd("203.0.113.10")]);
        net.wait_blocked("203.0.113.10", SOON);
        home.wait_state("203.0.113.10", "applied");
        // What rsyslog sends twice, because it had not got through, counts once.
        let before = home.states("203.0.113.9");
        assert_eq!(before, ["sent", "applied"]);
    });
}

#[test]
fn a_syslog_header_in_front_of_an_alert_does_no_harm() {
    isolated(|| {
        let (net, home, page) = (Net::new(), Home::new(), Page::new());
        let heading = "### Through a file of syslog lines";
        configure(&home, &page.block(heading, "xml"));
        let _pair = Pair::start(&net, &home);
        let socket = home.beside().join("log");
        let input = format!(
            "module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{}\")",
            socket.display()
        );
        let shown = page.block(heading, "rsyslog");
        let own = shown.replace("module(load=\"imuxsock\")", &input);
        assert_ne!(own, shown, "the machine's own /dev/log is left alone");
        let Some(_rsyslog) = start(net.on_server(), &home, &own) else {
            return skipped();
        };
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let line = Alert::sshd("203.0.113.9").line();
        let message = format!("<133>Nov 20 10:00:00 alerts: {}", line.trim_end());
        wait_for("rsyslogd takes a message", SOON, || {
            sender.send_to(message.as_bytes(), &socket).ok()
        });
        net.wait_blocked("203.0.113.9", SOON);
        home.wait_state("203.0.113.9", "applied");
    });
}
