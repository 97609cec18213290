//! fail2ban: its server with a log file of its own, from the lines that are
//! written to the last ban in the kernel.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::measured::programs::children_cpu;
use super::support::isolation::folder;
use super::{Missing, Row, Took, clean, comes_true, exists, measured, printed};

/// Where Debian keeps its actions.
const ACTIONS: &str = "/etc/fail2ban/action.d";

const PATIENCE: Duration = Duration::from_secs(90);

pub fn measure(action: &str, count: u32) -> Row {
    if !exists("fail2ban-server") || !Path::new(ACTIONS).is_dir() {
        return Err(Missing::Package("fail2ban"));
    }
    clean();
    let folder = folder();
    configure(folder.path(), action);
    let before = children_cpu();
    let mut server = start(folder.path());
    let row = ban(folder.path(), count);
    // Not asked to stop: it would lift all bans, one by one.
    server.kill().unwrap();
    server.wait().unwrap();
    clean();
    row.map(|wall| Took {
        count,
        wall,
        cpu: Some(children_cpu() - before),
    })
}

fn configure(folder: &Path, action: &str) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    fs::create_dir(folder.join("filter.d")).unwrap();
    symlink(ACTIONS, folder.join("action.d")).unwrap();
    write("log", "");
    write(
        "fail2ban.conf",
        "[DEFAULT]\nloglevel = INFO\ndbfile = :memory:\ndbpurgeage = 1d\n[Definition]\n",
    );
    let pattern = "[Definition]\nfailregex = ^ attack from <HOST>$\ndatepattern = ^EPOCH\n";
    write("filter.d/bench.conf", pattern);
    let log = folder.join("log");
    let jail = format!(
        "[bench]\nenabled = true\nfilter = bench\nlogpath = {}\nbackend = auto\n\
         maxretry = 1\nfindtime = 3600\nbantime = 3600\naction = {action}\n",
        log.display()
    );
    write("jail.conf", &jail);
}

fn start(folder: &Path) -> Child {
    let path = |name: &str| folder.join(name).into_os_string();
    Command::new("fail2ban-server")
        .args(["-f", "-x", "--logtarget", "STDOUT", "-c"])
        .arg(folder)
        .arg("-s")
        .arg(path("socket"))
        .arg("-p")
        .arg(path("pid"))
        .arg("start")
        .stdin(Stdio::null())
        .stdout(fs::File::create(folder.join("said")).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Writes the lines and waits for the last of the bans.
fn ban(folder: &Path, count: u32) -> Result<Duration, Missing> {
    let said = || fs::read_to_string(folder.join("said")).unwrap_or_default();
    let failed = || {
        let said = said();
        Missing::Failed(
            said.lines()
                .next_back()
                .unwrap_or("it said nothing")
                .to_owned(),
        )
    };
    // Only after the first ban is its table there.
    let mut log = OpenOptions::new()
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    if !comes_true(PATIENCE, || said().contains("Jail 'bench' started")) {
        return Err(failed());
    }
    log.write_all(lines(1_000_000..1_000_001).as_bytes())
        .unwrap();
    if !comes_true(PATIENCE, || in_kernel() == 1) {
        return Err(failed());
    }
    let began = Instant::now();
    log.write_all(lines(0..count).as_bytes()).unwrap();
    // Looking takes time of its own: not before all are told of.
    let all = usize::try_from(count).unwrap() + 1;
    let is_told = || said().matches("] Ban ").count() >= all;
    if comes_true(PATIENCE, || is_told() && in_kernel() >= all) {
        Ok(began.elapsed())
    } else {
        Err(failed())
    }
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    numbers.fold(String::new(), |mut text, number| {
        let address = match number {
            1_000_000 => "203.0.113.2".parse().unwrap(),
            number => measured::attacker(number),
        };
        writeln!(text, "{now} attack from {address}").unwrap();
        text
    })
}

/// Addresses that are in its set, or have a rule, of whichever action.
fn in_kernel() -> usize {
    let rules = printed("nft", &["-n", "list", "ruleset"]);
    let is_address = |word: &&str| word.starts_with("198.18.") || word.starts_with("203.0.113.");
    rules
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(is_address)
        .count()
}
