//! What the documents claim of the tests, of each other and of the tables in
//! the code is true.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ripost::config::schema::{ELEMENTS, Parent};
use ripost::model::bundled::BUNDLED;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// The names of all test functions of the project.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    tests_below(&root().join("tests"), &mut found);
    tests_below(&root().join("src"), &mut found);
    found
}

fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let (mut attributed, mut lines) = (false, text.lines());
            for line in lines.by_ref().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    attributed = true;
                } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| attributed) {
                    found.insert(rest.split('(').next().unwrap().to_owned());
                    attributed = false;
                }
            }
        }
    }
}

/// The rows of all tables of a page, without their heads, cell by cell.
fn rows(page: &str, columns: usize) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut in_body = false;
    for line in page.lines() {
        if line.starts_with("|---") {
            in_body = true;
        } else if !line.starts_with("| ") {
            in_body = false;
        } else if in_body {
            let cells = line.trim_matches('|').split(" | ");
            let cells: Vec<_> = cells.map(|cell| cell.trim().to_owned()).collect();
            if cells.len() == columns {
                rows.push(cells);
            } else {
                assert_ne!(cells.len(), columns + 1, "a cell too many: {line}");
                assert_ne!(cells.len() + 1, columns, "a cell too few: {line}");
            }
        }
    }
    rows
}

/// That `cell` names tests, and that they exist. A word of several parts is a
/// name; blanks and signs part them. An ellipsis stands for the rest of one.
fn names_tests(cell: &str, known: &BTreeSet<String>) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '…';
    let names: Vec<_> = cell
        .split(|c| !is_part(c))
        .filter(|word| word.matches('_').count() > 1)
        .collect();
    assert!(!names.is_empty(), "no test in: {cell}");
    for name in names {
        let is_meant = |known: &String| match name.strip_suffix('…') {
            Some(start) => known.starts_with(start),
            None => known == name,
        };
        assert!(known.iter().any(is_meant), "no test is called {name}");
    }
}

#[test]
fn the_threat_model_names_tests_that_exist() {
    let known = tests();
    let page = page("docs/threat-model.md");
    let words = page.split('`').skip(1).step_by(2);
    let names: Vec<_> = words.filter(|word| word.matches('_').count() > 1).collect();
    assert!(names.len() > 40, "{} tests", names.len());
    for name in names {
        assert!(known.contains(name), "no test is called {name}");
    }
}

#[test]
fn every_defect_of_a_predecessor_names_tests_that_exist() {
    let known = tests();
    let rows = rows(&page("docs/predecessor-bugs.md"), 4);
    for row in &rows {
        names_tests(&row[3], &known);
    }
    assert!(rows.len() > 40, "{} rows", rows.len());
}

#[test]
fn every_row_of_compatibility_has_a_verdict_and_tests_that_exist() {
    let known = tests();
    let rows = rows(&page("COMPATIBILITY.md"), 5);
    for row in &rows {
        let verdict = row[3].as_str();
        assert!(
            ["same", "differs", "ignored", "refused"].contains(&verdict),
            "{verdict} is no verdict: {row:?}"
        );
        // What nobody can see from outside says so.
        if row[4] != "none: it cannot be seen from outside" {
            names_tests(&row[4], &known);
        }
    }
    assert!(rows.len() > 80, "{} rows", rows.len());
}

#[test]
fn compatibility_speaks_of_every_element_and_every_executable() {
    let page = page("COMPATIBILITY.md");
    for element in ELEMENTS {
        let (name, parent) = (element.name, element.parent);
        // What is not theirs is in `docs/configuration.md`.
        if matches!(parent, Parent::Agents | Parent::AlertSource) {
            continue;
        }
        assert!(
            page.contains(&format!("<{name}>")) || page.contains(&format!("`{name}`")),
            "nothing about <{name}> in {}",
            parent.tag()
        );
    }
    for row in BUNDLED {
        for name in row.aliases.iter().chain([&row.name]) {
            assert!(page.contains(&format!("`{name}`")), "nothing about {name}");
        }
    }
}

#[test]
fn what_a_document_links_to_is_there() {
    let mut pages = vec![
        PathBuf::from("README.md"),
        PathBuf::from("CONTRIBUTING.md"),
        PathBuf::from("COMPATIBILITY.md"),
        PathBuf::from("active-response/README.md"),
    ];
    for folder in ["docs", "docs/adr"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    let mut links = 0;
    for page in &pages {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            let path = link.split('#').next().unwrap();
            if path.is_empty() || link.contains("://") {
                continue;
            }
            links += 1;
            let target = root().join(page.parent().unwrap()).join(path);
            assert!(target.exists(), "{} links to {link}", page.display());
        }
    }
    assert!(links > 10, "{links} links");
}
