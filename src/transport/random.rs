//! Numbers that nobody can guess.

use rustls::crypto::ring;

/// `N` random bytes from the operating system. Fails where the system gives
/// none, as before its pool is filled (getrandom(2)).
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A random number to spread things in time with. Where the system gives none
/// it is zero, which costs nothing but the spreading.
pub fn number() -> u64 {
    bytes().map_or(0, u64::from_be_bytes)
}

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("get random bytes from the operating system")]
pub struct NoRandomness;
