//! The notes by which a rule is known as ours.
//!
//! They carry a number of this home, made at random for its first rule: two
//! hosts may block the same attacker in one zone, and the end of one block is
//! not the end of the other. It is kept in a file, since a host's name can
//! change while a rule is in force.

use std::path::Path;
use std::time::Duration;

use ipnetwork::IpNetwork;
use rustls::crypto::ring;

use crate::ar::cloudflare::rule::name;
use crate::sys::fs::{self, FsError};

const FILE: &str = "queue/cloudflare-ban.home";
const LOCK: &str = "queue/cloudflare-ban.lock";
const WAIT: Duration = Duration::from_secs(5);

/// Digits of the number.
const DIGITS: usize = 16;

/// Why this home has no number.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkError {
    #[error(transparent)]
    File(#[from] FsError),
    #[error("get random bytes from the operating system")]
    NoRandomness,
    #[error(
        "read {FILE}: it is not {DIGITS} hexadecimal digits\n(without the number in it, rules that were made are not known as ours: put it back, or remove the rules at Cloudflare and then the file)"
    )]
    Damaged,
}

/// The notes of our rule for a target, if this home can have made one.
pub(super) fn known(target: IpNetwork) -> Result<Option<String>, MarkError> {
    Ok(number()?.map(|number| notes(&number, target)))
}

/// The notes of our rule for a target.
pub(super) fn made(target: IpNetwork) -> Result<String, MarkError> {
    if let Some(notes) = known(target)? {
        return Ok(notes);
    }
    let _lock = fs::lock(Path::new(LOCK), WAIT)?;
    // Another run may have been quicker.
    if let Some(notes) = known(target)? {
        return Ok(notes);
    }
    let mut bytes = [0; DIGITS / 2];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| MarkError::NoRandomness)?;
    let number: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::replace_secret(Path::new(FILE), format!("{number}\n").as_bytes())?;
    Ok(notes(&number, target))
}

fn number() -> Result<Option<String>, MarkError> {
    let Some(bytes) = fs::read(Path::new(FILE))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let number = text.trim_end();
    match number.len() == DIGITS && number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(Some(number.to_owned())),
        false => Err(MarkError::Damaged),
    }
}

/// Nothing in it needs to be escaped in a query but the blanks.
fn notes(number: &str, target: IpNetwork) -> String {
    format!("ripost cloudflare-ban {number} {}", name(target))
}
