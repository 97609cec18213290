//! The parts of reading, each for itself, on one thread.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;

use memchr::memchr_iter;
use rustix::time::{ClockId, clock_gettime};

use crate::lines::{Hits, write_file};

/// Lines that are measured: some 500 MB, which no cache holds.
pub const LINES: u32 = 400_000;

/// How often each is measured; the least counts, as whatever else runs on the
/// machine only adds.
pub const ROUNDS: usize = 5;

/// What is read at once, in bytes.
const CHUNK: usize = 256 << 10;

/// Nanoseconds of processor time that `run` takes, at the least.
pub fn least(clock: ClockId, mut run: impl FnMut()) -> f64 {
    let now = || {
        let time = clock_gettime(clock);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let before = now();
        run();
        least = least.min(now() - before);
    }
    least
}

/// The numbers of one row.
pub fn row(name: &str, nanos: f64, bytes: u64, floor: f64) {
    println!(
        "  {name:<44}{:>10.0}{:>12.0}{:>10.2}",
        nanos / f64::from(LINES),
        bytes as f64 / nanos * 1e3,
        nanos / floor
    );
}

pub fn head(title: &str) {
    println!("\n{title}");
    println!(
        "  {:<44}{:>10}{:>12}{:>10}",
        "", "ns a line", "MB/s", "ratio"
    );
}

/// Prints the parts; answers what reading and looking for newlines takes.
pub fn print(folder: &Path) -> f64 {
    let path = folder.join("stages.json");
    let bytes = write_file(&path, LINES, Hits(10));
    let text = std::fs::read(&path).unwrap();
    let thread = ClockId::ThreadCPUTime;
    let read = least(thread, || {
        read_file(&path, |chunk| {
            black_box(chunk);
        })
    });
    let floor = least(thread, || {
        read_file(&path, |chunk| {
            black_box(memchr_iter(b'\n', chunk).count());
        })
    });
    let scan = least(thread, || {
        black_box(memchr_iter(b'\n', &text).count());
    });
    let value = least(thread, || {
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            black_box(serde_json::from_slice::<serde_json::Value>(line).unwrap());
        }
    });
    head(&format!(
        "The parts, {LINES} lines of {} bytes",
        bytes / u64::from(LINES)
    ));
    row("read(2) alone, 256 KiB at once", read, bytes, floor);
    row("looking for newlines, in memory", scan, bytes, floor);
    row("read(2) and looking for newlines", floor, bytes, floor);
    row(
        "serde_json::Value of each line, in memory",
        value,
        bytes,
        floor,
    );
    std::fs::remove_file(path).unwrap();
    floor
}

fn read_file(path: &Path, mut each: impl FnMut(&[u8])) {
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return,
            count => each(&buffer[..count]),
        }
    }
}
