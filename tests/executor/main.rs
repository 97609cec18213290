//! The executor against real scripts in a home of its own. The scripts may
//! sleep; the tests wait for what happens.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may write plain files, start processes and fail by panic"
)]

mod conversation;
mod endings;
mod groups;
mod kinds;
mod place;
mod surroundings;
mod trust;
mod words;
mod workers;
