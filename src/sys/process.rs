//! Child processes: how they are started, watched and ended.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ProcessId {
    pub pid: u32,
    pub start_time: u64,
}
