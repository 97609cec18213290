//! Files that are taken away: moved into a store for root alone, from which
//! they can go back, or deleted.
//!
//! All is done by descriptors, and what has been moved is looked at where
//! nobody else gets at it, so that whoever may write to the folder of a file can
//! have no other one moved in its place. What a run has begun when it is killed
//! is ended by the next one for the same path.

mod giving_back;
mod record;
mod refusal;
mod settling;
mod store;
mod sums;
mod suspect;
mod taking;

use std::error::Error;

use crate::ar::quarantine::giving_back::{GiveBackError, give_back};
use crate::ar::quarantine::record::Purpose;
use crate::ar::quarantine::refusal::Stop;
use crate::ar::quarantine::settling::settle;
use crate::ar::quarantine::store::{Shelf, StoreError};
use crate::ar::quarantine::suspect::{Kept, Slipped, Suspect};
use crate::ar::quarantine::taking::take;
use crate::ar::{Cause, Done, Fail, Job, cause};
use crate::contract::reply::Status;
use crate::model::target::FilePath;

/// Why nothing can be taken away.
#[derive(Debug, thiserror::Error)]
#[error("find {0}: there is no such file\n(it may have been deleted since the alert)")]
struct Missing(FilePath);

/// What kind of trouble an error of this module is by itself.
pub(super) fn cause(error: &(dyn Error + 'static)) -> Option<Cause> {
    if error.is::<Missing>() {
        return Some(Cause::Gone);
    }
    if let Some(Slipped::Exchanged(_) | Slipped::Written(_)) = error.downcast_ref() {
        return Some(Cause::Changed);
    }
    if let Some(GiveBackError::Occupied { .. } | GiveBackError::Damaged { .. }) =
        error.downcast_ref()
    {
        return Some(Cause::Changed);
    }
    match error.downcast_ref() {
        Some(StoreError::Fs(error)) => cause::of_file(error),
        Some(StoreError::Open(_) | StoreError::Record { .. } | StoreError::Beneath(_)) | None => {
            None
        }
    }
}

/// Moves a file into the store.
pub fn add(job: &Job<'_, FilePath>) -> Result<Done, Fail> {
    into_store(job).or_else(|stop| stop.told(&job.target))
}

/// Gives the file back that was taken last from this path.
pub fn delete(job: &Job<'_, FilePath>) -> Result<Done, Fail> {
    out_of_store(job).or_else(|stop| stop.told(&job.target))
}

/// Deletes a file for good.
pub fn destroy(job: &Job<'_, FilePath>) -> Result<Done, Fail> {
    into_nothing(job).or_else(|stop| stop.told(&job.target))
}

fn into_store(job: &Job<'_, FilePath>) -> Result<Done, Stop> {
    let store = store::open(&job.options)?;
    let mut shelf = Shelf::open(&store, &job.target)?;
    settle(&mut shelf, &job.target)?;
    let Some(suspect) = Suspect::find(job, &store)? else {
        return match shelf.newest() {
            Some(_) => Ok(Done::in_place()),
            None => Err(Missing(job.target.clone()).into()),
        };
    };
    let kept = take(&shelf, &suspect, Purpose::Keep)?;
    told(&suspect, kept)
}

fn out_of_store(job: &Job<'_, FilePath>) -> Result<Done, Stop> {
    let store = store::open(&job.options)?;
    let mut shelf = Shelf::open(&store, &job.target)?;
    settle(&mut shelf, &job.target)?;
    match give_back(&shelf, &job.target)? {
        None => Ok(Done::absent()),
        Some(0) => Ok(Done::reverted()),
        Some(older) => {
            let detail = format!(
                "this is the one that was taken last: {older} taken before stay in {}",
                store.path().display()
            );
            Ok(Done::new(Status::Reverted, Some(detail)))
        }
    }
}

fn into_nothing(job: &Job<'_, FilePath>) -> Result<Done, Stop> {
    let store = store::open(&job.options)?;
    let mut shelf = Shelf::open(&store, &job.target)?;
    let mut begun = shelf.entries.iter().map(|entry| entry.record.purpose);
    let was_begun = begun.any(|purpose| purpose == Purpose::Delete);
    settle(&mut shelf, &job.target)?;
    let Some(suspect) = Suspect::find(job, &store)? else {
        return Ok(match was_begun {
            true => Done::in_place(),
            false => Done::already("there is no such file".to_owned()),
        });
    };
    let kept = take(&shelf, &suspect, Purpose::Delete)?;
    told(&suspect, kept)
}

/// The file is away: what its place looks like now.
fn told(suspect: &Suspect<'_>, kept: Kept) -> Result<Done, Stop> {
    let mut remarks = suspect.remarks(kept);
    if suspect.folder.find(suspect.name())?.is_some() {
        remarks.push("another file stands there by now".to_owned());
    }
    let detail = (!remarks.is_empty()).then(|| remarks.join("; "));
    Ok(Done::new(Status::Applied, detail))
}
