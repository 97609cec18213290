//! Programs of the host that an executable needs: found where administrators'
//! programs lie, run without a shell, with nothing but their arguments, and for
//! no longer than they may.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::clock;
use crate::sys::host::{PROGRAM_FOLDERS, find_program};

/// What is kept of each of a tool's two outputs, in bytes.
const MAX_OUTPUT: u64 = 16 << 20;

/// Why a tool did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("find {name}: it is in none of {}\n({hint})", PROGRAM_FOLDERS.join(", "))]
    Missing {
        name: &'static str,
        hint: &'static str,
    },
    #[error("run {}", .program.display())]
    Run {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("run {}: it did not end within {} s and was killed", .program.display(), .limit.as_secs())]
    TimedOut { program: PathBuf, limit: Duration },
    #[error("run {}: {status}: {said}", .program.display())]
    Failed {
        program: PathBuf,
        status: ExitStatus,
        /// The first line of what it said, escaped.
        said: String,
    },
}

/// What a tool left, however it ended.
#[derive(Debug)]
pub struct Ended {
    program: PathBuf,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Its output, if it says that it did what it was asked to.
    pub fn done(self) -> Result<String, ToolError> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        let lines = self.stderr.lines().chain(self.stdout.lines());
        let said = lines.map(str::trim).find(|line| !line.is_empty());
        Err(ToolError::Failed {
            said: said.unwrap_or("it said nothing").escape_debug().to_string(),
            program: self.program,
            status: self.status,
        })
    }
}

/// A program that is there.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
}

impl Tool {
    /// Finds it by name. `hint` says how to get one, such as which package to
    /// install.
    pub fn find(name: &'static str, hint: &'static str) -> Result<Self, ToolError> {
        let program = find_program(name).ok_or(ToolError::Missing { name, hint })?;
        Ok(Self { program })
    }

    /// Runs it, with an environment that holds only a path and the C locale, so
    /// that its words can be understood. It is killed after `limit`.
    pub fn run(&self, args: &[&str], limit: Duration) -> Result<Ended, ToolError> {
        self.feed(args, b"", limit)
    }

    /// As [`Tool::run`], with `input` on its stdin.
    pub fn feed(&self, args: &[&str], input: &[u8], limit: Duration) -> Result<Ended, ToolError> {
        let program = self.program.clone();
        match self.carry_out(args, input, limit) {
            Ok(Some(ended)) => Ok(ended),
            Ok(None) => Err(ToolError::TimedOut { program, limit }),
            Err(source) => Err(ToolError::Run { program, source }),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where an executable starts a program"
    )]
    fn carry_out(&self, args: &[&str], input: &[u8], limit: Duration) -> io::Result<Option<Ended>> {
        // Files, unlike pipes, need nobody who reads or writes them meanwhile,
        // and end with the tool even if something that it started lives on.
        let (mut stdin, stdout, stderr) = (scratch()?, scratch()?, scratch()?);
        stdin.write_all(input)?;
        stdin.rewind()?;
        let mut child = Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("PATH", PROGRAM_FOLDERS.join(":"))
            .env("LC_ALL", "C")
            .stdin(stdin)
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .spawn()?;
        let Some(status) = wait(&mut child, limit)? else {
            return Ok(None);
        };
        Ok(Some(Ended {
            program: self.program.clone(),
            status,
            stdout: text(stdout)?,
            stderr: text(stderr)?,
        }))
    }
}

/// A file without a name (memfd_create(2)).
fn scratch() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(File::from(memfd_create("tool", MemfdFlags::CLOEXEC)?))
}

fn text(mut file: File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(MAX_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How it ended; `None` if it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let number = number.expect("a child has a number");
    // Its number is its own until it is waited for, below.
    let process = pidfd_open(number, PidfdFlags::empty())?;
    let deadline = clock::boot_nanos() + u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX / 2);
    loop {
        let left = Duration::from_nanos(deadline.saturating_sub(clock::boot_nanos()));
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
            Ok(0) => break,
            Ok(_) => return child.wait().map(Some),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Tool, ToolError};

    const LIMIT: Duration = Duration::from_secs(30);

    fn sh(script: &str, limit: Duration) -> Result<super::Ended, ToolError> {
        Tool::find("sh", "").unwrap().run(&["-c", script], limit)
    }

    #[test]
    fn a_tool_gets_its_arguments_as_they_are_and_no_environment() {
        let printf = Tool::find("printf", "").unwrap();
        let ended = printf.run(&["%s|", "a b", "$(id)", "-x"], LIMIT).unwrap();
        assert_eq!(ended.done().unwrap(), "a b|$(id)|-x|");
        let ended = sh("echo $HOME-$LC_ALL-$PATH; cat", LIMIT).unwrap();
        assert!(ended.stdout.starts_with("-C-/usr/local/sbin:"), "{ended:?}");
    }

    #[test]
    fn a_tool_reads_its_input_to_the_end() {
        let cat = Tool::find("cat", "").unwrap();
        let ended = cat.feed(&[], b"one\ntwo", LIMIT).unwrap();
        assert_eq!(ended.done().unwrap(), "one\ntwo");
        assert_eq!(cat.run(&[], LIMIT).unwrap().done().unwrap(), "");
    }

    #[test]
    fn a_failure_says_what_the_tool_said() {
        let error = sh("printf 'a\\033[2J\\nb' >&2; exit 3", LIMIT)
            .unwrap()
            .done();
        let text = error.unwrap_err().to_string();
        assert!(text.contains("exit status: 3: a\\u{1b}[2J"), "{text}");
        let silent = sh("exit 1", LIMIT).unwrap().done().unwrap_err();
        assert!(silent.to_string().ends_with("it said nothing"));
        let missing = Tool::find("no-such-tool", "apt install it").unwrap_err();
        assert!(missing.to_string().contains("\n(apt install it)"));
    }

    #[test]
    fn a_tool_that_hangs_is_killed_and_one_that_floods_is_cut() {
        let limit = Duration::from_millis(50);
        let error = sh("exec sleep 600", limit).unwrap_err();
        assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
        let ended = sh("head -c 20000000 /dev/zero", LIMIT).unwrap();
        assert_eq!(ended.stdout.len() as u64, super::MAX_OUTPUT);
        // What it leaves behind is not waited for.
        let ended = sh("sleep 600 & echo $!", LIMIT).unwrap();
        sh(&format!("kill {}", ended.stdout.trim()), LIMIT)
            .unwrap()
            .done()
            .unwrap();
    }
}
