//! Which processes `kill-process` ends, and which it never does.
//!
//! Refused are number 1, threads of the kernel, Ripost's own daemons and
//! workers, and every process they descend from: if one of them would be among
//! those to be ended, nothing is done at all. By user, root is refused, and so
//! are system accounts unless `--system` is given.

mod named;
mod ours;

use std::io;
use std::path::Path;

use crate::ar::{Done, Fail, Job, accounts};
use crate::model::bundled::Options;
use crate::model::target::Process;
use crate::sys::kill::{Held, Hunt, KillError, Left, Manner, Outcome};
use named::{Claims, NotIt};
use ours::Ours;

/// The account that stands for no one.
const NOBODY: u32 = 65_534;

/// Why processes have not ended.
#[derive(Debug, thiserror::Error)]
pub enum NotEnded {
    #[error("end {} of {of} processes: process {first} takes no signal\n(run as root, or with CAP_KILL)", .left)]
    Refused {
        left: usize,
        of: usize,
        first: i32,
        #[source]
        source: io::Error,
    },
    #[error("end {} of {of} processes: process {first} hangs in the kernel (state D) and will end once that lets it go\n(look at its wchan in /proc/{first}, and at the disk or the server it waits for)", .left)]
    Hangs { left: usize, of: usize, first: i32 },
    #[error(
        "end {left} of {of} processes: process {first} outlived SIGTERM\n(leave --signal out, and SIGKILL follows)"
    )]
    OutlivedTerm { left: usize, of: usize, first: i32 },
    #[error(
        "end {left} of {of} processes: process {first} outlived SIGKILL\n(see its state in /proc/{first}/status)"
    )]
    OutlivedKill { left: usize, of: usize, first: i32 },
    #[error(
        "end all of them: {ended} have ended, and new ones came faster than they could be stopped\n(try --by exe or --by user, or stop the service that starts them)"
    )]
    More { ended: usize },
    #[error("learn what process {pid} runs")]
    Unseen {
        pid: i32,
        #[source]
        source: io::Error,
    },
}

/// Ends the processes that a job names.
pub fn end(job: &Job<'_, Process>) -> Result<Done, Fail> {
    let ours = Ours::here();
    match &job.target {
        Process::Pid(pid) => numbered(job, *pid, &ours),
        Process::Executable(path) => {
            let path = Path::new(path.as_str());
            let runs_it = |held: &Held| held.exe().is_ok_and(|exe| exe.is(path));
            hunt(job, Vec::new(), Some(&runs_it), &ours)
        }
        Process::User(name) => {
            let user = accounts::uid_of(name)?;
            if let Some(why) = never(user, &job.options)? {
                return Ok(Done::refused(format!("refused {}: {why}", job.target)));
            }
            hunt(job, Vec::new(), Some(&is_of(user)), &ours)
        }
    }
}

/// Why processes of a user run on.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error(transparent)]
    Unseen(#[from] KillError),
    #[error(transparent)]
    NotEnded(#[from] NotEnded),
}

/// How many processes of a user run now.
pub fn count_of(uid: u32) -> Result<usize, UserError> {
    Ok(all_of(&is_of(uid)).look()?.len())
}

/// Ends all processes of a user, and answers how many there were. Blocks for
/// some seconds if they do not go.
pub fn end_all_of(uid: u32) -> Result<usize, UserError> {
    let is_theirs = is_of(uid);
    let manner = Manner::AskThenForce;
    Ok(ended(&all_of(&is_theirs).end(manner)?, manner)?)
}

fn all_of<'a>(belongs: &'a dyn Fn(&Held) -> bool) -> Hunt<'a> {
    Hunt::new(Vec::new(), Some(belongs), &|_| false, false)
}

fn is_of(uid: u32) -> impl Fn(&Held) -> bool {
    move |held| held.user().is_ok_and(|owner| owner == uid)
}

fn numbered(job: &Job<'_, Process>, pid: u32, ours: &Ours) -> Result<Done, Fail> {
    let pid = i32::try_from(pid).expect("no number of a process is that large");
    let Some(held) = Held::open(pid)? else {
        return Ok(none_running());
    };
    let claims = Claims::of(job);
    let trust = match claims.check(&held) {
        Ok(trust) => trust,
        Err(NotIt::Another(why)) => return Ok(Done::changed(format!("refused {pid}: {why}"))),
        Err(NotIt::Ended) => return Ok(none_running()),
        Err(NotIt::Unseen(source)) => return Err(NotEnded::Unseen { pid, source }.into()),
    };
    let done = hunt(job, vec![held], None, ours)?;
    Ok(match trust {
        None => done,
        Some(trust) => done.adding(&trust),
    })
}

fn hunt(
    job: &Job<'_, Process>,
    first: Vec<Held>,
    belongs: Option<&dyn Fn(&Held) -> bool>,
    ours: &Ours,
) -> Result<Done, Fail> {
    let objection = |held: &Held| {
        let why = ours.objection(held)?;
        let (target, pid) = (&job.target, held.pid());
        Some(format!("refused {target}: process {pid} {why}"))
    };
    let refused = first.iter().find_map(objection);
    let has_first = !first.is_empty();
    let spared = |held: &Held| ours.objection(held).is_some();
    let with_descendants = job.options.get("--no-tree").is_none();
    let hunt = Hunt::new(first, belongs, &spared, with_descendants);
    let others = hunt.look()?;
    if let Some(why) = refused.or_else(|| others.iter().find_map(objection)) {
        return Ok(Done::refused(why));
    }
    if !has_first && others.is_empty() {
        return Ok(none_running());
    }
    let manner = match job.options.get("--signal") {
        Some("TERM") => Manner::Ask,
        Some("KILL") => Manner::Force,
        Some(_) | None => Manner::AskThenForce,
    };
    told(&hunt.end(manner)?, manner)
}

/// Somebody else has brought about what was wanted.
fn none_running() -> Done {
    Done::already(
        "none was running (--by exe or --by user finds what it may have started)".to_owned(),
    )
}

fn told(outcome: &Outcome, manner: Manner) -> Result<Done, Fail> {
    let of = ended(outcome, manner)?;
    let plural = if of == 1 { "process" } else { "processes" };
    Ok(Done::applied().adding(&format!("ended {of} {plural}")))
}

/// How many there were, once none of them is left.
fn ended(outcome: &Outcome, manner: Manner) -> Result<usize, NotEnded> {
    let of = outcome.ended + outcome.left.len();
    let Some(&Left {
        pid: first,
        refused,
        hangs,
    }) = outcome.left.first()
    else {
        return match outcome.more {
            true => Err(NotEnded::More { ended: of }),
            false => Ok(of),
        };
    };
    let left = outcome.left.len();
    Err(match (refused, manner) {
        (Some(errno), _) => NotEnded::Refused {
            left,
            of,
            first,
            source: io::Error::from_raw_os_error(errno),
        },
        (None, _) if hangs => NotEnded::Hangs { left, of, first },
        (None, Manner::Ask) => NotEnded::OutlivedTerm { left, of, first },
        (None, Manner::Force | Manner::AskThenForce) => NotEnded::OutlivedKill { left, of, first },
    })
}

/// Why the processes of a user are not ended.
fn never(user: u32, options: &Options) -> Result<Option<String>, Fail> {
    if user == 0 {
        return Ok(Some("this is root".to_owned()));
    }
    if options.get("--system").is_some() {
        return Ok(None);
    }
    let first = accounts::first_person()?;
    let is_system = user < first || user == NOBODY;
    Ok(is_system.then(|| {
        format!("number {user} is a system account (people begin at {first}; --system allows it)")
    }))
}

#[cfg(test)]
mod tests {
    use super::told;
    use crate::sys::kill::{Left, Manner, Outcome};

    #[test]
    fn what_is_left_is_a_failure_that_says_which_and_why() {
        let left = |refused, hangs| Outcome {
            ended: 2,
            left: vec![Left {
                pid: 812,
                refused,
                hangs,
            }],
            more: false,
        };
        for (outcome, manner, wanted) in [
            (
                left(Some(libc::EPERM), false),
                Manner::Force,
                "end 1 of 3 processes: process 812 takes no signal: Operation not permitted",
            ),
            (left(None, true), Manner::Force, "812 hangs in the kernel"),
            (left(None, false), Manner::Force, "812 outlived SIGKILL"),
            (left(None, false), Manner::Ask, "812 outlived SIGTERM"),
        ] {
            let line = told(&outcome, manner).unwrap_err().line();
            assert!(line.contains(wanted), "{line}");
        }
        let endless = Outcome {
            ended: 9,
            left: Vec::new(),
            more: true,
        };
        let line = told(&endless, Manner::Force).unwrap_err().line();
        assert!(line.contains("9 have ended, and new ones came"), "{line}");
    }
}
