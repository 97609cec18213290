//! Feeds the seeds of the fuzz targets to the functions that are fuzzed, so
//! that a message and its seed change together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_seed_is_taken_for_what_it_is_named_after() {
    for (name, target) in fuzz::TARGETS {
        let seeds = folder().join("seeds").join(name);
        let mut taken = 0;
        for seed in names(&seeds) {
            let is_taken = target(&fs::read(seeds.join(&seed)).unwrap());
            assert_eq!(is_taken, !seed.starts_with("refused"), "{name}/{seed}");
            taken += usize::from(is_taken);
        }
        assert!(taken > 0, "{name} has no seed that is taken");
    }
}

#[test]
fn every_target_has_its_seeds_and_its_program() {
    let targets: BTreeSet<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    let targets: BTreeSet<_> = targets.into_iter().map(str::to_owned).collect();
    assert_eq!(names(&folder().join("seeds")), targets);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let programs: BTreeSet<_> = manifest
        .lines()
        .filter_map(|line| {
            line.strip_prefix("path = \"fuzz_targets/")?
                .strip_suffix(".rs\"")
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(programs, targets);
    for name in targets {
        let program = folder().join("fuzz_targets").join(format!("{name}.rs"));
        let text = fs::read_to_string(program).unwrap();
        assert!(text.contains("fuzz_target!"), "{name}");
    }
}
