//! Real configuration files, of Wazuh, of OSSEC and of strangers: each problem
//! that is found in them, one by one.
//!
//! They are not part of this repository: `RIPOST_SAMPLES` names a folder with
//! `configs/` in it. `tests/data/samples.expect` holds what is to be said of
//! them, without a word of theirs; `RIPOST_BLESS=1 cargo test --test samples`
//! writes it anew, and each line of the difference is to be judged.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ripost::config::{AnyConfig, Checked, Context, check_any};
use ripost::diag::Severity;

/// Files that Wazuh and OSSEC ship and that they do not load themselves.
const BROKEN: &[&str] = &[
    // A closing tag lacks its `>`.
    "wazuh_v4.3.0__etc_ossec-local.conf",
];

/// Whose files have to load.
const SHIPPED: [&str; 2] = ["wazuh_v", "ossec_ossec-hids__"];

/// What begins a configuration on a page of documentation.
const BEGINNINGS: [&str; 4] = [
    "<ossec_config>",
    "<wazuh_config>",
    "<command>",
    "<active-response>",
];

/// A configuration and where it comes from.
struct Sample {
    name: String,
    /// Lines before it, if it is a part of a page.
    before: usize,
    text: Vec<u8>,
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn samples(configs: &Path) -> Vec<Sample> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let whole = |path: &PathBuf| Sample {
        name: name(path),
        before: 0,
        text: std::fs::read(path).unwrap(),
    };
    let mut samples: Vec<Sample> = files(configs).iter().map(whole).collect();
    for path in files(&configs.join("snippets")) {
        let page = std::fs::read_to_string(&path).unwrap();
        samples.extend(parts(&page).into_iter().map(|(before, text)| Sample {
            name: name(&path),
            before,
            text: text.into_bytes(),
        }));
    }
    samples
}

/// The configurations on a page, each up to the end of its fence, the next heading
/// or the next list, with the number of lines before it.
fn parts(page: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in page.lines().enumerate() {
        let trimmed = line.trim();
        if ["```", "#", "- "]
            .iter()
            .any(|end| trimmed.starts_with(end))
        {
            is_open = false;
        } else if !is_open && BEGINNINGS.contains(&trimmed) {
            is_open = true;
            parts.push((number, String::new()));
        }
        if let (true, Some((_, text))) = (is_open, parts.last_mut()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    parts
}

fn check(sample: &Sample) -> Checked<AnyConfig> {
    let name = Path::new(&sample.name);
    check_any(&sample.text, name, &Context::default())
}

/// What is said of a sample: a line for it, and one for each problem.
fn said(sample: &Sample) -> String {
    let checked = check(sample);
    let line = sample.before + 1;
    let mut said = format!("{}:{line}: {}\n", sample.name, checked.summary);
    for problem in checked.diagnostics.iter() {
        let at = problem.position.unwrap();
        let (line, severity) = (sample.before + at.line, problem.severity);
        let (column, message) = (at.column, &problem.message);
        writeln!(said, "  {line}:{column}: {severity}: {message}").unwrap();
    }
    said
}

/// What is to be said, by the name and line that it begins with.
fn judged(expect: &str) -> BTreeMap<String, String> {
    let mut judged: BTreeMap<String, String> = BTreeMap::new();
    let mut key = String::new();
    for line in expect.lines() {
        if !line.starts_with(' ') {
            let (name, rest) = line.split_once(':').unwrap();
            let (number, _) = rest.split_once(':').unwrap();
            key = format!("{name}:{number}");
        }
        let text = judged.entry(key.clone()).or_default();
        text.push_str(line);
        text.push('\n');
    }
    judged
}

fn configs() -> Option<PathBuf> {
    let Some(samples) = std::env::var_os("RIPOST_SAMPLES") else {
        println!("skipped: RIPOST_SAMPLES names no directory of samples with configs/ in it");
        return None;
    };
    Some(Path::new(&samples).join("configs"))
}

#[test]
fn each_problem_of_a_real_file_is_one_that_was_judged() {
    let Some(configs) = configs() else { return };
    let samples = samples(&configs);
    let expect = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/samples.expect");
    if std::env::var_os("RIPOST_BLESS").is_some() {
        bless(&expect, &samples.iter().map(said).collect::<String>());
    }
    let judged = judged(&std::fs::read_to_string(&expect).unwrap());
    let mut held = 0;
    for sample in &samples {
        let said = said(sample);
        match judged.get(&format!("{}:{}", sample.name, sample.before + 1)) {
            Some(wanted) => {
                assert_eq!(*wanted, said);
                held += 1;
            }
            // Another collection may have more.
            None => println!("not judged yet: {said}"),
        }
    }
    assert!(held > 0, "none of these files has been judged");
}

#[expect(
    clippy::disallowed_methods,
    reason = "writes expectations when asked to"
)]
fn bless(expect: &Path, found: &str) {
    std::fs::write(expect, found).unwrap();
}

#[test]
fn what_wazuh_and_ossec_ship_and_load_themselves_passes() {
    let Some(configs) = configs() else { return };
    let samples = samples(&configs);
    let is_shipped = |sample: &&Sample| SHIPPED.iter().any(|start| sample.name.starts_with(start));
    let mut passed = 0;
    for sample in samples.iter().filter(is_shipped) {
        let checked = check(sample);
        let is_broken = BROKEN.contains(&sample.name.as_str());
        let problems = checked.problems();
        let mut errors = checked
            .diagnostics
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        assert_eq!(errors.next().is_some(), is_broken, "{problems}");
        passed += usize::from(!is_broken);
    }
    assert!(passed > 0, "no such files in {}", configs.display());
}

#[test]
fn a_page_is_read_where_configurations_begin() {
    let page = "# a\n```xml\n  <command>\n  x\n```\n<no>\n## b\n<ossec_config>\ny\n\nz\n# c\nw";
    let found: Vec<(usize, String)> = parts(page);
    assert_eq!(
        found,
        [
            (2, "  <command>\n  x\n".to_owned()),
            (7, "<ossec_config>\ny\n\nz\n".to_owned()),
        ]
    );
}
