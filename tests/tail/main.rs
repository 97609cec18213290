//! Following files as their producers really treat them. The numbers in the
//! names of the cases are those of the list of cases the reader was built to.
//! Every wait is for a condition, with a deadline.
//!
//! The cases of that list that are not here: invalid JSON (9) and records that
//! are glued together (10) are the concern of the formats, in
//! `src/alert/reading.rs`, and of the sieve, in `tests/reading.rs`; a kill between
//! an action and its position (21) is in `tests/e2e/kill.rs`; a clock that jumps
//! (34) in `tests/e2e/clock.rs`, while the reader never asks for the time of day
//! but to show it; a full disk (36) in `tests/e2e/faults.rs` and
//! `src/manager/tests/disk.rs`; two managers on one home (37) in `tests/e2e/faults.rs`;
//! ten files of which one is filled at full speed (38) in `tests/streams/glob.rs`;
//! one alert from two sources, and one id from two managers (40), in
//! `tests/streams/manager.rs`. Interrupted and short reads (35) are what every
//! read of a growing file is prepared for; one that fails is here.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "files are written in every way a producer can, and what fails fails the test"
)]

mod lines;
mod owner;
mod process;
mod random;
mod restart;
mod rotation;
mod scene;
mod trouble;
mod truncation;
