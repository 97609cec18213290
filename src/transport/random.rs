//! Numbers that nobody can guess.

use rustls::crypto::ring;

/// `N` random bytes from the operating system. Fails where the system gives
/// none, as before its pool is filled (getrandom(2)).
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    #[cfg(test)]
    if played::fill(&mut bytes) {
        return Ok(bytes);
    }
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

/// Numbers that a test can have again.
#[cfg(test)]
pub(crate) mod played {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From now on this thread's numbers follow from `seed`; without one they
    /// are the system's again.
    pub(crate) fn follow(seed: Option<u64>) {
        STATE.set(seed);
    }

    pub(super) fn fill(bytes: &mut [u8]) -> bool {
        let Some(mut state) = STATE.get() else {
            return false;
        };
        for part in bytes.chunks_mut(8) {
            let word = word(&mut state).to_be_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
        STATE.set(Some(state));
        true
    }

    /// The next word of SplitMix64 (Steele, Lea and Flood, 2014).
    pub(crate) fn word(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = *state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}
