//! `cloudflare-ban`, against a model of Cloudflare's API that is as particular
//! as the real one where that is documented, and lies where a test wants it to.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use crate::run::{Home, Ran, answer, direct, feed};
use crate::server::{Asked, Reply, Server, json as says_json, says};
use crate::{keep, line};

const NAME: &str = "cloudflare-ban";
const TOKEN: &str = "t0ken_of-a.test";
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const ATTACKER: &str = "203.0.113.9";

#[derive(Clone, Debug)]
struct Rule {
    id: String,
    mode: String,
    value: String,
    notes: String,
}

impl Rule {
    fn json(&self) -> Value {
        let target = match self.value.parse() {
            Ok(IpAddr::V4(_)) => "ip",
            Ok(IpAddr::V6(_)) => "ip6",
            Err(_) => "ip_range",
        };
        json!({
            "id": self.id, "mode": self.mode, "notes": self.notes,
            "configuration": {"target": target, "value": self.value},
        })
    }
}

/// What the model does otherwise than it should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    None,
    /// A search by value finds IPv4 only.
    SearchesIpv4Only,
    /// It says that it has made a rule and keeps none.
    ForgetsNew,
    /// It says that it has taken a rule away and has not.
    KeepsOld,
    /// A rule is made as one that only challenges.
    Softens,
    /// Says that there is a rule, and shows none.
    Hides,
}

struct Model {
    rules: Vec<Rule>,
    made: usize,
    flaw: Flaw,
}

impl Model {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return error(403, 10_000, "Authentication error");
        }
        let base = format!("/client/v4/zones/{ZONE}/firewall/access_rules/rules");
        let Some(below) = asked.target.strip_prefix(&base) else {
            return error(404, 7_003, "Could not route to it");
        };
        match (asked.method.as_str(), below.strip_prefix('/')) {
            ("GET", None) => self.search(below.strip_prefix('?').unwrap()),
            ("GET", Some(id)) => match self.rules.iter().find(|rule| rule.id == id) {
                Some(rule) => result(&rule.json()),
                None => error(404, 10_001, "firewallaccessrules.api.not_found"),
            },
            ("POST", None) => self.create(&asked.json()),
            ("DELETE", Some(id)) => {
                if self.flaw != Flaw::KeepsOld {
                    self.rules.retain(|rule| rule.id != id);
                }
                result(&json!({"id": id}))
            }
            _ => error(405, 10_405, "Method not allowed"),
        }
    }

    fn create(&mut self, rule: &Value) -> Reply {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let value = normal(&text(&rule["configuration"]["value"]));
        if self.flaw == Flaw::Hides || self.rules.iter().any(|known| known.value == value) {
            return error(400, 10_009, "firewallaccessrules.api.duplicate_of_existing");
        }
        self.made += 1;
        let mode = match self.flaw {
            Flaw::Softens => "managed_challenge".to_owned(),
            _ => text(&rule["mode"]),
        };
        let rule = Rule {
            id: format!("{:032x}", self.made),
            mode,
            value,
            notes: text(&rule["notes"]),
        };
        if self.flaw != Flaw::ForgetsNew {
            self.rules.push(rule.clone());
        }
        result(&rule.json())
    }

    fn search(&self, query: &str) -> Reply {
        let wanted = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(known, _)| *known == name);
            found.map(|(_, value)| value.replace("%20", " "))
        };
        let (value, notes) = (wanted("configuration.value"), wanted("notes"));
        let ipv4_only = self.flaw == Flaw::SearchesIpv4Only;
        let found: Vec<_> = self
            .rules
            .iter()
            .filter(|rule| {
                let is_seen = !ipv4_only || !rule.value.contains(':');
                value
                    .as_ref()
                    .is_none_or(|value| rule.value == *value && is_seen)
            })
            // As a part, without regard to case.
            .filter(|rule| {
                let found =
                    |notes: &String| rule.notes.to_lowercase().contains(&notes.to_lowercase());
                notes.as_ref().is_none_or(found)
            })
            .map(Rule::json)
            .collect();
        result(&Value::Array(found))
    }
}

/// As the API spells it, whoever wrote it how.
fn normal(value: &str) -> String {
    let network: IpNetwork = value.parse().unwrap();
    let address = match network.network() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address
            .segments()
            .map(|group| format!("{group:04x}"))
            .join(":"),
    };
    match value.split_once('/') {
        Some((_, prefix)) => format!("{address}/{prefix}"),
        None => address,
    }
}

fn result(result: &Value) -> Reply {
    says_json(
        200,
        &json!({"success": true, "errors": [], "messages": [], "result": result}),
    )
}

fn error(status: u16, code: u32, message: &str) -> Reply {
    let errors = json!([{"code": code, "message": message}]);
    says_json(
        status,
        &json!({"success": false, "errors": errors, "messages": [], "result": {}}),
    )
}

/// The API, and a home that may use it.
struct Scene {
    home: Home,
    server: Server,
    model: Arc<Mutex<Model>>,
}

impl Scene {
    fn new() -> Self {
        let model = Arc::new(Mutex::new(Model {
            rules: Vec::new(),
            made: 0,
            flaw: Flaw::None,
        }));
        let answering = model.clone();
        let server = Server::start(move |asked| answering.lock().unwrap().answer(asked));
        let home = with_token();
        Self {
            home,
            server,
            model,
        }
    }

    fn with(flaw: Flaw) -> Self {
        let scene = Self::new();
        scene.model().flaw = flaw;
        scene
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    fn rules(&self) -> Vec<Rule> {
        self.model().rules.clone()
    }

    /// A rule that somebody else made.
    fn others(&self, mode: &str, value: &str, notes: &str) {
        let mut model = self.model();
        model.made += 1;
        let id = format!("{:032x}", model.made);
        let (mode, value, notes) = (mode.to_owned(), normal(value), notes.to_owned());
        model.rules.push(Rule {
            id,
            mode,
            value,
            notes,
        });
    }

    fn add(&self, srcip: &str) -> Ran {
        order(&self.home, &self.server, "add", srcip)
    }

    fn delete(&self, srcip: &str) -> Ran {
        order(&self.home, &self.server, "delete", srcip)
    }
}

fn with_token() -> Home {
    let home = Home::new();
    keep(&home, "etc/cloudflare-token", &format!("{TOKEN}\n"), 0o600);
    home
}

fn order(home: &Home, server: &Server, command: &str, srcip: &str) -> Ran {
    let api = format!("http://{}/client/v4", server.address());
    let words = [
        "--token-file",
        "etc/cloudflare-token",
        "--zone",
        ZONE,
        "--api",
        &api,
    ];
    run(home, &words, command, srcip)
}

fn run(home: &Home, words: &[&str], command: &str, srcip: &str) -> Ran {
    let mut input = line(
        command,
        words,
        &format!(r#"{{"data":{{"srcip":"{srcip}"}}}}"#),
    );
    if command == "add" {
        input += &answer("continue", "{}");
    }
    feed(direct(home, NAME), input.as_bytes())
}

#[track_caller]
fn assert_ended(ran: &Ran, status: &str, wanted: &str) {
    let code = match status {
        "failed" => 1,
        "refused" => 255,
        _ => 0,
    };
    assert_eq!(
        (ran.status().as_str(), ran.code),
        (status, Some(code)),
        "{ran:?}"
    );
    let result = ran.result();
    let detail = result["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(wanted), "{ran:?}");
    assert!(!format!("{ran:?}").contains(TOKEN), "{ran:?}");
}

#[test]
fn an_address_is_blocked_and_let_in_again() {
    let scene = Scene::new();
    let ran = scene.add(ATTACKER);
    assert_ended(&ran, "applied", "");
    assert!(
        ran.stdout[0].contains(r#""keys":["203.0.113.9"]"#),
        "{ran:?}"
    );

    let [rule] = scene.rules().try_into().unwrap();
    assert_eq!(
        (rule.mode.as_str(), rule.value.as_str()),
        ("block", ATTACKER)
    );
    assert!(rule.notes.starts_with("ripost cloudflare-ban "));
    assert!(rule.notes.ends_with(" 203.0.113.9"), "{}", rule.notes);
    let asked = scene.server.asked();
    let configuration = json!({"target": "ip", "value": ATTACKER});
    assert_eq!(asked[0].json()["configuration"], configuration);
    assert_eq!(
        asked.last().unwrap().method,
        "GET",
        "the effect was looked up"
    );

    assert_ended(&scene.delete(ATTACKER), "reverted", "");
    assert!(scene.rules().is_empty());
    assert_ended(&scene.delete(ATTACKER), "absent", "");
}

#[test]
fn adding_twice_is_adding_once() {
    let scene = Scene::new();
    scene.add(ATTACKER);
    assert_ended(&scene.add(ATTACKER), "applied", "was in force already");
    assert_eq!(scene.rules().len(), 1);
    // One that the API has taken twice all the same.
    let ours = scene.rules().remove(0);
    scene.others("block", ATTACKER, &ours.notes);
    assert_ended(&scene.delete(ATTACKER), "reverted", "");
    assert!(scene.rules().is_empty());
}

#[test]
fn a_rule_of_somebody_else_stays_as_it_is() {
    for (mode, notes, status) in [
        ("block", "from the office", "already"),
        ("block", "", "already"),
        ("managed_challenge", "robots", "already"),
        ("whitelist", "our monitoring", "refused"),
    ] {
        let scene = Scene::new();
        // Makes the home one that has rules at all.
        scene.add("198.51.100.1");
        scene.others(mode, ATTACKER, notes);
        let ran = scene.add(ATTACKER);
        assert_ended(&ran, status, &format!("mode {mode}, notes \"{notes}\""));
        assert_ended(&scene.delete(ATTACKER), "absent", "");
        let kept = scene.rules();
        assert_eq!((kept.len(), kept[1].notes.as_str()), (2, notes));
    }
}

#[test]
fn the_end_of_one_homes_block_is_not_the_end_of_anothers() {
    let scene = Scene::new();
    let other = with_token();
    scene.add(ATTACKER);
    let ran = order(&other, &scene.server, "add", ATTACKER);
    assert_ended(&ran, "already", "without our mark");
    // It has made no rule, and one elsewhere.
    assert_ended(
        &order(&other, &scene.server, "delete", ATTACKER),
        "absent",
        "",
    );
    order(&other, &scene.server, "add", "203.0.113.90");
    assert_ended(
        &order(&other, &scene.server, "delete", ATTACKER),
        "absent",
        "",
    );
    assert_eq!(scene.rules().len(), 2);
    // The beginning of an address is another address.
    assert_ended(&scene.delete("203.0.113.90"), "absent", "");
    assert_ended(&scene.delete(ATTACKER), "reverted", "");
    assert_eq!(scene.rules().len(), 1);
}

#[test]
fn a_home_that_never_made_a_rule_asks_nobody_for_one() {
    let scene = Scene::new();
    assert_ended(&scene.delete(ATTACKER), "absent", "");
    assert_eq!(scene.server.connections(), 0);
}

#[test]
fn a_home_whose_number_is_lost_says_so() {
    let scene = Scene::new();
    scene.add(ATTACKER);
    keep(&scene.home, "queue/cloudflare-ban.home", "garbage\n", 0o600);
    assert_ended(
        &scene.delete(ATTACKER),
        "failed",
        "it is not 16 hexadecimal digits",
    );
    assert_ended(
        &scene.add("203.0.113.10"),
        "failed",
        "it is not 16 hexadecimal digits",
    );
    assert_eq!(scene.rules().len(), 1);
}

#[test]
fn networks_and_ipv6_are_found_again_however_the_api_spells_them() {
    for flaw in [Flaw::None, Flaw::SearchesIpv4Only] {
        let scene = Scene::with(flaw);
        for (srcip, kind, value) in [
            ("203.0.113.77/24", "ip_range", "203.0.113.0/24"),
            ("198.51.0.0/16", "ip_range", "198.51.0.0/16"),
            (
                "2001:db8::a:1",
                "ip6",
                "2001:0db8:0000:0000:0000:0000:000a:0001",
            ),
            (
                "2001:db8:1:2::/64",
                "ip_range",
                "2001:0db8:0001:0002:0000:0000:0000:0000/64",
            ),
        ] {
            assert_ended(&scene.add(srcip), "applied", "");
            assert_eq!(scene.rules()[0].value, value);
            assert_eq!(scene.rules()[0].json()["configuration"]["target"], kind);
            assert_ended(&scene.add(srcip), "applied", "was in force already");
            assert_ended(&scene.delete(srcip), "reverted", "");
            assert!(scene.rules().is_empty(), "{flaw:?} {srcip}");
        }
    }
}

#[test]
fn what_cloudflare_cannot_block_or_nobody_may_is_refused_without_asking() {
    let scene = Scene::new();
    for (srcip, wanted) in [
        (
            "203.0.113.0/25",
            "Cloudflare blocks networks of /16 and /24",
        ),
        ("10.0.0.0/8", "Cloudflare blocks networks of /16 and /24"),
        ("2001:db8::/56", "Cloudflare blocks networks of /16 and /24"),
        ("127.0.0.1", "a loopback address"),
    ] {
        assert_ended(&scene.add(srcip), "refused", wanted);
    }
    let token = ["--token-file", "etc/cloudflare-token"];
    let zone = ["--zone", ZONE];
    for (words, wanted) in [
        (token.to_vec(), "one of --zone and --account is missing"),
        (
            [token, zone, ["--account", ZONE]].concat(),
            "exclude each other",
        ),
    ] {
        let ran = run(&scene.home, &words, "add", ATTACKER);
        assert_ended(&ran, "refused", wanted);
    }
    for words in [
        zone.to_vec(),
        [token, ["--zone", "../../user"]].concat(),
        [token, zone, ["--api", "http://api.example"]].concat(),
        [["--token-file", "etc/tls/../../secret"], zone].concat(),
    ] {
        let ran = run(&scene.home, &words, "add", ATTACKER);
        assert_eq!((ran.code, ran.stdout.len()), (Some(255), 0), "{ran:?}");
    }
    assert_eq!(scene.server.connections(), 0);
}

#[test]
fn a_token_that_others_can_read_or_that_is_wrong_is_of_no_use() {
    let scene = Scene::new();
    keep(&scene.home, "etc/cloudflare-token", TOKEN, 0o640);
    assert_ended(
        &scene.add(ATTACKER),
        "failed",
        "others can read or change it",
    );
    assert_eq!(scene.server.connections(), 0);
    keep(&scene.home, "etc/cloudflare-token", "another", 0o600);
    let ran = scene.add(ATTACKER);
    assert_ended(
        &ran,
        "failed",
        "it answered 403 Authentication error (10000)",
    );
    assert!(ran.stderr.contains("Firewall Services: Edit"), "{ran:?}");
    assert!(scene.rules().is_empty());
}

#[test]
fn an_account_has_rules_of_its_own() {
    let server = Server::start(|_| error(404, 7_003, "Could not route to it"));
    let api = format!("http://{}/client/v4/", server.address());
    let words = [
        "--token-file",
        "etc/cloudflare-token",
        "--account",
        ZONE,
        "--api",
        &api,
    ];
    let ran = run(&with_token(), &words, "add", ATTACKER);
    assert_ended(&ran, "failed", "it answered 404");
    let wanted = format!("/client/v4/accounts/{ZONE}/firewall/access_rules/rules");
    assert_eq!(server.asked()[0].target, wanted);
}

#[test]
fn what_the_api_says_is_looked_up() {
    for (flaw, wanted) in [
        (
            Flaw::ForgetsNew,
            "find the rule for 203.0.113.9 that was just made",
        ),
        (
            Flaw::Softens,
            "find the rule for 203.0.113.9 that was just made",
        ),
        (
            Flaw::Hides,
            "the API says that there is one, and shows none",
        ),
    ] {
        let scene = Scene::with(flaw);
        assert_ended(&scene.add(ATTACKER), "failed", wanted);
    }
    // Ours, which somebody has made softer: that is up to them.
    let scene = Scene::with(Flaw::Softens);
    scene.add(ATTACKER);
    assert_ended(
        &scene.add(ATTACKER),
        "already",
        "with our mark, changed since",
    );

    let scene = Scene::new();
    scene.add(ATTACKER);
    scene.model().flaw = Flaw::KeepsOld;
    assert_ended(&scene.delete(ATTACKER), "failed", "it is still there");
}

#[test]
fn a_service_that_is_no_such_api_is_not_taken_for_one() {
    let made = |id: &str| {
        let rule = json!({"id": id, "mode": "block", "notes": "", "configuration": {}});
        result(&rule)
    };
    for (reply, wanted) in [
        (
            says(200, "<html>Welcome</html>"),
            "not one of Cloudflare's API",
        ),
        (says(200, "{}"), "not one of Cloudflare's API"),
        (result(&Value::Null), "not one of Cloudflare's API"),
        (made("../../../user/tokens"), "not one of Cloudflare's API"),
        (
            says(502, "<html>\u{1b}[2J"),
            r"it answered 502 <html>\u{1b}[2J",
        ),
        (error(500, 1, "no"), "it answered 500 no (1)"),
        (Reply::Header(302, "Location: /x"), "it answered 302"),
        (Reply::Endless(200), "it is longer than"),
        (Reply::Breaks, "reach http://127.0.0.1"),
        (Reply::Closes, "reach http://127.0.0.1"),
    ] {
        let shown = format!("{reply:?}");
        let server = Server::start(move |_| reply.clone());
        let ran = order(&with_token(), &server, "add", ATTACKER);
        assert_ended(&ran, "failed", wanted);
        assert_eq!(server.asked().len(), 1, "{shown}");
    }
}

#[test]
fn a_limit_of_the_api_is_waited_for_once() {
    let scene = Scene::new();
    let model = scene.model.clone();
    let mut calls = 0;
    let server = Server::start(move |asked| {
        calls += 1;
        match calls {
            1 => Reply::Header(429, "Retry-After: 0"),
            _ => model.lock().unwrap().answer(asked),
        }
    });
    assert_ended(&order(&scene.home, &server, "add", ATTACKER), "applied", "");
    assert_eq!(scene.rules().len(), 1);
}
