//! What is written down of a file before it is touched: `NAME.intent` in the
//! store while it is being moved, `NAME.json` once it is there. One JSON object;
//! a member that is unknown is from a later version and is passed over.

use serde::{Deserialize, Serialize};

use super::suspect::{Content, Suspect};
use crate::clock::{self, Wall};
use crate::sys::beneath::Attributes;

/// What is to become of a file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Purpose {
    /// It stays in the store.
    Keep,
    Delete,
}

/// How a file leaves its place.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    /// It is moved into the store itself.
    Renamed,
    /// The store is on another file system: it is copied there, moved into a
    /// private folder beside its place, and deleted in that.
    Copied,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    /// As the alert has it.
    pub(super) path: String,
    pub(super) purpose: Purpose,
    pub(super) way: Way,
    pub(super) taken: Wall,
    /// By which the file is known after a crash.
    pub(super) inode: u64,
    /// In bytes.
    pub(super) size: u64,
    /// Left out of a file that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attributes: Option<Attributes>,
    /// The name of the private folder beside its place, whenever one is needed.
    pub(super) beside: String,
    /// The inode of a copy of it that was about to go to its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) returned: Option<u64>,
}

impl Record {
    pub(super) fn of(suspect: &Suspect<'_>, purpose: Purpose) -> Self {
        let (sha256, attributes) = match &suspect.content {
            Content::Read {
                sums, attributes, ..
            } => (Some(sums.sha256().to_owned()), Some(attributes.clone())),
            Content::Unread(_) => (None, None),
        };
        Self {
            path: suspect.path.as_str().to_owned(),
            purpose,
            way: Way::Renamed,
            taken: clock::wall(),
            inode: suspect.found.id().inode(),
            size: suspect.found.size(),
            sha256,
            attributes,
            // Nobody can know it before, and take it.
            beside: format!(".ripost-{:x}-{:x}", std::process::id(), clock::boot_nanos()),
            returned: None,
        }
    }
}
