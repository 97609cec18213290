//! Configuration files, good and bad, and what is said of them.
//!
//! `tests/data/config/{good,bad}/NAME.conf` stands beside `NAME.expect`: what
//! `ripostctl check` would print, and for good files also what they mean.
//! `RIPOST_BLESS=1 cargo test --test config` writes the `.expect` files anew.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;
use ripost::config::schema::{Daemon, ELEMENTS, Element, Parent, Use};
use ripost::config::{
    AnyConfig, Checked, Context, Entries, List, Response, check_any, load_any, manager,
};
use ripost::model::bundled;

fn data(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/config")
        .join(kind)
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", dir.display());
    files
}

fn check(path: &Path) -> Checked<AnyConfig> {
    let name = path.file_name().unwrap();
    check_any(
        &std::fs::read(path).unwrap(),
        Path::new(name),
        &Context::default(),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "writes expectations when asked to"
)]
fn compare(path: &Path, found: &str) {
    let expect = path.with_extension("expect");
    if std::env::var_os("RIPOST_BLESS").is_some() {
        std::fs::write(&expect, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&expect).unwrap_or_default();
    assert_eq!(wanted, found, "{}", expect.display());
}

fn describe(config: &AnyConfig) -> String {
    let mut out = String::new();
    match config {
        AnyConfig::Agent(agent) => writeln!(out, "{agent:#?}").unwrap(),
        AnyConfig::Manager(manager) => {
            for command in &manager.commands {
                writeln!(out, "{command:?}").unwrap();
            }
            for response in &manager.responses {
                let Response { text, line, .. } = response;
                let text = text.replace('\n', "\n    ");
                writeln!(out, "response in line {line}:\n    {}", text.trim_end()).unwrap();
                if let Some(repeated) = &response.repeated_offenders {
                    writeln!(out, "    {repeated:?}").unwrap();
                }
            }
            let Entries { networks, names } = manager.white_list.all();
            let networks = networks.iter().map(ToString::to_string);
            let list: Vec<String> = networks
                .chain(names.iter().map(ToString::to_string))
                .collect();
            writeln!(out, "white list: {}", list.join(" ")).unwrap();
            for List { path, .. } in &manager.white_list.lists {
                writeln!(out, "white list in {}", path.display()).unwrap();
            }
            for source in &manager.sources {
                writeln!(out, "{source:?}").unwrap();
            }
            if let Some(agents) = &manager.agents {
                writeln!(out, "{agents:?}").unwrap();
            }
        }
    }
    out
}

#[test]
fn bad_files_say_what_is_wrong_where_and_what_to_write() {
    for path in files(&data("bad"), "conf") {
        let checked = check(&path);
        assert!(checked.value.is_none(), "{} passes", path.display());
        for problem in checked.diagnostics.iter() {
            assert!(problem.hint.is_some(), "no hint: {problem:?}");
        }
        compare(&path, &checked.problems());
    }
}

#[test]
fn good_files_mean_what_they_say() {
    for path in files(&data("good"), "conf") {
        let checked = check(&path);
        let problems = checked.problems();
        let Some(config) = &checked.value else {
            panic!("{}:\n{problems}", path.display());
        };
        let found = format!("{}{problems}{}\n", describe(config), checked.summary);
        compare(&path, &found);
    }
}

#[test]
fn the_shipped_files_pass_without_a_word_and_block_nobody() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    for name in ["manager.conf", "agent.conf"] {
        let checked = load_any(&etc.join(name), &Context::default());
        assert_eq!(checked.problems(), "");
        match checked.value.unwrap() {
            AnyConfig::Manager(config) => {
                assert_eq!(name, "manager.conf");
                assert!(config.responses.is_empty());
                for command in &config.commands {
                    let row = bundled::find(command.executable.as_str());
                    assert!(row.is_some(), "{} is not bundled", command.name);
                }
                assert_eq!(config.white_list.all().len(), 2);
            }
            AnyConfig::Agent(config) => {
                assert_eq!(name, "agent.conf");
                assert!(!config.disabled);
            }
        }
    }
}

fn assert_positions_lie_inside(checked: &Checked<AnyConfig>, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in checked.diagnostics.iter() {
        let at = problem.position.unwrap();
        let line = lines
            .get(at.line - 1)
            .unwrap_or_else(|| panic!("no such line: {problem:?}"));
        // Just behind the last character is where something may be missing.
        let last = line.chars().count() + 1;
        assert!((1..=last).contains(&at.column), "{problem:?} in {line:?}");
        assert!(problem.length >= 1 && at.column + problem.length <= last.max(2) + 1);
    }
}

fn children(path: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    reader.config_mut().allow_dangling_amp = true;
    let mut open = vec![String::new()];
    let mut found = BTreeSet::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                let name = tag.name().as_ref().to_owned();
                found.insert((open.last().unwrap().clone(), name.clone()));
                open.push(name);
            }
            Ok(Event::Empty(tag)) => {
                found.insert((open.last().unwrap().clone(), tag.name().as_ref().to_owned()));
            }
            Ok(Event::End(_)) if open.len() > 1 => drop(open.pop()),
            Ok(Event::Eof) | Err(_) => return found,
            Ok(_) => {}
        }
    }
}

fn is_of_agent(path: &Path) -> bool {
    path.to_string_lossy().ends_with("agent.conf")
}

/// What stands in what, in all files of a kind and for a daemon.
fn all_children(kind: &str, daemon: Daemon) -> BTreeSet<(String, String)> {
    files(&data(kind), "conf")
        .iter()
        .filter(|path| is_of_agent(path) == (daemon == Daemon::Agent))
        .flat_map(|path| children(path))
        .collect()
}

fn parent_tag(parent: Parent) -> &'static [&'static str] {
    match parent {
        Parent::Top => &[""],
        Parent::Root => &[
            "ossec_config",
            "wazuh_config",
            "ripost_config",
            "agent_config",
            "",
        ],
        Parent::Command => &["command"],
        Parent::ActiveResponse => &["active-response"],
        Parent::Global => &["global"],
        Parent::Client => &["client"],
        Parent::Server => &["server"],
        Parent::Agents => &["agents"],
        Parent::AlertSource => &["alert_source"],
    }
}

#[test]
fn every_element_stands_once_in_the_table_and_has_a_file_that_shows_it() {
    let mut seen = BTreeSet::new();
    for element in ELEMENTS {
        let name = element.name;
        assert!(
            seen.insert((parent_tag(element.parent), name)),
            "{name} stands twice"
        );
    }
    for daemon in [Daemon::Manager, Daemon::Agent] {
        let (good, bad) = (all_children("good", daemon), all_children("bad", daemon));
        let shown = |element: &Element, files: &BTreeSet<(String, String)>| {
            parent_tag(element.parent)
                .iter()
                .any(|parent| files.contains(&((*parent).to_owned(), element.name.to_owned())))
        };
        for element in ELEMENTS {
            let covered = match element.used_by(daemon) {
                Use::Section | Use::Value | Use::Exact => shown(element, &good),
                Use::Later(_) | Use::Elsewhere => shown(element, &bad),
                Use::Skipped => true,
            };
            assert!(covered, "{daemon:?}: {element:?} has no fixture");
        }
    }
}

#[test]
fn every_element_that_is_not_skipped_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for element in ELEMENTS {
        let used = [element.manager, element.agent];
        let documented = ['`', '<']
            .iter()
            .any(|mark| docs.contains(&format!("{mark}{}", element.name)));
        assert!(documented || used == [Use::Skipped; 2], "{element:?}");
    }
}

#[test]
fn files_without_measure_are_refused_and_cost_little() {
    let cases = [
        ("larger than", " ".repeat((16 << 20) + 1)),
        ("nested more than", "<a>".repeat(100_000)),
        ("more than 200000 elements", "<a/>".repeat(400_000)),
        ("not closed", "<ossec_config>".repeat(60)),
        ("never ends", "<!".repeat(100_000)),
        ("starts no tag", "<".repeat(100_000)),
        ("no `>`", "<a ".repeat(100_000)),
        ("closing quote", "<a b=\">".repeat(50_000)),
        ("closes nothing", "</a>".repeat(100_000)),
        (
            "is no location",
            format!(
                "<ossec_config><active-response><location>{}</location>",
                "x".repeat(1_000_000)
            ),
        ),
        (
            "names more than 1000",
            format!(
                "<ossec_config><active-response><location>defined-agent</location>\
                 <agent_id>{}</agent_id>",
                (0..200_000).map(|id| format!("{id},")).collect::<String>()
            ),
        ),
        (
            "no rule id",
            format!(
                "<ossec_config><active-response><rules_id>{}</rules_id>",
                "1,2,#,".repeat(50_000)
            ),
        ),
    ];
    for (message, text) in cases {
        let checked = manager(text.as_bytes(), Path::new("m.conf"), &Context::default());
        assert!(checked.value.is_none(), "{message}");
        let found = checked
            .diagnostics
            .iter()
            .any(|d| d.message.contains(message));
        assert!(found, "{message}: {}", checked.problems());
        assert!(checked.problems().len() < 400_000, "{message}");
    }
}

#[test]
fn the_text_of_a_response_does_not_depend_on_where_and_how_it_is_written() {
    let first = load_any(&data("good").join("wazuh.conf"), &Context::default());
    let text = "<x/><ripost_config><command><extra_args>-a b</extra_args><name>drop</name>
        <executable>firewall-drop</executable><timeout_allowed>yes</timeout_allowed></command>
        <active-response><timeout>600</timeout><rules_id>5710,5712</rules_id>
        <rules_group>sshd,|attack,</rules_group><level>10</level>
        <location>server local</location><command>drop</command></active-response>
        <active-response><timeout>601</timeout><rules_id>5710</rules_id>
        <location>local</location><command>drop</command></active-response></ripost_config>";
    let second = manager(text.as_bytes(), Path::new("m.conf"), &Context::default());
    let second = second.value.unwrap().responses;
    let Some(AnyConfig::Manager(first)) = first.value else {
        panic!("a manager's file");
    };
    assert_eq!(first.responses[0].text, second[0].text);
    assert_ne!(second[0].text, second[1].text);
}

#[test]
fn the_text_of_a_response_does_not_depend_on_how_its_agents_are_listed() {
    let read = |lists: &str| {
        let text = format!(
            "<ripost_config><command><name>drop</name><executable>firewall-drop</executable>
            </command><active-response><command>drop</command><level>3</level>
            <location>defined-agent</location>{lists}</active-response></ripost_config>"
        );
        let read = manager(text.as_bytes(), Path::new("m.conf"), &Context::default());
        let problems = read.problems();
        read.value.expect(&problems).responses.remove(0).text
    };
    let first = read(
        "<agent_id>7,web-9 010-019</agent_id><agent_group>db</agent_group>
        <exclude>group:x 12</exclude>",
    );
    let again = read(
        "<exclude>012</exclude><exclude>group:x</exclude><agent_group>db,db</agent_group>
        <agent_id>10-19</agent_id><agent_id>WEB-9</agent_id><agent_id>007 007-007</agent_id>",
    );
    assert_eq!(first, again);
    for other in [
        "<agent_id>7,web-9 010-019</agent_id><agent_group>db</agent_group>",
        "<agent_id>7,web-9 010-019 group-x</agent_id><agent_group>db</agent_group>
        <exclude>12</exclude>",
        "<agent_id>7,web-9 010-019 db</agent_id><exclude>group:x 12</exclude>",
        "<agent_id>7,web-9 010-019</agent_id><agent_group>DB</agent_group>
        <exclude>group:x 12</exclude>",
    ] {
        assert_ne!(first, read(other), "{other}");
    }
}

/// Ids of actions are made of it: a file that changes its logic must not change
/// those of responses to which that makes no difference.
#[test]
fn the_text_of_a_response_tells_the_logic_only_where_it_decides() {
    let read = |logic: &str, selectors: &str| {
        let text = format!(
            "<ripost_config><global>{logic}</global><command><name>drop</name>
            <executable>firewall-drop</executable></command><active-response>
            <command>drop</command><location>local</location>{selectors}</active-response>
            </ripost_config>"
        );
        let read = manager(text.as_bytes(), Path::new("m.conf"), &Context::default());
        let problems = read.problems();
        read.value.expect(&problems).responses.remove(0).text
    };
    let level = "<level>3</level>";
    let group = "<rules_group>sshd,</rules_group>";
    let id = "<rules_id>1</rules_id>";
    for (selectors, decides) in [
        (format!("{level}{group}"), true),
        (format!("{level}{group}{id}"), true),
        (format!("{level}{id}"), false),
        (format!("{group}{id}"), false),
    ] {
        let unsaid = read("", &selectors);
        let wazuh = read("<logic>wazuh</logic>", &selectors);
        let ossec = read("<logic>ossec</logic>", &selectors);
        assert_eq!(unsaid, wazuh, "{selectors}");
        assert_eq!(wazuh != ossec, decides, "{selectors}");
    }
}

fn fixtures() -> Vec<Vec<u8>> {
    let mut paths = files(&data("good"), "conf");
    paths.extend(files(&data("bad"), "conf"));
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Pieces that mean something to the reader.
const PIECES: &[&[u8]] = &[
    b"<",
    b">",
    b"</",
    b"/>",
    b"<!--",
    b"-->",
    b"<!",
    b"!>",
    b"<![CDATA[",
    b"]]>",
    b"<!DOCTYPE",
    b"[",
    b"<?",
    b"?>",
    b"&",
    b"&amp;",
    b"&#0;",
    b"&#x110000;",
    b";",
    b"\\<",
    b"\"",
    b"'",
    b"=",
    b"\xff",
    b"\xe2\x80",
    b"\0",
    b"\x01",
    b"\x02",
    "é".as_bytes(),
    b"\n",
    b"\t",
    b" ",
    b"name",
    b"<command>",
    b"</command>",
    b"<ossec_config>",
    b"</ossec_config>",
    b"yes",
    b"a b=\"c\"",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn mangled_files_never_panic_and_problems_lie_inside_them(
        file in 0_usize..1_000,
        cuts in prop::collection::vec((0.0..1.0_f64, 0_usize..40, 0..PIECES.len()), 1..8),
    ) {
        let fixtures = fixtures();
        let mut text = fixtures[file % fixtures.len()].clone();
        for (at, drop, piece) in cuts {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss,
                clippy::cast_precision_loss, reason = "a place in a small text")]
            let at = (at * text.len() as f64) as usize;
            let end = (at + drop).min(text.len());
            text.splice(at..end, PIECES[piece].iter().copied());
        }
        let checked = check_any(&text, Path::new("m.conf"), &Context::default());
        prop_assert_eq!(checked.value.is_none(), checked.diagnostics.errors() > 0);
        assert_positions_lie_inside(&checked, text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text));
        let _ = checked.problems();
    }

    #[test]
    fn bytes_of_any_kind_never_panic(
        pieces in prop::collection::vec(0..PIECES.len(), 0..60),
    ) {
        let text: Vec<u8> = pieces.iter().flat_map(|piece| PIECES[*piece]).copied().collect();
        let checked = check_any(&text, Path::new("agent.conf"), &Context::default());
        assert_positions_lie_inside(&checked, &text);
    }
}
