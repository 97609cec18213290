//! Finding a script that was given words and whose number nobody wrote down: its
//! agent was killed in the moment between its start and that.

use std::fs;
use std::path::Path;

use super::ProcessId;
use super::group::names_home;
use super::stat::Stat;
use crate::sys::exe::Home;

impl ProcessId {
    /// The process that was started from `home` as this program with exactly these
    /// words, and still runs. It leads a session, as all that is started does; what
    /// a script has left behind does not.
    pub fn of_words(home: &Home, program: &str, words: &[&str]) -> Option<Self> {
        let entries = fs::read_dir("/proc").ok()?;
        let mut pids =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let pid = pids.find(|pid| is_it(*pid, home.path(), program, words))?;
        Self::of(pid)
    }
}

fn is_it(pid: i32, home: &Path, program: &str, words: &[&str]) -> bool {
    let leads = |stat: Stat| stat.session == pid && !stat.has_ended();
    Stat::of(pid).is_some_and(leads)
        && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| ends_in(&line, program, words))
        && names_home(pid, home)
}

/// Whether a command line (proc_pid_cmdline(5)) ends in these; before them stands
/// an interpreter.
fn ends_in(line: &[u8], program: &str, words: &[&str]) -> bool {
    let mut wanted = Vec::new();
    for word in [program].iter().chain(words) {
        wanted.extend_from_slice(word.as_bytes());
        wanted.push(0);
    }
    let before = line.strip_suffix(wanted.as_slice());
    before.is_some_and(|before| before.last().is_none_or(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::ends_in;

    #[test]
    fn only_the_very_words_are_taken_for_them() {
        let line = b"/bin/sh\0active-response/bin/x.sh\0add\0-\0";
        assert!(ends_in(line, "active-response/bin/x.sh", &["add", "-"]));
        for (program, words) in [
            ("active-response/bin/x.sh", &["add"][..]),
            ("active-response/bin/x.sh", &["-"]),
            ("bin/x.sh", &["add", "-"]),
            ("active-response/bin/x.sh", &["add", "-", ""]),
        ] {
            assert!(!ends_in(line, program, words), "{program} {words:?}");
        }
    }
}
