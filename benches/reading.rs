//! What reading alerts costs: the parts of it, each format, the whole way of a
//! line from its file to the decision, and the real manager over millions of
//! lines that lead to nothing. Ratios are to the least that any reader does:
//! read(2) and looking for newlines.
//!
//! `RIPOST_BENCH_LINES` sets how many lines the manager gets (default 4,000,000,
//! or as many as the disk has room for).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark writes files, starts programs, and fails by panicking"
)]

#[path = "reading/lines.rs"]
mod lines;
mod measured;
#[path = "reading/stages.rs"]
mod stages;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "reading/whole.rs"]
mod whole;

use support::isolation;

fn main() {
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let folder = isolation::folder();
    let floor = stages::print(folder.path());
    whole::print(folder.path(), floor);
    whole::print_formats();
    drop(folder);
    whole::print_manager();
}
