//! Cutting what is still open with what has just been blocked.

use ipnetwork::IpNetwork;

use crate::ar::{Done, Fail, Job};
use crate::contract::reply::Status;
use crate::sys::cut::cut;

/// Cuts what is open with the targets of these jobs, all at once, and adds to
/// the answer of each what was cut. Leaves alone what is not blocked, and what
/// a job says to keep.
///
/// A block without it is still a block, so that it could not be done is said
/// and no more.
pub fn cut_open<T>(jobs: &[Job<'_, T>], answers: &mut [Result<Done, Fail>])
where
    T: Copy + Into<IpNetwork>,
{
    let blocked = jobs.iter().zip(answers).filter_map(|(job, answer)| {
        let done = answer.as_mut().ok()?;
        let is_blocked = matches!(done.status, Status::Applied | Status::Already);
        (is_blocked && !job.options.keeps_connections()).then_some((job.target.into(), done))
    });
    let (networks, done): (Vec<IpNetwork>, Vec<&mut Done>) = blocked.unzip();
    if networks.is_empty() {
        return;
    }
    match cut(&networks) {
        Ok(cuts) => {
            for (done, cut) in done.into_iter().zip(cuts) {
                if let Some(summary) = cut.summary() {
                    done.tell_also(&summary);
                }
            }
        }
        Err(error) => {
            let why = Fail::from(error).line();
            done.into_iter().for_each(|done| done.tell_also(&why));
        }
    }
}
