//! What the kernel tells of a process in `/proc/PID/stat`.

use std::fs;
use std::io;

/// A thread of the kernel itself (linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

/// The fields of `/proc/PID/stat` that are used here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sys) struct Stat {
    pub(in crate::sys) pid: i32,
    pub(in crate::sys) state: u8,
    pub(in crate::sys) parent: i32,
    pub(in crate::sys) group: i32,
    pub(in crate::sys) session: i32,
    flags: u32,
    /// Clock ticks since boot.
    pub(in crate::sys) start_time: u64,
}

impl Stat {
    pub(in crate::sys) fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// All processes, one after the other: who forks meanwhile may be missed.
    pub(in crate::sys) fn of_all() -> io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            all.extend(pid.and_then(Self::of));
        }
        Ok(all)
    }

    /// The name of the program, in parentheses, may itself contain blanks and
    /// parentheses; the fields behind the last one are plain (proc(5)).
    pub(in crate::sys) fn parse(stat: &[u8]) -> Option<Self> {
        let number = stat.split(|byte| *byte == b' ').next()?;
        let behind_name = memchr::memrchr(b')', stat)? + 1;
        let fields = std::str::from_utf8(stat.get(behind_name..)?).ok()?;
        let mut fields = fields.split_ascii_whitespace();
        Some(Self {
            pid: std::str::from_utf8(number).ok()?.parse().ok()?,
            state: *fields.next()?.as_bytes().first()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            session: fields.next()?.parse().ok()?,
            // Field 9 of all, counted from the number as the first.
            flags: fields.nth(2)?.parse().ok()?,
            // Field 22.
            start_time: fields.nth(12)?.parse().ok()?,
        })
    }

    pub(in crate::sys) fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Whether it can do nothing now: stopped, or traced and stopped.
    pub(in crate::sys) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    pub(in crate::sys) fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn a_program_name_cannot_forge_fields() {
        let line =
            b"4242 (a) Z 1 1 1) S 7 4242 4240 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 1 1\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(
            (stat.pid, stat.state, stat.parent, stat.group, stat.session),
            (4242, b'S', 7, 4242, 4240)
        );
        assert_eq!(stat.start_time, 987_654);
        assert!(!stat.is_kernel_thread());
    }

    /// Lines of Linux 6.1: kthreadd, a worker of the kernel, udevd, and a
    /// helper that the kernel has started, which is an ordinary process.
    #[test]
    fn a_thread_of_the_kernel_is_told_by_its_flags() {
        for (line, wanted) in [
            (
                "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 1 0 0 20 0 1 0 5 0 0",
                true,
            ),
            (
                "71 (kworker/u4:2-events_unbound) I 2 0 0 0 -1 69238880 0 0 0 0 0 9 0 0 20 0 1 0 84 0 0",
                true,
            ),
            (
                "312 (systemd-udevd) S 1 312 312 0 -1 4194560 3 2 3 4 5 6 7 8 20 0 1 0 411 1 1",
                false,
            ),
            (
                "977 (modprobe) R 71 0 0 0 -1 4194304 3 2 3 4 5 6 7 8 20 0 1 0 9100 1 1",
                false,
            ),
        ] {
            let stat = Stat::parse(line.as_bytes()).unwrap();
            assert_eq!(stat.is_kernel_thread(), wanted, "{line}");
        }
    }
}
