//! What the sieve of a reader keeps back has no response: it never decides what
//! reading a line in full would not have decided. Lines of all kinds are judged
//! both ways, one after the other, so that what is known of one is used for the
//! next.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test writes files, and fails by panicking"
)]

#[expect(dead_code, reason = "what a fuzzer calls is fed by tests/seeds.rs")]
#[path = "../fuzz/src/reading.rs"]
mod both;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use both::{Both, SETS};
use proptest::prelude::{ProptestConfig, any, prop, proptest};
use ripost::alert::{FORMATS, Shape};
use ripost::matcher::{Conditions, Matcher};
use ripost::source::{
    self, Accept, Event, Follow, Line, Receipt, Sifting, StartAt, Tally, Timing, Units,
};
use tokio::sync::{mpsc, watch};

/// A number that decides what a line is made of.
struct Draw(u64);

impl Draw {
    /// One of so many, most often the first.
    fn rarely(&mut self, of: u64) -> u64 {
        match self.of(4) {
            0 => self.of(of),
            _ => 0,
        }
    }

    fn of(&mut self, of: u64) -> u64 {
        // SplitMix64, so that near seeds differ in everything.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % of
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.of(of.len() as u64)).unwrap()]
    }
}

/// A rule as analysisd writes it, or nearly.
fn rule(draw: &mut Draw) -> String {
    let (id, level) = (draw.pick(&["1", "2", "5763"]), draw.pick(&["3", "10", "7"]));
    let groups = draw.pick(&[r#""syslog","sshd""#, r#""web""#, r#""a""#]);
    let description = draw.pick(&[
        "login",
        r#"a \"},\"id\":\"5763\" \\"#,
        r"\u00e9 \\\\",
        "caf\u{e9} \u{1f980}",
    ]);
    let fired = draw.of(2_000);
    let level = match draw.rarely(8) {
        1 => String::new(),
        2 => format!(r#""level":"{level}","#),
        3 => r#""level":3.0,"#.to_owned(),
        4 => format!(r#""level":0{level},"#),
        5 => format!(r#""level" : {level} ,"#),
        6 => r#""level":0,"#.to_owned(),
        7 => r#""level":99,"#.to_owned(),
        _ => format!(r#""level":{level},"#),
    };
    let id = match draw.rarely(6) {
        1 => id.to_owned(),
        2 => format!(r#""\u003{id}""#),
        3 => format!(r#""{id}","id":"12""#),
        4 => format!(r#""{id}\"""#),
        5 => "null".to_owned(),
        _ => format!(r#""{id}""#),
    };
    let more = match draw.rarely(10) {
        1 => r#","level":12"#,
        2 => r#","gr\u006fups":["attack"]"#,
        3 => r#","sidid":5"#,
        4 => r#","groups":["sshd","attack"]"#,
        5 => r#","pci_dss":["10.2.4"]"#,
        6 => r#","info":{"id":"5763","groups":["sshd"],"firedtimes":3}"#,
        7 => r#","description":"twice""#,
        8 => r#","firedtimes":7"#,
        9 => r#","mitre":{"id":["T1110"],"tactic":["]}","x"]}"#,
        _ => "",
    };
    let fired = match draw.rarely(6) {
        1 => String::new(),
        2 => format!(r#","firedtimes":"{fired}""#),
        3 => format!(r#","firedtimes":{fired}.5"#),
        4 => format!(r#","firedtimes":{fired}e1"#),
        5 => format!(r#","firedtimes":0{fired}"#),
        _ => format!(r#","firedtimes":{fired}"#),
    };
    let (first, second) = match draw.rarely(2) {
        1 => (more, fired.as_str()),
        _ => (fired.as_str(), more),
    };
    match draw.rarely(3) {
        1 => format!(r#"{{"id":{id},{level}"description":"{description}","groups":[{groups}]}}"#),
        2 => format!(r#"{{{level}"description":"{description}","id":{id}}}"#),
        _ => format!(
            r#"{{{level}"description":"{description}","id":{id}{first},"mail":false,"groups":[{groups}]{second}}}"#
        ),
    }
}

/// An alert in one line, or nearly.
fn alert(draw: &mut Draw) -> Vec<u8> {
    let rule = rule(draw);
    let time = draw.pick(&["2026-03-04T05:06:07.891+0000", "", r"\\", "x"]);
    let (colon, comma) = match draw.rarely(2) {
        1 => (": ", ", "),
        _ => (":", ","),
    };
    let head = match draw.rarely(5) {
        1 => format!(r#""rule"{colon}{rule}{comma}"timestamp"{colon}"{time}""#),
        2 => format!(r#""timestamp":"{time}","r\u0075le":{rule}"#),
        3 => format!(r#""timestamp":"{time}","agent":{{"id":"1"}},"rule":{rule}"#),
        4 => format!(r#""timestamp":"{time}","timestamp":"x","rule":{rule}"#),
        _ => format!(r#""timestamp"{colon}"{time}"{comma}"rule"{colon}{rule}"#),
    };
    let other = self::rule(draw);
    let tail = match draw.rarely(11) {
        1 => format!(r#","rule":{other}"#),
        2 => format!(r#","data":{{"rule":{other},"timestamp":"x"}}"#),
        3 => format!(r#","data":{{"timestamp":"x","rule":{other}}}"#),
        4 => format!(r#","wazuh":{{"rule":{other}}}"#),
        5 => format!(r#","_source":{{"rule":{other}}}"#),
        6 => r#","event_type":"alert","alert":{"signature_id":1,"severity":1}"#.to_owned(),
        7 => r#","scenario":"x","priority":"Emergency""#.to_owned(),
        8 => format!(r#","full_log":"{}""#, "x\\\\".repeat(3_000)),
        9 => format!(r#","deep":{}{}"#, "[".repeat(300), "]".repeat(300)),
        10 => format!(r#","full_log":"{{\"timestamp\":\"x\",\"rule\":{{"}},"x":{other}"#),
        _ => r#","agent":{"id":"001","name":"web"},"id":"1.2","full_log":"a","location":"b""#
            .to_owned(),
    };
    let around = match draw.rarely(7) {
        1 => ("[", "]"),
        2 => ("\u{feff}", "\r"),
        3 => (" ", " "),
        4 => (r#"{"_index":"i","_source":"#, "}"),
        5 => ("<13>Nov 20 10:00:00 web-7 app: ", ""),
        6 => ("\0\0", "\0"),
        _ => ("", ""),
    };
    let (before, after) = around;
    format!("{before}{{{head}{tail}}}{after}").into_bytes()
}

/// An alert, perhaps with something that went wrong when it was written.
fn line(seed: u64) -> Vec<u8> {
    let mut draw = Draw(seed);
    let mut line = alert(&mut draw);
    let at = usize::try_from(draw.of(line.len() as u64)).unwrap();
    match draw.rarely(8) {
        1 => line.truncate(at),
        2 => {
            line.truncate(at);
            line.extend(alert(&mut draw));
        }
        3 => line.extend(alert(&mut draw)),
        4 => line.insert(at, 0xff),
        5 => line[at] = u8::try_from(draw.of(256)).unwrap(),
        6 => drop(line.remove(at)),
        7 => line.splice(at..at, *b"\\u0041\"").for_each(drop),
        _ => {}
    }
    line
}

fn shape(number: usize) -> Shape {
    FORMATS.get(number).map_or(Shape::Auto, Shape::One)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn the_sieve_decides_as_reading_in_full_does(
        seeds in prop::collection::vec(any::<u64>(), 1..24),
        set in 0..SETS,
        format in 0..FORMATS.len() + 3,
    ) {
        let mut both = Both::new(shape(format), set);
        for seed in seeds {
            both.judge(&line(seed));
        }
    }

    #[test]
    fn bytes_of_any_kind_are_judged_alike(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..6),
        set in 0..SETS,
    ) {
        let mut both = Both::new(Shape::Auto, set);
        for line in lines {
            both.judge(&line);
        }
    }
}

/// Of a file, each line that has a response comes with its place, wherever what
/// is read at once ends, and all are counted.
#[test]
fn of_a_file_the_lines_come_that_have_a_response() {
    let lines = (0..4_000).map(|seed| line(seed % 700));
    let lines: Vec<Vec<u8>> = lines
        .filter(|line| !line.is_empty() && line[0] != 0 && !line.contains(&b'\n'))
        .collect();
    let text: Vec<u8> = lines
        .iter()
        .flat_map(|line| [line, &b"\n"[..]].concat())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.json");
    fs::write(&path, &text).unwrap();
    let tally = Arc::new(Tally::default());
    let conditions = Arc::new(Conditions::new(both::responses(1)));
    let (_changes, receiver) = watch::channel(Arc::clone(&conditions));
    let sifting = Sifting {
        shape: Shape::Auto,
        conditions: receiver,
        tally: Arc::clone(&tally),
    };
    let come = follow_to_end(path, sifting, text.len() as u64);

    let mut matcher = Matcher::sharing(conditions, 1 << 20);
    let mut come = come.into_iter().peekable();
    let mut offset = 0;
    for line in &lines {
        let alerts = Shape::Auto.read(line);
        let mut rules = alerts.iter().flatten().map(|alert| &alert.rule);
        let matched = rules.any(|rule| !matcher.matches(rule).is_empty());
        let has_come = come.next_if(|come| come.offset == offset);
        assert!(has_come.as_ref().is_none_or(|come| come.bytes == *line));
        let is_reported = alerts.iter().any(Result::is_err);
        let shown = || String::from_utf8_lossy(line);
        assert!(has_come.is_some() || !matched, "{}", shown());
        assert!(has_come.is_none() || matched || is_reported, "{}", shown());
        offset += line.len() as u64 + 1;
    }
    assert_eq!(come.next(), None);
    assert_eq!(tally.now().lines, lines.len() as u64);
}

/// What is handed over of a file up to this offset.
fn follow_to_end(path: PathBuf, sifting: Sifting, end: u64) -> Vec<Line> {
    let (sender, mut events) = mpsc::channel(2);
    let follow = Follow {
        path,
        start: StartAt::Beginning,
        resume: None,
        accept_tail: Accept::new(|_| true),
        units: Units::LinesAndRecords,
        sifting: Some(sifting),
        timing: Timing::default(),
    };
    let follower = source::follow(follow, sender).unwrap();
    let mut come = Vec::new();
    loop {
        match events.blocking_recv().unwrap() {
            Event::Opened { stored, .. } => stored.send(()).unwrap(),
            Event::Lines {
                lines,
                receipt: Receipt::Position(reached),
            } => {
                come.extend(lines);
                if reached.offset == end {
                    break;
                }
            }
            event => panic!("{event:?}"),
        }
    }
    follower.stop().unwrap();
    come
}

/// The lines drawn above must be of both kinds, or they would show nothing.
#[test]
fn what_is_drawn_is_kept_back_and_handed_over() {
    for set in 1..SETS {
        let mut both = Both::new(Shape::Auto, set);
        let passed = (0..1_000).filter(|&seed| both.judge(&line(seed))).count();
        assert!((50..950).contains(&passed), "{set}: {passed}");
    }
}

/// Of the samples, each line comes three times: new, known, and known with
/// another time and counter. Twice of them the rest of the line is cut off.
#[test]
fn samples_of_others_are_judged_alike() {
    let Some(folder) = std::env::var_os("RIPOST_SAMPLES") else {
        eprintln!("RIPOST_SAMPLES names no folder: not run");
        return;
    };
    let mut lines = 0;
    for folder in fs::read_dir(Path::new(&folder).join("alerts")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let text = fs::read(file.unwrap().path()).unwrap();
            for set in 0..SETS {
                lines += judge_all(&text, set);
            }
        }
    }
    assert!(lines > 5_000, "{lines} lines in all");
}

fn judge_all(text: &[u8], set: u8) -> usize {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let mut both = Both::new(Shape::Auto, set);
    for line in &lines {
        both.judge(line);
    }
    for line in &lines {
        both.judge(line);
        let text = String::from_utf8_lossy(line);
        let later = text
            .replace("\"timestamp\":\"20", "\"timestamp\":\"19")
            .replace("\"firedtimes\":", "\"firedtimes\":1");
        both.judge(later.as_bytes());
        both.judge(&line[..line.len() * 4 / 5]);
    }
    lines.len()
}
