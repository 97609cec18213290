//! The manager's own task, with agents that the test plays.

mod bulk;
mod delivery;
mod disk;
mod enrollment;
mod fields;
mod naming;
mod origins;
mod pacing;
mod reverts;
mod scene;
mod sensors;
mod sessions;
mod tokens;
mod updates;
