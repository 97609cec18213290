//! The types that an executable can name as its target.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::model::Target;
use crate::model::target::{FilePath, Process, UserName};

/// A type of target, which is also what rows speak of as [`TargetKind`].
///
/// [`TargetKind`]: crate::model::bundled::TargetKind
pub trait ActsOn: Sized {
    /// The words of 4.x for an alert without one, or what it would have said.
    const NO_TARGET: &str;

    /// `None` if the row of the executable speaks of another kind.
    fn of(target: Option<Target>) -> Option<Self>;
}

impl ActsOn for IpAddr {
    const NO_TARGET: &str = "Cannot read 'srcip' from data or invalid IP format";

    fn of(target: Option<Target>) -> Option<Self> {
        let Some(Target::Address(address)) = target else {
            return None;
        };
        Some(address)
    }
}

impl ActsOn for IpNetwork {
    const NO_TARGET: &str = IpAddr::NO_TARGET;

    fn of(target: Option<Target>) -> Option<Self> {
        target?.network()
    }
}

impl ActsOn for UserName {
    const NO_TARGET: &str = "Cannot read 'dstuser' from data or invalid username format";

    fn of(target: Option<Target>) -> Option<Self> {
        let Some(Target::User(name)) = target else {
            return None;
        };
        Some(name)
    }
}

impl ActsOn for Process {
    const NO_TARGET: &str = "Cannot read a process from data";

    fn of(target: Option<Target>) -> Option<Self> {
        let Some(Target::Process(process)) = target else {
            return None;
        };
        Some(process)
    }
}

impl ActsOn for FilePath {
    const NO_TARGET: &str = "Cannot read a path from data";

    fn of(target: Option<Target>) -> Option<Self> {
        let Some(Target::File(path)) = target else {
            return None;
        };
        Some(path)
    }
}

/// For what needs no field of an alert: a service, the host.
impl ActsOn for Target {
    const NO_TARGET: &str = "Cannot read a target from data";

    fn of(target: Option<Target>) -> Option<Self> {
        target
    }
}

/// For what has no target at all.
impl ActsOn for () {
    const NO_TARGET: &str = "Cannot read 'alert' from data";

    fn of(target: Option<Target>) -> Option<Self> {
        target.is_none().then_some(())
    }
}
