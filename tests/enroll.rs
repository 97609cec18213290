//! `ripost-agentd enroll`, against a manager's real port whose answers the test
//! decides.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test starts programs and writes files of its own"
)]

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ripost::model::{AgentGroup, AgentId, AgentName, Pin};
use ripost::transport::Reception;
use ripost::transport::listener::{Desk, Listener, Running};
use ripost::transport::pki::{Authority, Credentials};
use ripost::wire::Denial;
use ripost::wire::enroll::{EnrollAnswer, EnrollRequest, Secret, Token, TokenId};
use tempfile::TempDir;

/// What a manager answers.
#[derive(Clone)]
enum Reply {
    /// Agent 007 web-7.
    LetIn,
    Deny(Denial),
}

/// The port of a manager, and the requests that came to it.
struct Manager {
    _folder: TempDir,
    running: Running,
    pin: Pin,
    asked: Receiver<EnrollRequest>,
}

impl Manager {
    fn start(reply: Reply) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(&folder.path().join("tls")).unwrap();
        let (enrollments, mut arriving) = tokio::sync::mpsc::channel(4);
        let (arrivals, _) = tokio::sync::mpsc::channel(1);
        let (reports, _) = tokio::sync::mpsc::channel(1);
        let desk = Desk {
            reception: Reception { arrivals, reports },
            enrollments,
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let running = Listener::bind(address)
            .unwrap()
            .start(&authority, desk)
            .unwrap();
        let pin = authority.pin();
        let (tell, asked) = channel();
        std::thread::spawn(move || {
            while let Some(enrollment) = arriving.blocking_recv() {
                let answer = answer(&reply, &authority, &enrollment.request);
                // The test or the host may have gone.
                let _ = tell.send(enrollment.request);
                let _ = enrollment.answer.send(answer);
            }
        });
        Self {
            _folder: folder,
            running,
            pin,
            asked,
        }
    }

    fn address(&self) -> String {
        self.running.address().to_string()
    }

    fn token(&self) -> String {
        token(self.pin).reveal()
    }

    /// The names under which hosts have asked so far.
    fn asked(&self) -> Vec<String> {
        let names = self.asked.try_iter();
        names.map(|request| request.name.to_string()).collect()
    }
}

fn token(pin: Pin) -> Token {
    Token {
        pin,
        id: TokenId::from_bytes([0x01; 8]),
        secret: Secret::from_bytes([0xfe; 16]),
    }
}

fn answer(reply: &Reply, authority: &Authority, request: &EnrollRequest) -> EnrollAnswer {
    let denial = match reply {
        Reply::Deny(denial) => *denial,
        Reply::LetIn => {
            let id = AgentId::parse("007").unwrap();
            let day = Duration::from_secs(86_400);
            let issued = authority.issue(&id, &request.key, day).unwrap();
            return EnrollAnswer::Enrolled {
                id,
                name: AgentName::parse("web-7").unwrap(),
                groups: vec![AgentGroup::parse("web").unwrap()],
                certificate: issued.pem,
                ca: authority.ca_pem().to_owned(),
            };
        }
    };
    EnrollAnswer::Denied {
        denial,
        text: "because \x1b[2J\n(so there)".to_owned(),
    }
}

/// A home of a host that is only an agent.
struct Home {
    _folder: TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home");
        let made = Command::new(env!("CARGO_BIN_EXE_ripostctl"))
            .args(["init", "--agent"])
            .arg(&path)
            .output();
        assert!(made.unwrap().status.success());
        Self {
            _folder: folder,
            path,
        }
    }

    fn file(&self, below: &str) -> PathBuf {
        self.path.join(below)
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.file("etc/agent.conf")).unwrap()
    }

    fn identity(&self) -> Option<Credentials> {
        Credentials::load(&self.file("etc/tls")).unwrap()
    }

    /// Enrolls with `manager`, with these words besides.
    fn enroll(&self, manager: &Manager, words: &[&str]) -> Output {
        let (address, token) = (manager.address(), manager.token());
        let mut all = vec!["enroll", "--manager", &address, "--token", &token];
        all.extend(words);
        agentd(&self.path, &all)
    }
}

fn agentd(home: &Path, words: &[&str]) -> Output {
    command(home, words).stdin(Stdio::null()).output().unwrap()
}

fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ripost-agentd"));
    command.env_remove("RIPOST_HOME");
    command.arg("--home").arg(home).args(words);
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_host_that_enrolls_has_an_identity_and_knows_its_manager() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    let before = home.config();
    let output = home.enroll(&manager, &["--name", "mine"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let address = manager.address();
    let said = format!("enrolled as agent 007 web-7 (groups: web) of {address}\nnext: start ");
    assert!(stdout(&output).starts_with(&said), "{}", stdout(&output));

    let request = manager.asked.try_recv().unwrap();
    let given = token(manager.pin);
    assert_eq!((request.token, request.secret), (given.id, given.secret));
    assert_eq!(request.name.as_str(), "mine");

    let identity = home.identity().unwrap();
    assert_eq!(identity.agent_id().to_string(), "007");
    assert_eq!(identity.pin(), manager.pin);
    assert_eq!(mode(&home.file("etc/tls")), 0o700);
    assert_eq!(mode(&home.file("etc/tls/agent.pem")), 0o600);

    let after = home.config();
    let (host, port) = address.split_once(':').unwrap();
    assert!(after.contains(host) && after.contains(port), "{after}");
    let kept: Vec<_> = after.lines().filter(|line| before.contains(line)).collect();
    assert!(kept.len() >= before.lines().count(), "{after}");
    assert_eq!(mode(&home.file("etc/agent.conf")), 0o640);
    let check = agentd(&home.path, &["-t"]);
    assert_eq!(code(&check), 0, "{}", stderr(&check));
}

#[test]
fn the_token_may_come_from_stdin_and_the_name_is_that_of_the_host() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    let address = manager.address();
    // Options of the program stand behind the word, too.
    let mut child = Command::new(env!("CARGO_BIN_EXE_ripost-agentd"))
        .args(["enroll", "--token", "-", "--manager", &address, "--home"])
        .arg(&home.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = format!("{}\nwhat follows is not read\n", manager.token());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(line.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let names = manager.asked();
    let [name] = &names[..] else {
        panic!("{names:?}");
    };
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    assert!(name.ends_with(&*host), "{name} {host}");
}

#[test]
fn an_identity_is_replaced_only_by_force() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    assert_eq!(code(&home.enroll(&manager, &["--name", "a"])), 0);
    let first = home.identity().unwrap().fingerprint();
    let config = home.config();

    let output = home.enroll(&manager, &["--name", "b"]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    for part in ["agent 007 already", "token --id 007", "--force"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert_eq!(home.identity().unwrap().fingerprint(), first);

    // Another address of the same manager, beside the one that was set, and
    // alone: the address of whoever has enrolled it, or one set by hand.
    let server = "<server><address>192.0.2.9</address></server>";
    let more = config.replace("</server>", &format!("</server>{server}"));
    let alone = format!("<ripost_config><client>{server}</client></ripost_config>");
    for named in [more, alone] {
        std::fs::write(home.file("etc/agent.conf"), &named).unwrap();
        let output = home.enroll(&manager, &["--name", "b"]);
        assert_eq!((code(&output), stdout(&output)), (1, ""), "{named}");
        assert!(stderr(&output).contains("--force: it replaces"));
        assert_eq!(home.config(), named);
    }
    std::fs::write(home.file("etc/agent.conf"), &config).unwrap();

    let other = Manager::start(Reply::LetIn);
    let output = home.enroll(&other, &["--name", "c"]);
    let text = stderr(&output);
    assert!(text.contains("of another manager"), "{text}");
    assert!(!text.contains("--id"), "an id of that manager: {text}");
    assert_eq!(code(&output), 1);
    assert_eq!(home.config(), config);

    let output = home.enroll(&manager, &["--name", "d", "--force"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_ne!(home.identity().unwrap().fingerprint(), first);
    assert_eq!(home.config(), config);
    assert_eq!(manager.asked(), ["a", "d"]);
    assert!(other.asked().is_empty());
}

#[test]
fn other_managers_are_not_removed_in_silence_and_the_same_one_not_at_all() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    let server = |address: &str| {
        let server = ripost::model::ServerAddress::parse(address).unwrap();
        let (host, port) = (server.host, server.port);
        format!("<server><address>{host}</address><port>{port}</port></server>")
    };
    let others = [server("192.0.2.8"), server("[2001:db8::9]:99")].concat();
    let config = |servers: &str| {
        let text = format!("<ripost_config><client>{servers}</client></ripost_config>");
        std::fs::write(home.file("etc/agent.conf"), &text).unwrap();
        text
    };
    config(&others);
    let output = home.enroll(&manager, &["--name", "a"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("enrolled as agent 007"));
    let gone = "does not name 192.0.2.8:1517, [2001:db8::9]:99 any more\n";
    assert!(stderr(&output).contains(gone), "{}", stderr(&output));
    assert!(!home.config().contains("192.0.2.8"));

    let same = config(&format!("{others}{}", server(&manager.address())));
    let output = home.enroll(&manager, &["--name", "b", "--force"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    assert_eq!(home.config(), same);
}

#[test]
fn an_identity_that_cannot_be_read_is_told_and_replaced_only_by_force() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    let file = home.file("etc/tls/agent.pem");
    std::fs::write(&file, "x").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let output = home.enroll(&manager, &["--name", "a"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
    let output = home.enroll(&manager, &["--name", "b", "--force"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(manager.asked(), ["b"]);
}

#[test]
fn what_replaces_an_open_key_or_a_link_is_for_its_owner_alone() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    let (file, other) = (home.file("etc/tls/agent.pem"), home.file("other"));
    std::fs::write(&file, "x").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let output = home.enroll(&manager, &["--name", "a", "--force"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(mode(&file), 0o600);

    std::fs::rename(&file, &other).unwrap();
    std::os::unix::fs::symlink(&other, &file).unwrap();
    let before = std::fs::read(&other).unwrap();
    let output = home.enroll(&manager, &["--name", "b", "--force"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(file.symlink_metadata().unwrap().is_file());
    assert_eq!(mode(&file), 0o600);
    assert_eq!(std::fs::read(&other).unwrap(), before);
    assert!(home.identity().is_some());
}

#[test]
fn an_enrollment_that_ended_half_way_is_ended_by_the_same_command() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    // Longer than a file may become below, but the identity is not.
    let long = format!(
        "<ripost_config>\n<!-- {} -->\n</ripost_config>\n",
        "x".repeat(20_000)
    );
    std::fs::write(home.file("etc/agent.conf"), &long).unwrap();
    let (address, token) = (manager.address(), manager.token());
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_ripost-agentd"))
        .args(["enroll", "--manager", &address, "--token", &token])
        .args(["--name", "a", "--home"])
        .arg(&home.path)
        .output()
        .unwrap();
    assert_ne!(code(&output), 0);
    let said = "agent 007 now, and only this is left";
    assert!(stderr(&output).contains(said), "{}", stderr(&output));
    assert_eq!(home.config(), long);
    let identity = home.identity().unwrap().fingerprint();

    let output = home.enroll(&manager, &["--name", "a"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    assert!(stdout(&output).contains("the token was not used"));
    assert!(home.config().contains("127.0.0.1"));
    assert_eq!(home.identity().unwrap().fingerprint(), identity);
    assert_eq!(manager.asked(), ["a"], "the manager was asked once");
}

#[test]
fn what_the_manager_denies_leaves_the_host_as_it_was() {
    for (denial, wanted) in [
        (Denial::NotPermitted, 77),
        (Denial::Token, 77),
        (Denial::Version, 69),
        (Denial::Busy, 75),
    ] {
        let manager = Manager::start(Reply::Deny(denial));
        let home = Home::new();
        let before = home.config();
        let output = home.enroll(&manager, &["--name", "a"]);
        assert_eq!((code(&output), stdout(&output)), (wanted, ""), "{denial:?}");
        let text = stderr(&output);
        assert!(text.contains("because \\u{1b}[2J\n(so there)"), "{text:?}");
        assert!(home.identity().is_none());
        assert_eq!(home.config(), before);
    }
}

#[test]
fn a_manager_of_another_ca_is_denied_and_learns_no_secret() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    let other = token(Pin::from_bytes([7; 32])).reveal();
    let address = manager.address();
    let words = [
        "enroll",
        "--manager",
        &address,
        "--token",
        &other,
        "--name",
        "a",
    ];
    let output = agentd(&home.path, &words);
    assert_eq!(code(&output), 77, "{}", stderr(&output));
    assert!(stderr(&output).contains("the CA that the token is from"));
    assert!(manager.asked().is_empty());
    assert!(home.identity().is_none());
}

#[test]
fn a_manager_that_is_not_there_is_69() {
    let home = Home::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    let token = token(Pin::from_bytes([7; 32])).reveal();
    let words = [
        "enroll",
        "--manager",
        &address,
        "--token",
        &token,
        "--name",
        "a",
    ];
    let output = agentd(&home.path, &words);
    assert_eq!((code(&output), stdout(&output)), (69, ""));
    let lines: Vec<_> = stderr(&output).lines().collect();
    // The cause stands with the problem, the hint behind both.
    assert!(
        lines[0].contains(&address) && lines[0].contains("refused"),
        "{lines:?}"
    );
    assert!(lines[1].ends_with("let it through?)"), "{lines:?}");
    assert!(home.identity().is_none());
}

#[test]
fn a_host_that_is_not_fit_is_refused_before_the_token_is_used() {
    let manager = Manager::start(Reply::LetIn);
    type Spoil = fn(&Home);
    let unfit: [(&str, Spoil, i32, &str); 4] = [
        (
            "a manager's home",
            |home| std::fs::write(home.file("etc/manager.conf"), "").unwrap(),
            1,
            "init --agent",
        ),
        (
            "a configuration with errors",
            |home| std::fs::write(home.file("etc/agent.conf"), "<ripost_config>").unwrap(),
            78,
            "agent.conf:1:",
        ),
        (
            "no configuration",
            |home| std::fs::remove_file(home.file("etc/agent.conf")).unwrap(),
            78,
            "there is no such file",
        ),
        (
            "no home",
            |home| std::fs::remove_dir_all(&home.path).unwrap(),
            78,
            "ripostctl init --agent",
        ),
    ];
    for (case, spoil, wanted, text) in unfit {
        let home = Home::new();
        spoil(&home);
        let output = home.enroll(&manager, &["--name", "a"]);
        assert_eq!((code(&output), stdout(&output)), (wanted, ""), "{case}");
        assert!(
            stderr(&output).contains(text),
            "{case}: {}",
            stderr(&output)
        );
    }
    assert!(manager.asked().is_empty());
}

#[test]
fn a_placeholder_for_the_manager_is_no_error_but_anything_else_is() {
    let manager = Manager::start(Reply::LetIn);
    let server = "<client><server><address>MANAGER_IP</address></server></client>";
    for (wrong, wanted) in [("", 0), ("<sever/>", 78)] {
        let home = Home::new();
        let text = format!("<ossec_config>{server}<global>{wrong}</global></ossec_config>\n");
        std::fs::write(home.file("etc/agent.conf"), &text).unwrap();
        let output = home.enroll(&manager, &["--name", "a"]);
        assert_eq!(code(&output), wanted, "{}", stderr(&output));
        assert_eq!(home.identity().is_some(), wanted == 0);
        assert_eq!(home.config() == text, wanted != 0);
        assert_eq!(manager.asked().len(), usize::from(wanted == 0));
    }
}

/// Runs `enroll` where `below` of the home is mounted read-only; None if the
/// system does not let this process make a namespace.
fn enroll_read_only(home: &Home, manager: &Manager, below: &str) -> Option<Output> {
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" || exit 99
                  shift; exec \"$@\"";
    let (address, token) = (manager.address(), manager.token());
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(home.file(below))
        .arg(env!("CARGO_BIN_EXE_ripost-agentd"))
        .args(["enroll", "--manager", &address, "--token", &token])
        .args(["--name", "a", "--home"])
        .arg(&home.path)
        .output()
        .ok()?;
    let can = output.status.code() != Some(99) && !stderr(&output).starts_with("unshare:");
    can.then_some(output)
}

#[test]
fn a_host_that_could_not_store_its_certificate_does_not_ask_for_one() {
    let manager = Manager::start(Reply::LetIn);
    for below in ["etc/tls", "etc"] {
        let home = Home::new();
        let Some(output) = enroll_read_only(&home, &manager, below) else {
            assert!(std::env::var_os("RIPOST_REQUIRE_NETNS").is_none());
            eprintln!("SKIPPED: no namespaces here");
            return;
        };
        let text = stderr(&output);
        assert_eq!((code(&output), stdout(&output)), (77, ""), "{text}");
        assert!(text.contains("Read-only"), "{text}");
        assert!(text.contains("must be writable"), "{text}");
        assert!(manager.asked().is_empty(), "the token is used up");
        assert_eq!(std::fs::read_dir(home.file("etc/tls")).unwrap().count(), 0);
    }
}

#[test]
fn a_link_to_the_configuration_stays_one() {
    let manager = Manager::start(Reply::LetIn);
    let home = Home::new();
    let (link, real) = (home.file("etc/agent.conf"), home.file("etc/real.conf"));
    std::fs::rename(&link, &real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(code(&home.enroll(&manager, &["--name", "a"])), 0);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(home.config().contains("127.0.0.1"));
}

#[test]
fn a_wrong_command_line_is_64_and_repeats_no_secret() {
    let home = Home::new();
    let secret = token(Pin::from_bytes([7; 32])).reveal();
    let cut = &secret[..secret.len() - 1];
    for (words, text) in [
        (&["enroll"][..], "--manager"),
        (&["enroll", "--manager", "m"], "--token"),
        (
            &["enroll", "--manager", "a b", "--token", &secret],
            "HOST:PORT",
        ),
        (
            &["enroll", "--manager", "m", "--token", cut],
            "no enrollment token",
        ),
        (
            &["enroll", "--manager", "m", "--token", "-"],
            "no enrollment token",
        ),
        (
            &[
                "enroll",
                "--manager",
                "m",
                "--token",
                &secret,
                "--name",
                "7x",
            ],
            "starts with '7'",
        ),
        (
            &["-t", "enroll", "--manager", "m", "--token", &secret],
            "-t",
        ),
        (&["enrol"], "'enroll'"),
    ] {
        let output = agentd(&home.path, words);
        assert_eq!((code(&output), stdout(&output)), (64, ""), "{words:?}");
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
        assert!(!stderr(&output).contains("fefe"), "{}", stderr(&output));
    }
    let help = agentd(&home.path, &["enroll", "--help"]);
    assert_eq!((code(&help), stderr(&help)), (0, ""));
    for part in ["Make this host an agent", "--token -"] {
        assert!(stdout(&help).contains(part), "{}", stdout(&help));
    }
    let manager = Command::new(env!("CARGO_BIN_EXE_ripost-manager"))
        .arg("enroll")
        .output()
        .unwrap();
    assert_eq!(code(&manager), 64);
}
