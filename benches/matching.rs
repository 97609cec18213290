//! What matching costs by the number of responses: a rule that is known, a
//! rule that is new, and reading the line on top.

use std::hint::black_box;

use divan::Bencher;
use ripost::alert::{self, Rule};
use ripost::matcher::{Condition, Matcher};
use ripost::model::os_regex::Pattern;
use ripost::model::{Level, RuleId};

const RESPONSES: [usize; 3] = [10, 1_000, 10_000];

const LINE: &[u8] = include_bytes!("../tests/data/alerts/wazuh/typical.in.json");

fn main() {
    divan::main();
}

/// 70 % lists of ids, 10 % levels, 20 % groups, as measured configurations have
/// them; one in ten groups with a class.
fn matcher(responses: usize) -> Matcher {
    let conditions = (0..responses).map(|number| match number % 10 {
        0..7 => Condition {
            ids: (0..3).map(|n| id(1_000 + number * 3 + n)).collect(),
            ..Condition::default()
        },
        7 => Condition {
            level: Level::new(16).ok(),
            ..Condition::default()
        },
        _ => Condition {
            group: Some(pattern(number)),
            level: Level::new(7).ok(),
            ..Condition::default()
        },
    });
    Matcher::new(conditions.collect())
}

fn id(number: usize) -> RuleId {
    RuleId::parse(&number.to_string()).expect("digits are an id")
}

fn pattern(number: usize) -> Pattern {
    let text = if number % 100 == 9 {
        format!("group{number}_\\w+,")
    } else {
        format!("group{number},|^other{number}")
    };
    Pattern::compile(&text).expect("it is a pattern")
}

fn read() -> Rule {
    let wazuh = alert::find("wazuh").expect("there is a row for it");
    alert::parse(LINE, wazuh)
        .expect("the fixture is an alert")
        .rule
}

#[divan::bench(args = RESPONSES)]
fn known_rule(bencher: Bencher, responses: usize) {
    let mut matcher = matcher(responses);
    let rule = read();
    matcher.matches(&rule);
    bencher.bench_local(|| matcher.matches(black_box(&rule)));
}

#[divan::bench(args = RESPONSES)]
fn new_rule(bencher: Bencher, responses: usize) {
    let mut matcher = matcher(responses);
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            Rule {
                id: id(10_000_000 + number),
                ..read()
            }
        })
        .bench_local_refs(|rule| matcher.matches(rule));
}

#[divan::bench(args = RESPONSES)]
fn line_with_known_rule(bencher: Bencher, responses: usize) {
    let wazuh = alert::find("wazuh").expect("there is a row for it");
    let mut matcher = matcher(responses);
    bencher.bench_local(|| {
        let alert = alert::parse(black_box(LINE), wazuh).expect("the fixture is an alert");
        matcher.matches(&alert.rule)
    });
}
