//! Kernels that lack a part: a program, and all that it starts, is refused the
//! sockets of that part as such a kernel refuses them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a kernel lacks.
#[derive(Clone, Copy, Debug)]
pub enum Lacks {
    /// nfnetlink, and with it nf_tables.
    NfTables,
    Ipv6,
}

impl Lacks {
    /// The first and the third argument of socket(2), where it matters, and
    /// the errno.
    fn refusal(self) -> (i32, Option<i32>, i32) {
        match self {
            Self::NfTables => (
                libc::AF_NETLINK,
                Some(libc::NETLINK_NETFILTER),
                libc::EPROTONOSUPPORT,
            ),
            Self::Ipv6 => (libc::AF_INET6, None, libc::EAFNOSUPPORT),
        }
    }
}

/// Offsets in `struct seccomp_data` (seccomp(2)); each argument has 8 bytes, of
/// which the lower half matters here.
const NUMBER: u32 = 0;
const FIRST: u32 = 16;
const THIRD: u32 = 32;

fn filter(lacks: &[Lacks]) -> Vec<libc::sock_filter> {
    let load = |offset| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset);
    let skip_unless =
        |value: u32, over| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, over, value);
    let answer = |value| step(libc::BPF_RET | libc::BPF_K, 0, value);
    let mut steps = Vec::new();
    for (family, protocol, errno) in lacks.iter().map(|lack| lack.refusal()) {
        let refused = answer(libc::SECCOMP_RET_ERRNO | errno as u32);
        let rest = match protocol {
            Some(protocol) => vec![load(THIRD), skip_unless(protocol as u32, 1), refused],
            None => vec![refused],
        };
        let left = rest.len() as u8;
        steps.extend([load(NUMBER), skip_unless(libc::SYS_socket as u32, left + 2)]);
        steps.extend([load(FIRST), skip_unless(family as u32, left)]);
        steps.extend(rest);
    }
    steps.push(answer(libc::SECCOMP_RET_ALLOW));
    steps
}

/// `unless`: how many steps are left out if a comparison does not hold.
fn step(code: u32, unless: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: unless,
        k: value,
    }
}

/// Lets a program run as on a kernel without some of its parts.
#[expect(unsafe_code, reason = "there is no safe way to filter system calls")]
pub fn on_a_kernel_without(lacks: &[Lacks], mut command: Command) -> Command {
    let mut steps = filter(lacks);
    let install = move || {
        let program = libc::sock_fprog {
            len: steps.len() as u16,
            filter: steps.as_mut_ptr(),
        };
        // SAFETY: takes plain numbers.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mode = libc::SECCOMP_MODE_FILTER;
        // SAFETY: `program` and its steps live during the call, which copies
        // them.
        match unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &program) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec it makes two system calls and allocates
    // nothing.
    unsafe { command.pre_exec(install) };
    command
}
