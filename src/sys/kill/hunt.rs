//! Stopping and ending processes, with all that descend from them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setpriority_process, setrlimit};

use super::{Held, KillError};
use crate::clock::{self, Boot};
use crate::sys::process::stat::Stat;

/// How long processes have after `SIGTERM`.
const GRACE: Duration = Duration::from_secs(3);

/// How long killed processes may take to be gone.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// How long they may take to stand still. More than a moment is needed only by
/// what hangs in the kernel, and that does not fork.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Who is in state D for so long hangs. For a moment everybody is, who reads from
/// a disk or waits for a child to begin (vfork(2)).
const HANG: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// A process is held by a descriptor.
const DESCRIPTORS: u64 = 1 << 17;

/// setpriority(2).
const HIGHEST_PRIORITY: i32 = -20;

/// How processes are ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// `SIGTERM`, and `SIGKILL` for what is left after three seconds.
    AskThenForce,
    /// `SIGTERM` only.
    Ask,
    /// `SIGKILL` at once.
    Force,
}

/// What has come of it.
#[derive(Debug)]
pub struct Outcome {
    pub ended: usize,
    pub left: Vec<Left>,
    /// Whether new ones came up to the last moment, so that there may be more.
    pub more: bool,
}

/// A process that has not ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Left {
    pub pid: i32,
    /// Why it did not take the signal; `None` if it did.
    pub refused: Option<i32>,
    /// Whether it hangs in the kernel (state D).
    pub hangs: bool,
}

struct Member {
    held: Held,
    refused: Option<Errno>,
}

/// Processes that are to be ended.
pub struct Hunt<'a> {
    members: Vec<Member>,
    /// Which others belong to them; asked anew at each look.
    belongs: Option<&'a dyn Fn(&Held) -> bool>,
    /// Which ones are left alone, whoever started them.
    spared: &'a dyn Fn(&Held) -> bool,
    with_descendants: bool,
}

impl<'a> Hunt<'a> {
    /// `first` are ended for certain.
    pub fn new(
        first: Vec<Held>,
        belongs: Option<&'a dyn Fn(&Held) -> bool>,
        spared: &'a dyn Fn(&Held) -> bool,
        with_descendants: bool,
    ) -> Self {
        raise_limit();
        // A bomb leaves the processor to nobody. Without the right to it, it
        // only takes longer.
        let _ = setpriority_process(None, HIGHEST_PRIORITY);
        let members = first.into_iter().map(Member::new).collect();
        Self {
            members,
            belongs,
            spared,
            with_descendants,
        }
    }

    /// Those that would be ended if it began now, besides the first ones,
    /// including what would be spared. Touches none.
    pub fn look(&self) -> Result<Vec<Held>, KillError> {
        self.unknown(&Stat::of_all().map_err(KillError::List)?)
    }

    /// Ends them. Blocks for some seconds if they do not go.
    pub fn end(mut self, manner: Manner) -> Result<Outcome, KillError> {
        let mut is_all = self.stop()?;
        if manner != Manner::Force {
            self.signal(Signal::TERM);
            self.signal(Signal::CONT);
            self.wait(clock::boot().plus(GRACE));
        }
        if manner != Manner::Ask {
            is_all = self.kill()?;
        }
        let (ended, left): (Vec<_>, Vec<_>) = self.members.iter().partition(|m| m.held.has_ended());
        let hanging = hanging(left.iter().map(|member| member.held.pid()).collect());
        let left = left.into_iter().map(|member| Left {
            pid: member.held.pid(),
            refused: member.refused.map(Errno::raw_os_error),
            hangs: hanging.contains(&member.held.pid()),
        });
        Ok(Outcome {
            ended: ended.len(),
            left: left.collect(),
            more: !is_all,
        })
    }

    /// What has been forked since the last look is stopped and killed as well.
    /// Says whether that were all.
    fn kill(&mut self) -> Result<bool, KillError> {
        let end = clock::boot().plus(KILL_WAIT);
        loop {
            let before = self.members.len();
            let is_all = self.stop()? && self.members.len() == before;
            self.signal(Signal::KILL);
            let all_ended = self.wait(end);
            if (is_all && all_ended) || clock::boot().until(end).is_zero() {
                return Ok(is_all);
            }
        }
    }

    /// Stops all of them, until there is no new one. Says whether it came to
    /// that.
    fn stop(&mut self) -> Result<bool, KillError> {
        self.signal(Signal::STOP);
        let end = clock::boot().plus(STOP_WAIT);
        loop {
            let all = Stat::of_all().map_err(KillError::List)?;
            let stands_still = self.stands_still(&all);
            let found = self.unknown(&all)?;
            let mut news: Vec<_> = found
                .into_iter()
                .filter(|held| !(self.spared)(held))
                .map(Member::new)
                .collect();
            news.iter_mut().for_each(|news| news.signal(Signal::STOP));
            let is_quiet = news.is_empty();
            self.members.extend(news);
            if (is_quiet && stands_still) || clock::boot().until(end).is_zero() {
                return Ok(is_quiet);
            }
            if is_quiet {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Whether no known process could fork when `all` was read.
    fn stands_still(&self, all: &[Stat]) -> bool {
        let states: HashMap<_, _> = all.iter().map(|stat| (stat.pid, stat)).collect();
        self.members.iter().all(|member| {
            let state = states.get(&member.held.pid());
            member.refused.is_some()
                || member.held.has_ended()
                || state.is_none_or(|stat| stat.is_stopped())
        })
    }

    /// Those of `all` that are to be ended and not held yet.
    fn unknown(&self, all: &[Stat]) -> Result<Vec<Held>, KillError> {
        // Looked up after `all` was read, so their numbers were their own then.
        let alive = self.members.iter().filter(|m| !m.held.has_ended());
        let alive: HashSet<_> = alive.map(|member| member.held.pid()).collect();
        let mut found = Vec::new();
        let mut known = alive.clone();
        let others = all.iter().filter(|stat| !alive.contains(&stat.pid));
        for stat in others.filter(|_| self.belongs.is_some()) {
            if let Some(held) = same(stat)?
                && self.belongs.is_some_and(|belongs| belongs(&held))
            {
                known.insert(stat.pid);
                found.push(held);
            }
        }
        if !self.with_descendants {
            return Ok(found);
        }
        for stat in descendants(all, &known) {
            found.extend(same(&stat)?);
        }
        Ok(found)
    }

    fn signal(&mut self, signal: Signal) {
        self.members.iter_mut().for_each(|m| m.signal(signal));
    }

    /// Waits until all have ended, or until `end`. Says whether they have.
    fn wait(&self, end: Boot) -> bool {
        loop {
            let alive = self.members.iter().filter(|m| !m.held.has_ended());
            let mut fds: Vec<_> = alive
                .map(|member| PollFd::new(&member.held, PollFlags::IN))
                .collect();
            let left = clock::boot().until(end);
            if fds.is_empty() || left.is_zero() {
                return fds.is_empty();
            }
            let left = Timespec::try_from(left).expect("a few seconds fit");
            // EINTR or not: they are looked at again.
            let _ = poll(&mut fds, Some(&left));
        }
    }
}

impl Drop for Hunt<'_> {
    /// Whatever has gone wrong, nothing is left standing still.
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

impl Member {
    fn new(held: Held) -> Self {
        let refused = None;
        Self { held, refused }
    }

    fn signal(&mut self, signal: Signal) {
        if let Err(errno) = self.held.signal(signal) {
            self.refused = Some(errno);
        }
    }
}

/// Those of the processes that are seen in state D at every look. Takes its time
/// only where there are any.
fn hanging(mut pids: Vec<i32>) -> Vec<i32> {
    let end = clock::boot().plus(HANG);
    loop {
        pids.retain(|pid| Stat::of(*pid).is_some_and(|stat| stat.state == b'D'));
        if pids.is_empty() || clock::boot().until(end).is_zero() {
            return pids;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Holds the process that was read as `stat`, unless it has ended.
fn same(stat: &Stat) -> Result<Option<Held>, KillError> {
    match Held::open(stat.pid) {
        Ok(held) => Ok(held.filter(|held| held.stat.start_time == stat.start_time)),
        // The number has gone to a thread meanwhile.
        Err(KillError::Thread { .. }) => Ok(None),
        Err(why) => Err(why),
    }
}

/// All that descend from the processes with the numbers `from`: children of
/// theirs, and whoever is in a session that one of them leads, for nobody else
/// can get into it (setsid(2)).
fn descendants(all: &[Stat], from: &HashSet<i32>) -> Vec<Stat> {
    let mut below: HashMap<i32, Vec<Stat>> = HashMap::new();
    for stat in all {
        below.entry(stat.parent).or_default().push(*stat);
        if stat.session != stat.pid && stat.session != stat.parent {
            below.entry(stat.session).or_default().push(*stat);
        }
    }
    // A number says who leads a session only if that process is in it.
    let leads: HashSet<_> = all
        .iter()
        .filter(|stat| stat.session == stat.pid)
        .map(|stat| stat.pid)
        .collect();
    let mut known = from.clone();
    let mut next: Vec<_> = from.iter().copied().collect();
    let mut found = Vec::new();
    while let Some(pid) = next.pop() {
        for stat in below.get(&pid).into_iter().flatten() {
            let descends = stat.parent == pid || leads.contains(&pid);
            if descends && known.insert(stat.pid) {
                next.push(stat.pid);
                found.push(*stat);
            }
        }
    }
    found
}

/// A bomb has more processes than the usual 1,024 descriptors could hold.
/// Without the right to more, what there is has to do.
fn raise_limit() {
    let now = getrlimit(Resource::Nofile);
    let maximum = now
        .maximum
        .map_or(DESCRIPTORS, |most| most.max(DESCRIPTORS));
    let more = |maximum| Rlimit {
        current: maximum,
        maximum,
    };
    let raised = setrlimit(Resource::Nofile, more(Some(maximum)));
    if raised.is_err() {
        let _ = setrlimit(Resource::Nofile, more(now.maximum));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::descendants;
    use crate::sys::process::stat::Stat;

    /// number, parent, session
    fn all(rows: &[(i32, i32, i32)]) -> Vec<Stat> {
        let line = |&(pid, parent, session): &(i32, i32, i32)| {
            let text = format!(
                "{pid} (x) S {parent} {pid} {session} 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 99 1"
            );
            Stat::parse(text.as_bytes()).unwrap()
        };
        rows.iter().map(line).collect()
    }

    #[test]
    fn descendants_are_children_of_children_and_sessions_led_by_them() {
        let all = all(&[
            (1, 0, 1),
            (10, 1, 10),
            (20, 10, 10),
            (30, 20, 10),
            // In a session of its own, and an orphan in that.
            (40, 30, 40),
            (50, 1, 40),
            // A sibling, and an orphan in the session of a bystander.
            (60, 10, 10),
            (70, 1, 10),
            // A session whose number is that of a member by chance.
            (80, 1, 30),
        ]);
        let of = |pid: i32| {
            let mut found: Vec<_> = descendants(&all, &HashSet::from([pid]))
                .iter()
                .map(|stat| stat.pid)
                .collect();
            found.sort_unstable();
            found
        };
        assert_eq!(of(20), [30, 40, 50]);
        assert_eq!(of(60), [] as [i32; 0]);
        assert_eq!(of(10), [20, 30, 40, 50, 60, 70]);
    }
}
