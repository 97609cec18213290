//! Blocks of networks with the best that works on this host.
//!
//! The row of an executable names its back ends. To add, the best one that this
//! host has is used; one that is there and fails is no reason to use the next.
//! To delete, all are looked through: what was used may have been another then,
//! before a module of the kernel was loaded or a tool removed. So nothing has
//! to be remembered anywhere.

mod error;
mod means;

use std::slice;

use ipnetwork::IpNetwork;

use crate::ar::{Done, Fail, Job};
use crate::model::bundled::{self, Backend};
use crate::sys::nft::Element;
pub(super) use error::BlockError;
use means::{Before, MEANS, Means, Tools};

/// The blocks of one executable. What two executables block is kept apart.
#[derive(Debug)]
pub struct Block {
    means: Vec<Means>,
    tools: Tools,
}

impl Block {
    /// Those of the executable `name`, which has a row.
    pub fn of(name: &'static str) -> Self {
        let row = bundled::find(name).expect("every executable has a row");
        let named = |means: &Means| row.backends.contains(&means.backend());
        Self {
            means: MEANS.into_iter().filter(named).collect(),
            tools: Tools::of(name),
        }
    }

    /// What is tried first. What did the work each answer says itself.
    pub fn backend(&self) -> Backend {
        let first = self.means.first().expect("whoever blocks has means to");
        first.backend()
    }

    /// As [`Block::add_jobs`], of one.
    pub fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        let done = self.add_jobs(slice::from_ref(job)).pop();
        done.expect("one answer for one network")
    }

    /// As [`Block::delete_jobs`], of one.
    pub fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        let done = self.delete_jobs(slice::from_ref(job)).pop();
        done.expect("one answer for one network")
    }

    /// As [`Block::add_all`], of what jobs act on.
    pub fn add_jobs(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        let element = |job: &Job<'_, IpNetwork>| Element {
            network: job.target,
            lasts: job.lasts,
        };
        let elements: Vec<_> = jobs.iter().map(element).collect();
        self.add_all(&elements)
    }

    /// As [`Block::delete_all`], of what jobs act on.
    pub fn delete_jobs(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        let networks: Vec<_> = jobs.iter().map(|job| job.target).collect();
        self.delete_all(&networks)
    }

    /// Blocks networks, and looks whether they are blocked. Each ends by itself
    /// after its time where the means can do that; nf_tables alone can. The
    /// answers are in the order of `elements`.
    pub fn add_all(&mut self, elements: &[Element]) -> Vec<Result<Done, Fail>> {
        let mut open: Vec<Open> = elements.iter().copied().map(Open::new).collect();
        for &means in &self.means {
            let mut left: Vec<_> = open.iter_mut().filter(|one| one.done.is_none()).collect();
            if left.is_empty() {
                break;
            }
            let wanted: Vec<Element> = left.iter().map(|one| one.element).collect();
            let answers = self.tools.add(means, &wanted);
            left.iter_mut()
                .zip(answers)
                .for_each(|(one, answer)| one.take(means, answer));
        }
        open.into_iter().map(Open::end).collect()
    }

    /// Takes back what blocks networks, by whichever means, and looks whether
    /// it is gone. The answers are in the order of `networks`.
    pub fn delete_all(&mut self, networks: &[IpNetwork]) -> Vec<Result<Done, Fail>> {
        let mut done = vec![Ok(Done::absent()); networks.len()];
        for &means in &self.means {
            let answers = self.tools.delete(means, networks);
            for (done, answer) in done.iter_mut().zip(answers) {
                match answer {
                    Ok(Before::Missing) => {}
                    // What a host does not have holds nothing.
                    Err(error) if error.is_gap() => {}
                    Ok(Before::There { hits }) if done.is_ok() => {
                        *done = Ok(Done::reverted().by(means.backend()).counting(hits));
                    }
                    Ok(Before::There { .. }) => {}
                    // The others are looked through all the same.
                    Err(error) => *done = Err(Fail::from(error).by(means.backend())),
                }
            }
        }
        done
    }
}

/// A network that is to be blocked, and how far that has got.
struct Open {
    element: Element,
    /// Why the means that were tried are none.
    gaps: Vec<BlockError>,
    /// The last that was tried.
    means: Option<Means>,
    done: Option<Result<Done, Fail>>,
}

impl Open {
    fn new(element: Element) -> Self {
        Self {
            element,
            gaps: Vec::new(),
            means: None,
            done: None,
        }
    }

    fn take(&mut self, means: Means, answer: Result<Before, BlockError>) {
        let backend = means.backend();
        self.means = Some(means);
        match answer {
            Ok(Before::Missing) => self.done = Some(Ok(Done::applied().by(backend))),
            Ok(Before::There { hits }) => {
                self.done = Some(Ok(Done::in_place().by(backend).counting(hits)));
            }
            Err(error) if error.is_gap() => self.gaps.push(error),
            Err(error) => self.done = Some(Err(Fail::from(error).by(backend))),
        }
    }

    fn end(self) -> Result<Done, Fail> {
        let nothing = || {
            let fail = Fail::from(BlockError::nothing(&self.gaps));
            match self.means {
                Some(means) => fail.by(means.backend()),
                None => fail,
            }
        };
        self.done.unwrap_or_else(|| Err(nothing()))
    }
}
