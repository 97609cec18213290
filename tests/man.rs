//! The man pages in `man/` say what the command lines and the rows of the
//! bundled executables say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "writes the pages when asked to, and starts groff"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use ripost::model::bundled::{BUNDLED, Bundled, Options};
use ripost::wire::Daemon;
use ripost::{ctl, daemon};

const MANUAL: &str = "Ripost Manual";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

fn source() -> String {
    format!("ripost {}", env!("CARGO_PKG_VERSION"))
}

/// Every page by the name of its file.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let programs = [
        (daemon::options::command(Daemon::Manager), MANAGER_FILES),
        (daemon::options::command(Daemon::Agentd), AGENTD_FILES),
        (ctl::command(), CTL_FILES),
    ];
    for (mut program, files) in programs {
        program.build();
        add(&program, files, &mut pages);
    }
    pages.insert("ripost-executables.8".to_owned(), executables());
    pages
}

/// The page of a program and those of its verbs.
fn add(program: &clap::Command, files: Files, pages: &mut BTreeMap<String, String>) {
    let name = program.get_display_name().unwrap_or(program.get_name());
    let mut page = Vec::new();
    let man = Man::new(program.clone())
        .section("8")
        .title(name)
        .source(source())
        .manual(MANUAL);
    let verbs: Vec<_> = program.get_subcommands().collect();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    if verbs.iter().any(|verb| !verb.is_hide_set()) {
        man.render_subcommands_section(&mut page).unwrap();
    }
    let mut end = Roff::new();
    if let Some(notes) = program.get_after_help() {
        end.control("SH", ["NOTES"]);
        for paragraph in notes.to_string().split("\n\n") {
            end.control("PP", []);
            end.text([roman(paragraph.replace('\n', " "))]);
        }
    }
    end.control("SH", ["FILES"]);
    for (file, about) in files {
        end.control("TP", []);
        end.text([italic(*file)]).text([roman(*about)]);
    }
    see_also(&mut end, name);
    page.extend(end.render().into_bytes());
    pages.insert(format!("{name}.8"), String::from_utf8(page).unwrap());
    for verb in verbs.into_iter().filter(|verb| !verb.is_hide_set()) {
        add(verb, files, pages);
    }
}

/// A file below the home, and what it is.
type Files = &'static [(&'static str, &'static str)];

const MANAGER_FILES: Files = &[
    ("etc/manager.conf", "Which alerts lead to which responses."),
    (
        "logs/alerts/alerts.json",
        "Where alerts are read from, unless the configuration says otherwise.",
    ),
    (
        "logs/responses.json",
        "One JSON object for each change of the state of an action.",
    ),
    ("etc/tls/", "The CA and the certificate of the manager."),
    ("queue/", "The journals and the sockets."),
];

const AGENTD_FILES: Files = &[
    (
        "etc/agent.conf",
        "Which manager this host has, and what is never acted upon.",
    ),
    (
        "active-response/bin/",
        "The executables: bundled ones, and scripts of the administrator.",
    ),
    (
        "logs/active-responses.log",
        "What the executables did, in the layout of Wazuh 4.x.",
    ),
    ("etc/tls/", "The certificate of this host."),
    ("queue/", "The journals and the sockets."),
];

const CTL_FILES: Files = &[
    ("etc/manager.conf, etc/agent.conf", "The configuration."),
    (
        "queue/manager.sock, queue/agentd.sock",
        "Where the daemons are asked.",
    ),
];

fn see_also(page: &mut Roff, name: &str) {
    let others = [
        "ripost-manager",
        "ripost-agentd",
        "ripostctl",
        "ripost-executables",
    ];
    let mut line: Vec<Inline> = Vec::new();
    for other in others.iter().filter(|other| **other != name) {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.push(bold(*other));
        line.push(roman("(8)"));
    }
    page.control("SH", ["SEE ALSO"]);
    page.text(line);
    page.control("PP", []);
    page.text([roman(
        "docs/configuration.md and docs/executables.md in the documentation of Ripost.",
    )]);
}

/// One page for all bundled executables, made of their rows.
fn executables() -> String {
    let mut page = Roff::new();
    let (source, title) = (source(), "ripost-executables");
    page.control("TH", [title, "8", "", &source, MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman(
        "ripost-executables - the bundled executables of active responses",
    )]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("They lie in "),
        italic("active-response/bin"),
        roman(" of a home, and "),
        bold("ripost-agentd"),
        roman("(8) starts them and writes JSON to their standard input. Each is named by "),
        bold("<executable>"),
        roman(" in a command of "),
        italic("etc/manager.conf"),
        roman(", and takes its options from "),
        bold("<extra_args>"),
        roman(". For a person they have "),
        bold("--help"),
        roman(" and "),
        bold("--spec"),
        roman(", which prints the same as JSON."),
    ]);
    page.control("SH", ["EXECUTABLES"]);
    for row in BUNDLED {
        executable(&mut page, row);
    }
    page.control("SH", ["EXIT STATUS"]);
    page.text([
        roman("0 if it was done, was so before, or nothing was left to do; 255 if the input "),
        roman("or the target was refused; else one that says what kind of trouble it was."),
    ]);
    page.text([
        italic("docs/executables.md"),
        roman(" lists them, and what each executable guards against."),
    ]);
    see_also(&mut page, title);
    page.render()
}

fn executable(page: &mut Roff, row: &Bundled) {
    page.control("SS", [row.name]);
    page.text([roman(format!("{}.", capital(row.about)))]);
    let back_ends: Vec<_> = row.backends.iter().map(|one| one.name()).collect();
    let back = if row.reverts { "is" } else { "is not" };
    let way = back_ends.join(", else ");
    let target = row.target.label();
    page.text([roman(format!(
        "Acts on {target}, through {way}; {back} taken back at the end of the response."
    ))]);
    if !row.aliases.is_empty() {
        page.text([
            roman("Also called "),
            bold(row.aliases.join(", ")),
            roman("."),
        ]);
    }
    let options = Options::default();
    let fields = row.target.places(&options).listed();
    if !fields.is_empty() {
        let fields = fields.join(", else ");
        page.text([roman("The target stands in "), italic(fields), roman(".")]);
    }
    if let Some(about) = row.word {
        page.control("TP", []);
        page.text([italic("WORD")]).text([roman(about)]);
    }
    for option in row.options {
        page.control("TP", []);
        let value = option.value.label();
        page.text([bold(option.name), roman(" "), italic(value)]);
        page.text([roman(option.about)]);
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

/// Written anew where RIPOST_BLESS is set.
#[test]
fn the_man_pages_say_what_the_programs_say() {
    let wanted = pages();
    assert!(wanted.len() > 10, "{} pages", wanted.len());
    if std::env::var_os("RIPOST_BLESS").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for entry in fs::read_dir(folder()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, page) in &wanted {
            fs::write(folder().join(name), page).unwrap();
        }
        return;
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        found.insert(name, fs::read_to_string(entry.path()).unwrap());
    }
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    let hint = "RIPOST_BLESS=1 cargo test --test man";
    assert_eq!(names(&found), names(&wanted), "{hint}");
    for (name, page) in &wanted {
        assert_eq!(&found[name], page, "man/{name} is out of date: {hint}");
    }
}

#[test]
fn groff_has_nothing_to_say_of_the_man_pages_and_shows_what_they_are_for() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, page) in pages() {
        let file = scratch.path().join(&name);
        fs::write(&file, page).unwrap();
        let shown = Command::new("groff")
            .args(["-man", "-ww", "-Tutf8", "-P-cbou"])
            .arg(&file)
            .output();
        let Ok(shown) = shown else {
            eprintln!("SKIPPED: groff is not installed");
            return;
        };
        let said = String::from_utf8(shown.stderr).unwrap();
        assert!(shown.status.success() && said.is_empty(), "{name}: {said}");
        let text = String::from_utf8(shown.stdout).unwrap();
        for section in ["NAME", "DESCRIPTION", "SEE ALSO"] {
            assert!(text.contains(section), "{name} has no {section}");
        }
    }
}
