//! Holds the sources to the shape that the design gives them: imports point
//! down the layers, `unsafe` stays in `sys`, doors stay small.
//!
//! To add a module: one row in [`LAYERS`]. To allow an import that the layers
//! forbid: one row in [`EXCEPTIONS`], with the reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the library and its layer. A module may import those of
/// lower layers only.
const LAYERS: &[(&str, u8)] = &[
    ("model", 0),
    ("diag", 0),
    ("clock", 0),
    ("sys", 0),
    ("config", 1),
    ("alert", 1),
    ("contract", 1),
    ("wire", 1),
    ("matcher", 2),
    ("policy", 2),
    ("ledger", 2),
    ("roster", 2),
    ("source", 3),
    ("journal", 3),
    ("transport", 3),
    ("executor", 3),
    ("audit", 3),
    ("manager", 4),
    ("agent", 4),
    ("ar", 4),
    ("service", 5),
    ("daemon", 6),
    ("ctl", 6),
];

/// Modules that every other one may import, also those of their own layer.
const FOR_ALL: &[&str] = &["model", "clock"];

/// Imports that the layers forbid and that are wanted all the same:
/// (importer, imported, reason).
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "ctl",
    "daemon",
    "exit codes and options are the same for all programs",
)];

/// Modules that may import these and nothing else.
const ONLY: &[(&str, &[&str])] = &[("ar", &["clock", "diag", "model", "sys", "contract"])];

/// Crates that are kept to some modules: (crate, who may name it). The doors in
/// `src/bin` count as `bin`, the executables in `src/bin/ar` as `ar`.
const CRATES: &[(&str, &[&str])] = &[
    ("mnl", &["sys"]),
    ("nftnl", &["sys"]),
    ("quick_xml", &["config"]),
    ("rusqlite", &["journal"]),
];

/// Modules without asynchronous code.
const SYNC: &[&str] = &[
    "alert", "ar", "bin", "clock", "config", "contract", "diag", "ledger", "matcher", "model",
    "policy", "roster",
];

const DOOR_LINES: usize = 10;
const EXECUTABLE_LINES: usize = 200;
const FILE_LINES: usize = 700;

/// One source file: where it is, which module it belongs to, and its text with
/// comments taken out.
struct Source {
    path: PathBuf,
    module: String,
    lines: usize,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_owned();
                found.push(Source {
                    module: module_of(&path),
                    lines: text.lines().count(),
                    code: without_comments(&text),
                    path,
                });
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The top module of a file below `src`; `lib` for the root.
fn module_of(path: &Path) -> String {
    if path.starts_with("bin/ar") {
        return "ar".to_owned();
    }
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What stands after each occurrence of `word` as a word of its own.
fn after_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let rest = &code[at + word.len()..];
        let starts = !code[..at].ends_with(is_word);
        let ends = !rest.starts_with(is_word);
        (starts && ends).then_some(rest)
    })
}

fn names(code: &str, word: &str) -> bool {
    after_word(code, word).next().is_some()
}

/// The modules that `code` reaches through `root::`, groups in braces included.
fn imports(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in after_word(code, root) {
        let Some(path) = rest.trim_start().strip_prefix("::") else {
            continue;
        };
        let path = path.trim_start();
        match path.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.extend(head(path)),
        }
    }
    found
}

fn head(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path.find(|c| !is_word(c)).unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}

/// The first word of every item of an import group whose brace is open.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads: Vec<String> = head(group).into_iter().collect();
    let mut depth = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.extend(head(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// Why `from` may not import `to`, if it may not.
fn objection(from: &str, to: &str) -> Option<String> {
    if from == to || EXCEPTIONS.iter().any(|(f, t, _)| *f == from && *t == to) {
        return None;
    }
    let Some(upper) = layer(from) else {
        return Some(format!("module {from} is missing from LAYERS"));
    };
    let Some(lower) = layer(to) else {
        return Some(format!("{from} imports {to}, which is missing from LAYERS"));
    };
    if let Some((_, allowed)) = ONLY.iter().find(|(name, _)| *name == from) {
        return (!allowed.contains(&to))
            .then(|| format!("{from} imports {to}; it may import {allowed:?} only"));
    }
    if FOR_ALL.contains(&to) && lower <= upper || lower < upper {
        return None;
    }
    Some(format!(
        "{from} (layer {upper}) imports {to} (layer {lower}); imports point down"
    ))
}

fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n  {}\n", problems.join("\n  "));
}

#[test]
fn imports_point_down() {
    let mut problems = Vec::new();
    for source in sources() {
        if source.path.starts_with("bin") || source.module == "lib" {
            continue;
        }
        for to in imports(&source.code, "crate") {
            if let Some(objection) = objection(&source.module, &to) {
                problems.push(format!("src/{}: {objection}", source.path.display()));
            }
        }
    }
    assert_none(problems);
}

/// `super` past the top module would be an import that the test above does not
/// see.
#[test]
fn no_module_climbs_out_of_itself() {
    let mut problems = Vec::new();
    for source in sources() {
        let nested = source.path.iter().count() - 1;
        let is_folder = source.path.ends_with("mod.rs");
        let depth = if is_folder { nested } else { nested + 1 };
        let body = source.code.split("#[cfg(test)]").next().unwrap();
        if !source.path.starts_with("bin") && names(body, &vec!["super"; depth].join("::")) {
            problems.push(format!(
                "src/{}: {depth} times super",
                source.path.display()
            ));
        }
    }
    assert_none(problems);
}

#[test]
fn executables_use_what_ar_uses_and_doors_use_the_top_layer() {
    let mut problems = Vec::new();
    for source in sources() {
        if !source.path.starts_with("bin") {
            continue;
        }
        for to in imports(&source.code, "ripost") {
            let allowed = match source.module.as_str() {
                "ar" => objection("ar", &to).is_none(),
                _ => layer(&to) == Some(6),
            };
            if !allowed {
                problems.push(format!("src/{} imports {to}", source.path.display()));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn only_sys_is_unsafe() {
    let problems = sources()
        .iter()
        .filter(|source| source.module != "sys" && names(&source.code, "unsafe"))
        .map(|source| format!("src/{} contains unsafe", source.path.display()))
        .collect();
    assert_none(problems);
}

#[test]
fn crates_stay_in_the_modules_they_are_for() {
    let mut problems = Vec::new();
    for source in sources() {
        let mut limits: Vec<(&str, bool)> = CRATES
            .iter()
            .map(|(name, who)| (*name, who.contains(&source.module.as_str())))
            .collect();
        limits.push(("tokio", !SYNC.contains(&source.module.as_str())));
        for (name, allowed) in limits {
            let named = !imports(&source.code, name).is_empty();
            if named && !allowed {
                problems.push(format!("src/{} names {name}", source.path.display()));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn files_keep_to_their_budgets_and_are_named_for_what_they_hold() {
    let mut problems = Vec::new();
    for source in sources() {
        let limit = if source.path.starts_with("bin/ar") {
            EXECUTABLE_LINES
        } else if source.path.starts_with("bin") {
            DOOR_LINES
        } else {
            FILE_LINES
        };
        if source.lines > limit {
            problems.push(format!(
                "src/{} has {} lines, {limit} are allowed",
                source.path.display(),
                source.lines
            ));
        }
        for part in &source.path {
            let name = part.to_str().unwrap().trim_end_matches(".rs");
            if ["common", "helper", "helpers", "misc", "util", "utils"].contains(&name) {
                problems.push(format!(
                    "src/{}: {name} says nothing",
                    source.path.display()
                ));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn every_module_of_the_library_has_a_layer() {
    let lib = sources()
        .into_iter()
        .find(|source| source.module == "lib")
        .unwrap();
    let problems = after_word(&lib.code, "mod")
        .filter_map(head)
        .filter(|module| layer(module).is_none())
        .map(|module| format!("module {module} is missing from LAYERS"))
        .collect();
    assert_none(problems);
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    const CASES: &[(&str, &[&str])] = &[
        ("use crate::model::AgentId;", &["model"]),
        (
            "use crate::{clock, model::{A, b::C}, wire};",
            &["clock", "model", "wire"],
        ),
        ("pub(crate) use crate :: sys\n::fs;", &["sys"]),
        (
            "let x = crate::executor::run(crate::policy::judge());",
            &["executor", "policy"],
        ),
        ("$crate::diag::Problem", &["diag"]),
        ("pub(crate) fn f() {} use mycrate::other;", &[]),
    ];
    for (code, expected) in CASES {
        let found: Vec<String> = imports(code, "crate").into_iter().collect();
        assert_eq!(found, *expected, "{code}");
    }
    assert_eq!(
        without_comments("//! [`crate::ctl`]\nx // crate::y"),
        "\nx "
    );
}

#[test]
fn imports_that_point_up_or_sideways_are_refused() {
    const CASES: &[(&str, &str, bool)] = &[
        ("policy", "alert", true),
        ("alert", "policy", false),
        ("matcher", "ledger", false),
        ("manager", "agent", false),
        ("model", "clock", true),
        ("diag", "model", true),
        ("clock", "sys", false),
        ("ar", "contract", true),
        ("ar", "journal", false),
        ("ar", "config", false),
        ("ctl", "service", true),
        ("manager", "unheard_of", false),
    ];
    for (from, to, allowed) in CASES {
        assert_eq!(objection(from, to).is_none(), *allowed, "{from} -> {to}");
    }
}
