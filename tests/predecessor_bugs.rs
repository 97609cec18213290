//! Every row of `docs/predecessor-bugs.md` names tests that exist.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all test functions of the project.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
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

#[test]
fn the_threat_model_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = BTreeSet::new();
    tests(&root.join("tests"), &mut known);
    tests(&root.join("src"), &mut known);
    let page = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let words = page.split('`').skip(1).step_by(2);
    let names: Vec<_> = words.filter(|word| word.matches('_').count() > 1).collect();
    assert!(names.len() > 40, "{} tests", names.len());
    for name in names {
        assert!(known.contains(name), "no test is called {name}");
    }
}

#[test]
fn every_row_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = BTreeSet::new();
    tests(&root.join("tests"), &mut known);
    tests(&root.join("src"), &mut known);
    let page = fs::read_to_string(root.join("docs/predecessor-bugs.md")).unwrap();
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        if cells[0] == "defect" {
            continue;
        }
        rows += 1;
        // A word of several parts is a name; blanks and signs part them. An
        // ellipsis stands for the rest of a name.
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '…';
        let names: Vec<_> = cells[3]
            .split(|c| !is_part(c))
            .filter(|word| word.matches('_').count() > 1)
            .collect();
        assert!(!names.is_empty(), "no test in: {row}");
        for name in names {
            let is_meant = |known: &String| match name.strip_suffix('…') {
                Some(start) => known.starts_with(start),
                None => known == name,
            };
            assert!(
                known.iter().any(is_meant),
                "no test is called {name}: {row}"
            );
        }
    }
    assert!(rows > 40, "{rows} rows");
}
