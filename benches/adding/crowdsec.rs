//! CrowdSec's firewall bouncer with nftables, fed by a local API that knows one
//! answer: from the decisions handed over to the last one in its set.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::measured::programs::children_cpu;
use super::support::isolation::folder;
use super::{Missing, Row, Took, clean, comes_true, exists, measured, printed};

const PROGRAM: &str = "crowdsec-firewall-bouncer";

const PATIENCE: Duration = Duration::from_secs(90);

/// When the decisions were asked for.
static ASKED: OnceLock<Instant> = OnceLock::new();

pub fn measure(count: u32) -> Row {
    if !exists(PROGRAM) {
        return Err(Missing::Package(PROGRAM));
    }
    clean();
    let folder = folder();
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = folder.path().join("bouncer.yaml");
    fs::write(&file, configuration(&api)).unwrap();
    let decisions = decisions(count);
    thread::spawn(move || serve(&api, &decisions));
    let before = children_cpu();
    let said = folder.path().join("said");
    let output = fs::File::create(&said).unwrap();
    let mut bouncer = Command::new(PROGRAM)
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let all = usize::try_from(count).unwrap();
    let is_done = comes_true(PATIENCE, || ASKED.get().is_some() && in_kernel() >= all);
    let wall = ASKED.get().map(Instant::elapsed);
    bouncer.kill().unwrap();
    bouncer.wait().unwrap();
    clean();
    match wall.filter(|_| is_done) {
        Some(wall) => Ok(Took {
            count,
            wall,
            cpu: Some(children_cpu() - before),
        }),
        None => Err(Missing::Failed(
            fs::read_to_string(said)
                .unwrap()
                .lines()
                .next_back()
                .unwrap_or("it said nothing")
                .to_owned(),
        )),
    }
}

fn configuration(api: &TcpListener) -> String {
    let port = api.local_addr().unwrap().port();
    format!(
        "mode: nftables
pid_dir: /run/
update_frequency: 1s
daemonize: false
log_mode: stdout
log_level: info
api_url: http://127.0.0.1:{port}/
api_key: bench
disable_ipv6: true
deny_action: DROP
deny_log: false
supported_decisions_types: [ban]
blacklists_ipv4: crowdsec-blacklists
nftables:
  ipv4: {{enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}}
  ipv6: {{enabled: false}}
prometheus: {{enabled: false}}
"
    )
}

/// Its stream of decisions: the whole once, then never anything new.
fn serve(api: &TcpListener, decisions: &str) {
    for stream in api.incoming() {
        let mut stream = stream.unwrap();
        let request = head(&stream);
        let body = if request.contains("/v1/decisions/stream") && ASKED.set(Instant::now()).is_ok()
        {
            decisions
        } else {
            r#"{"new":null,"deleted":null}"#
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        // A bouncer that is killed does not wait for its answer.
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// The lines of a request, without the empty one at its end.
fn head(stream: &TcpStream) -> String {
    BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .fold(String::new(), |all, line| all + &line + "\n")
}

fn decisions(count: u32) -> String {
    let mut text = String::from(r#"{"deleted":null,"new":["#);
    for number in 0..count {
        let comma = if number == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"duration":"3h59m0s","id":{},"origin":"bench","scenario":"bench","scope":"Ip","type":"ban","value":"{}"}}"#,
            number + 1,
            measured::attacker(number)
        )
        .unwrap();
    }
    text + "]}"
}

fn in_kernel() -> usize {
    let set = printed("nft", &["-n", "list", "table", "ip", "crowdsec"]);
    set.matches("198.18.").count()
}
