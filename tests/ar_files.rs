//! `quarantine-file`, `delete-file` and `ip-customblock`, each in mounts of its
//! own: what becomes of files, whoever interferes and whatever is killed.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, and fails by panicking"
)]

#[path = "ar_files/killed.rs"]
mod killed;
#[path = "ar_files/markers.rs"]
mod markers;
#[expect(dead_code, reason = "the wire is for ar_netns")]
#[path = "support/netns.rs"]
mod netns;
#[path = "ar_files/quarantine.rs"]
mod quarantine;
#[path = "ar_files/races.rs"]
mod races;
#[path = "support/random.rs"]
mod random;
#[expect(dead_code, reason = "the 4.x daemon is for ar_netns")]
#[path = "support/run.rs"]
mod run;
#[path = "ar_files/scene.rs"]
mod scene;
#[path = "ar_files/trouble.rs"]
mod trouble;
