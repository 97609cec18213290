//! Following files as their producers really treat them. The numbers in the
//! names of the cases are those of the list of cases the reader was built to.
//! Every wait is for a condition, with a deadline.

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
