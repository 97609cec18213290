//! The manager's own task, with agents that the test plays.

mod bulk;
mod delivery;
mod disk;
mod enrollment;
mod reverts;
mod scene;
mod sessions;
mod tokens;
mod updates;
