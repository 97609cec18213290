//! Holds together what must be said in several places: executables, programs,
//! shipped files, make targets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ripost::model::bundled::{BUNDLED, Bundled, Options, stand_in};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// (name, path) of every `[[bin]]` stanza.
fn stanzas() -> BTreeSet<(String, String)> {
    let manifest = text("Cargo.toml");
    let stanzas: BTreeSet<_> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|stanza| {
            let stanza = stanza.split("\n[").next().unwrap();
            (value(stanza, "name"), value(stanza, "path"))
        })
        .collect();
    assert!(!stanzas.is_empty());
    stanzas
}

fn value(stanza: &str, key: &str) -> String {
    stanza
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_prefix("= "))
        .unwrap_or_else(|| panic!("no {key} in {stanza}"))
        .trim_matches('"')
        .to_owned()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    found
}

/// What `docs/executables.md` says below its introduction.
fn page() -> String {
    let mut page = String::new();
    for row in BUNDLED {
        let back_ends: Vec<_> = row.backends.iter().map(|backend| backend.name()).collect();
        let reverted = if row.reverts { "yes" } else { "no" };
        page += &format!(
            "## {}\n\n{}\n\n| acts on | through | taken back |\n|---|---|---|\n| {} | {} | {reverted} |\n",
            row.name,
            row.about,
            row.target.label(),
            back_ends.join(", else "),
        );
        if let [first, more @ ..] = row.aliases {
            let names = more
                .iter()
                .fold(format!("`{first}`"), |all, name| format!("{all}, `{name}`"));
            page += &format!("\nAlso called {names}.\n");
        }
        let options = Options::default();
        let fields = row.target.places(&options).listed();
        if !fields.is_empty() {
            page += &format!(
                "\nWhat it acts on stands in `{}`.\n",
                fields.join("`, else `")
            );
        }
        if !row.options.is_empty() || row.word.is_some() {
            page += "\n| in `<extra_args>` | what it does |\n|---|---|\n";
        }
        if let Some(about) = row.word {
            page += &format!("| a word | {about} |\n");
        }
        for option in row.options {
            let shown = format!("{} {}", option.name, option.value.label());
            page += &format!("| `{}` | {} |\n", shown.trim_end(), option.about);
        }
        page += "\n";
    }
    page
}

/// Written anew where RIPOST_BLESS is set.
#[test]
#[expect(clippy::disallowed_methods, reason = "writes the page when asked to")]
fn the_page_of_the_executables_says_what_their_rows_say() {
    const PAGE: &str = "docs/executables.md";
    const BEGIN: &str = "<!-- From here on made of the rows in src/model/bundled/rows.rs: RIPOST_BLESS=1 cargo test --test manifest -->\n\n";
    let found = text(PAGE);
    let (introduction, rows) = found.split_once(BEGIN).unwrap();
    let wanted = page();
    if std::env::var_os("RIPOST_BLESS").is_some() {
        fs::write(root().join(PAGE), format!("{introduction}{BEGIN}{wanted}")).unwrap();
        return;
    }
    assert_eq!(rows, wanted, "{PAGE} is out of date");
}

/// The classic names that the page of scripts tells of stand for what it says.
#[test]
fn the_page_of_the_scripts_says_what_stands_in_for_what() {
    let page = text("docs/scripts.md");
    let (_, table) = page.split_once("| `<executable>` | runs |").unwrap();
    let mut told = BTreeSet::new();
    for row in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let names = |cell: &str| -> Vec<String> {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        let cells: Vec<_> = row.trim_matches('|').split('|').map(names).collect();
        for name in &cells[0] {
            let row = stand_in(name).unwrap_or_else(|| panic!("nothing stands in for {name}"));
            assert!(cells[1].iter().any(|runs| runs == row.name), "{name}");
            told.insert(row.name);
        }
    }
    let stands_in = |row: &&Bundled| stand_in(&format!("{}.sh", row.name)).is_some();
    let all: BTreeSet<_> = BUNDLED
        .iter()
        .filter(stands_in)
        .map(|row| row.name)
        .collect();
    assert_eq!(told, all);
}

#[test]
fn executables_have_a_file_a_stanza_and_a_row() {
    let rows: BTreeSet<String> = BUNDLED.iter().map(|row| row.name.to_owned()).collect();
    let files: BTreeSet<String> = files_below(&root().join("src/bin/ar"))
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let stanzas: BTreeSet<String> = stanzas()
        .into_iter()
        .filter_map(|(name, path)| {
            let file = path
                .strip_prefix("src/bin/ar/")?
                .strip_suffix(".rs")?
                .to_owned();
            assert_eq!(name, file, "a stanza is named as its file");
            Some(name)
        })
        .collect();
    assert_eq!(files, rows, "src/bin/ar against model::bundled");
    assert_eq!(files, stanzas, "src/bin/ar against [[bin]]");
}

#[test]
fn every_door_has_a_stanza() {
    let files: BTreeSet<String> = files_below(&root().join("src/bin"))
        .iter()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    let stanzas: BTreeSet<String> = stanzas().into_iter().map(|(_, path)| path).collect();
    assert_eq!(files, stanzas);
}

#[test]
fn every_shipped_file_is_documented() {
    let mut pages = text("README.md");
    for page in files_below(&root().join("docs")) {
        pages.push_str(&text(page.to_str().unwrap()));
    }
    for file in files_below(&root().join("etc")) {
        let file = file.to_str().unwrap();
        assert!(pages.contains(file), "{file} is in no page");
    }
}

#[test]
fn every_row_of_the_table_of_places_exists() {
    let readme = text("README.md");
    let table = readme
        .split("## Where things are")
        .nth(1)
        .expect("the README has that section");
    let mut seen = 0;
    for word in table.split('`').skip(1).step_by(2) {
        let is_path = [
            "src/",
            "tests/",
            "etc/",
            "docs/",
            "scripts/",
            "active-response/",
        ]
        .iter()
        .any(|folder| word.starts_with(folder));
        // `NAME` stands for a file that the reader is to add.
        if is_path && !word.contains("NAME") {
            assert!(root().join(word).exists(), "README names {word}");
            seen += 1;
        }
    }
    assert!(seen > 5, "the table was not found");
}

#[test]
fn the_promised_make_targets_exist() {
    let makefile = text("Makefile");
    for target in ["demo", "test", "bench", "install"] {
        assert!(
            makefile
                .lines()
                .any(|line| line.starts_with(&format!("{target}:"))),
            "make {target}"
        );
    }
    assert!(text(".ci/run").contains("make test"));
    for script in [".ci/run", "scripts/setup", "scripts/demo"] {
        let mode = fs::metadata(root().join(script))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{script} can be run");
    }
}

#[test]
fn the_changelog_speaks_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(text("CHANGELOG.md").contains(&format!("## {version}")));
}

#[test]
fn decisions_are_short_and_every_dependency_is_argued() {
    let dependencies = text("docs/adr/0001-dependencies.md");
    let manifest = text("Cargo.toml");
    let mut seen = 0;
    for section in ["[dependencies]", "[dev-dependencies]"] {
        let stanza = manifest.split(&format!("\n{section}\n")).nth(1).unwrap();
        let stanza = stanza.split("\n[").next().unwrap();
        for name in stanza.lines().filter_map(|line| line.split(" = ").next()) {
            if !name.is_empty() {
                assert!(
                    dependencies.contains(&format!("| {name} |")),
                    "{name} is not argued"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "the dependencies were not found");
    for page in files_below(&root().join("docs/adr")) {
        let lines = text(page.to_str().unwrap()).lines().count();
        assert!(lines <= 60, "{} has {lines} lines", page.display());
    }
}
