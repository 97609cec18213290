//! Scripts of the administrator under the real daemons: what they are told,
//! what becomes of those that misbehave, and what kills, reloads, hostile
//! alerts and full disks change. No packets, so that most tests need no
//! namespace.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test starts programs, writes files, looks at the time, and fails by panicking"
)]

#[expect(dead_code, reason = "networks and clocks are for other tests")]
#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod contracts;
mod conversation;
mod crashes;
mod disks;
mod files;
mod identity;
mod lists;
mod messages;
mod misbehaving;
mod repeats;
mod scene;
mod settings;
mod steering;
mod stopping;
