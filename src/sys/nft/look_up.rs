//! Looking up elements by their keys, many at a time. Never a dump: its cost
//! grows with the square of what is in the set.
//!
//! A message may ask for many elements. Each that is there is answered by a
//! message of its own, in their order; the first that is missing is answered by
//! an error, and what stands behind it is not looked at
//! (nf_tables_api.c nf_tables_getsetelem).

use ipnetwork::IpNetwork;

use super::answer::{self, Content};
use super::names::{List, Names, TABLE};
use super::socket::Socket;
use super::wire::{Key, Messages, Verb};
use super::{Found, NftError};

/// How many elements are asked for at once. More make it no faster, and the
/// answers must fit the receive buffer.
const WAVE: usize = 128;

/// How many of them one message asks for, once none is missing.
const RUN: usize = 64;

/// What the kernel says of one element, or the errno with which it refused.
pub(super) type Seen = Result<Found, i32>;

/// What the kernel says of each of `networks`, in their order.
pub(super) fn look_up(
    socket: &mut Socket,
    names: &Names,
    networks: &[IpNetwork],
) -> Result<Vec<Seen>, NftError> {
    let mut seen: Vec<Option<Seen>> = vec![None; networks.len()];
    let mut open: Vec<usize> = (0..networks.len()).collect();
    let (mut wave, mut run) = (WAVE, 1);
    while !open.is_empty() {
        let asked = open.len().min(wave);
        let runs = Runs::of(names, networks, &open[..asked], run);
        let complete = runs.ask(socket, &mut seen)?;
        let mut answers = open[..asked].iter().map(|&at| seen[at]);
        let missing = answers.any(|seen| !matches!(seen, Some(Ok(Found::There(_)))));
        run = if missing { 1 } else { (run * 4).min(RUN) };
        let before = open.len();
        open.retain(|&at| seen[at].is_none());
        match (open.len() < before, wave) {
            (false, 1) => return Err(NftError::NoAnswer),
            (false, _) => wave /= 2,
            // Answers were lost: fewer at a time fit.
            (true, _) if !complete => wave = (wave / 2).max(1),
            (true, _) => {}
        }
    }
    Ok(seen.into_iter().flatten().collect())
}

/// One wave: messages, and which elements each of them asks for.
struct Runs<'a> {
    messages: Messages,
    asked: Vec<&'a [usize]>,
}

impl<'a> Runs<'a> {
    /// For the elements at these positions, at most `run` in a message.
    fn of(names: &Names, networks: &[IpNetwork], open: &'a [usize], run: usize) -> Self {
        let mut runs = Self {
            messages: Messages::default(),
            asked: Vec::new(),
        };
        let same_list = |a: &usize, b: &usize| List::of(networks[*a]) == List::of(networks[*b]);
        for of_list in open.chunk_by(same_list) {
            let set = names.set(List::of(networks[of_list[0]]));
            for some in of_list.chunks(run) {
                let keys: Vec<Key> = some.iter().map(|&at| Key::of(networks[at], None)).collect();
                runs.messages.elements(Verb::GetElement, TABLE, &set, &keys);
                runs.asked.push(some);
            }
        }
        runs
    }

    /// Puts the answers into `seen`; what was not answered stays as it is.
    fn ask(&self, socket: &mut Socket, seen: &mut [Option<Seen>]) -> Result<bool, NftError> {
        let mut rest: Vec<_> = self.asked.iter().map(|asked| asked.iter()).collect();
        socket.exchange(&self.messages, |reply| {
            let run = usize::try_from(reply.sequence).ok();
            let answer = match reply.content {
                Content::Object(object) => {
                    answer::element(object).map(|held| Ok(Found::There(held)))
                }
                // No such table, set or element.
                Content::Error(libc::ENOENT) => Some(Ok(Found::Missing)),
                // It did not fit the receive buffer.
                Content::Error(libc::ENOBUFS | libc::ENOMEM) | Content::Done => None,
                Content::Error(errno) => Some(Err(errno)),
            };
            let next = run.and_then(|run| rest.get_mut(run)?.next());
            if let (Some(answer), Some(&at)) = (answer, next) {
                seen[at] = Some(answer);
            }
        })
    }
}
