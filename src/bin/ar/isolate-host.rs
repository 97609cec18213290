//! `isolate-host`: cuts this host off from everything but its manager, DHCP,
//! its name servers and itself.

use std::process::ExitCode;

use ripost::ar::{self, Action, Done, Fail, Job, isolate};
use ripost::model::Target;
use ripost::model::bundled::Backend;
use ripost::sys::nft::Kernel;
use ripost::sys::nft::isolation::{Before, Isolation};

/// A host that its manager cannot reach could never be let free by a person.
#[derive(Debug, thiserror::Error)]
#[error(
    "cut this host off: its manager was reached before and not any more, so it has been undone\n(look at the addresses and ports of the manager in etc/agent.conf; what else is on the way to it must be named in <extra_args>)"
)]
struct Unreached;

/// Holds its socket to the end, because closing it may take a while.
struct IsolateHost(Option<Isolation>);

impl Action for IsolateHost {
    const NAME: &str = "isolate-host";
    type Target = Target;

    fn backend(&self) -> Backend {
        Backend::NfTables
    }

    fn add(&mut self, job: &Job<'_, Target>) -> Result<Done, Fail> {
        let allowed = isolate::allowed(&job.options)?;
        let isolation = self.0.insert(Isolation::open(Kernel::probe())?);
        let was_reached = isolate::is_reached(&allowed);
        let before = isolation.add(&allowed)?;
        // One that was not reached before may be away, or the network is not up
        // yet after a boot: that is no reason to stay open.
        if before == Before::Open && was_reached && !isolate::is_reached(&allowed) {
            isolation.delete()?;
            return Err(Unreached.into());
        }
        Ok(match before {
            Before::Open => Done::applied(),
            Before::CutOff => Done::in_place(),
        })
    }

    fn delete(&mut self, _: &Job<'_, Target>) -> Result<Done, Fail> {
        let isolation = self.0.insert(Isolation::open(Kernel::probe())?);
        Ok(match isolation.delete()? {
            Before::Open => Done::absent(),
            Before::CutOff => Done::reverted(),
        })
    }
}

fn main() -> ExitCode {
    ar::main(IsolateHost(None))
}
