//! What kind of trouble kept an effect from coming about, as an exit status.
//!
//! Found in the error itself and in what caused it, so that whoever writes an
//! executable gets it by `?`. The numbers are those of sysexits(3) where it has
//! one that fits. `docs/executables.md` lists them.

use std::error::Error;
use std::io;

use crate::ar::accounts::{MemoryError, PersonError};
use crate::ar::block::BlockError;
use crate::ar::foreign::ForeignError;
use crate::ar::iptables::IptablesError;
use crate::ar::kill::UserError;
use crate::ar::quarantine;
use crate::ar::sessions::SessionsError;
use crate::ar::tool::ToolError;
use crate::sys::fs::FsError;
use crate::sys::kill::KillError;
use crate::sys::nft::NftError;
use crate::sys::null_routes::RouteError;
use crate::sys::shadow::ShadowError;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// None of the others, or more than one.
    Other,
    /// What stands there is not what the alert speaks of, or was changed while
    /// it was worked on.
    Changed,
    /// What the alert names is not there any more.
    Gone,
    /// A program of the host that is needed is not installed.
    NoTool,
    /// This kernel, or this system, does not have what is needed.
    NotInKernel,
    /// There is no room: in a set, on a disk, in memory.
    Full,
    /// The file system is mounted read-only.
    ReadOnly,
    /// Another program holds it.
    Busy,
    NotPermitted,
}

impl Cause {
    /// The exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Changed => 65,
            Self::Gone => 66,
            Self::NoTool => 69,
            Self::NotInKernel => 71,
            Self::Full => 73,
            Self::ReadOnly => 74,
            Self::Busy => 75,
            Self::NotPermitted => 77,
        }
    }

    /// What to do, where the error itself does not say.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Other => "",
            Self::Changed => "(look at what stands there now; the next alert about it is another)",
            Self::Gone => "(nothing is left to be done, if it has gone for good)",
            Self::NoTool => "(install it, or name another executable for this host)",
            Self::NotInKernel => "(name another executable for this host, or update its kernel)",
            Self::Full => "(make room: `df` and `df -i` show disks, `free` memory)",
            Self::ReadOnly => {
                "(`findmnt -O ro` lists what is mounted so; mount it writable, and see `dmesg` for why it is not)"
            }
            Self::Busy => {
                "(find out which program holds it; what was asked for can be asked again)"
            }
            Self::NotPermitted => "(run the agent as root, with all its capabilities)",
        }
    }

    /// The first in a chain of errors that is known.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(cause) = known(error) {
                return cause;
            }
            next = error.source();
        }
        Self::Other
    }
}

/// What this error is by itself, without what caused it.
fn known(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref() {
        return of_system(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_block(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_tool(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_file(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_shadow(error);
    }
    if let Some(MemoryError::Shadow(error)) = error.downcast_ref() {
        return of_shadow(error);
    }
    if let Some(MemoryError::File(error)) = error.downcast_ref() {
        return of_file(error);
    }
    if let Some(PersonError::Unknown(_)) = error.downcast_ref() {
        return Some(Cause::Gone);
    }
    if let Some(SessionsError::Tool(error)) = error.downcast_ref() {
        return of_tool(error);
    }
    if let Some(KillError::NoDescriptors { .. }) = error.downcast_ref() {
        return Some(Cause::NotInKernel);
    }
    if let Some(SessionsError::Processes(UserError::Unseen(KillError::NoDescriptors { .. }))) =
        error.downcast_ref()
    {
        return Some(Cause::NotInKernel);
    }
    if let Some(error) = error.downcast_ref() {
        return of_nf_tables(error);
    }
    if let Some(ForeignError::System(_)) = error.downcast_ref() {
        return Some(Cause::NotInKernel);
    }
    if let Some(error) = error.downcast_ref() {
        return of_route(error);
    }
    quarantine::cause(error)
}

fn of_system(error: &io::Error) -> Option<Cause> {
    match error.raw_os_error()? {
        libc::EACCES | libc::EPERM => Some(Cause::NotPermitted),
        libc::EROFS => Some(Cause::ReadOnly),
        libc::EBUSY | libc::ETXTBSY => Some(Cause::Busy),
        libc::EDQUOT
        | libc::EMFILE
        | libc::ENFILE
        | libc::ENOBUFS
        | libc::ENOMEM
        | libc::ENOSPC => Some(Cause::Full),
        libc::EAFNOSUPPORT | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT => {
            Some(Cause::NotInKernel)
        }
        _ => None,
    }
}

fn of_block(error: &BlockError) -> Option<Cause> {
    match error {
        BlockError::NfTables(error) => of_nf_tables(error),
        BlockError::Iptables(error) => of_iptables(error),
        BlockError::Routes(error) => of_route(error),
        BlockError::Nothing { lacks, .. } => Some(*lacks),
    }
}

fn of_route(error: &RouteError) -> Option<Cause> {
    // What the system said comes next in the chain.
    matches!(error, RouteError::NoFamily(_)).then_some(Cause::NotInKernel)
}

fn of_nf_tables(error: &NftError) -> Option<Cause> {
    match error {
        NftError::NotPermitted => Some(Cause::NotPermitted),
        NftError::NotInKernel => Some(Cause::NotInKernel),
        NftError::Full | NftError::NoMemory => Some(Cause::Full),
        NftError::Busy | NftError::Contended | NftError::Owned => Some(Cause::Busy),
        NftError::OtherShape
        | NftError::TooLong
        | NftError::Everything
        | NftError::Kernel(_)
        | NftError::NoAnswer
        | NftError::Socket { .. } => None,
    }
}

fn of_iptables(error: &IptablesError) -> Option<Cause> {
    match error {
        IptablesError::NotPermitted { .. } => Some(Cause::NotPermitted),
        IptablesError::Busy { .. } => Some(Cause::Busy),
        IptablesError::NoTable { .. }
        | IptablesError::NoNfTables { .. }
        | IptablesError::NoFamily { .. } => Some(Cause::NotInKernel),
        IptablesError::Tool(error) => of_tool(error),
        IptablesError::Lock(error) => of_file(error),
        IptablesError::Kernel(_) | IptablesError::Lost(_) | IptablesError::Stays(_) => None,
    }
}

fn of_tool(error: &ToolError) -> Option<Cause> {
    match error {
        ToolError::Missing { .. } => Some(Cause::NoTool),
        ToolError::Run { .. } | ToolError::TimedOut { .. } | ToolError::Failed { .. } => None,
    }
}

pub(super) fn of_file(error: &FsError) -> Option<Cause> {
    match error {
        FsError::Locked { .. } => Some(Cause::Busy),
        FsError::Io { .. } | FsError::NotRegular(_) => None,
    }
}

fn of_shadow(error: &ShadowError) -> Option<Cause> {
    match error {
        ShadowError::Held { .. } => Some(Cause::Busy),
        ShadowError::File(error) => of_file(error),
        ShadowError::Missing
        | ShadowError::Link(_)
        | ShadowError::Lock(_)
        | ShadowError::Label(_)
        | ShadowError::Replace { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::Cause;
    use crate::ar::Fail;
    use crate::ar::block::BlockError;
    use crate::ar::iptables::IptablesError;
    use crate::ar::tool::Tool;
    use crate::sys::fs::FsError;
    use crate::sys::nft::NftError;

    const ALL: &[Cause] = &[
        Cause::Other,
        Cause::Changed,
        Cause::Gone,
        Cause::NoTool,
        Cause::NotInKernel,
        Cause::Full,
        Cause::ReadOnly,
        Cause::Busy,
        Cause::NotPermitted,
    ];

    #[test]
    fn each_has_a_number_of_its_own_that_the_page_lists_and_says_what_to_do() {
        let page = include_str!("../../docs/executables.md");
        let mut codes = Vec::new();
        for cause in ALL {
            let code = cause.code();
            assert!(!codes.contains(&code), "{cause:?}");
            assert!(page.contains(&format!("\n| {code} | ")), "{cause:?}");
            codes.push(code);
            let hint = cause.hint();
            assert_eq!(hint.is_empty(), *cause == Cause::Other, "{cause:?}");
        }
    }

    /// An error behind two that only pass it on is found all the same.
    #[test]
    fn the_trouble_is_found_wherever_in_the_chain_it_is() {
        let path = std::path::Path::new("/x");
        let io = |errno| FsError::io("write", path)(io::Error::from_raw_os_error(errno));
        let locked = || FsError::Locked {
            path: path.to_owned(),
            holder: "1".to_owned(),
        };
        let missing = Tool::find("no-such-tool", "install it").unwrap_err();
        for (fail, wanted) in [
            (Fail::from(io(libc::EROFS)), Cause::ReadOnly),
            (io(libc::ENOSPC).into(), Cause::Full),
            (io(libc::EACCES).into(), Cause::NotPermitted),
            (io(libc::ENOENT).into(), Cause::Other),
            (IptablesError::Lock(locked()).into(), Cause::Busy),
            (
                BlockError::Iptables(IptablesError::Tool(missing).into()).into(),
                Cause::NoTool,
            ),
            (
                BlockError::NfTables(Arc::new(NftError::Full)).into(),
                Cause::Full,
            ),
            (NftError::Owned.into(), Cause::Busy),
        ] {
            assert_eq!(fail.cause(), wanted, "{fail}");
        }
    }

    #[test]
    fn a_hint_of_the_error_itself_comes_first() {
        let full = Fail::from(NftError::Full).explained();
        assert!(full.ends_with("without one)"), "{full}");
        let path = std::path::Path::new("/x");
        let source = io::Error::from_raw_os_error(libc::EROFS);
        let read_only = Fail::from(FsError::io("write", path)(source)).explained();
        assert!(read_only.contains("\n(`findmnt -O ro`"), "{read_only}");
    }
}
