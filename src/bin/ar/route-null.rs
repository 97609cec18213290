//! `route-null`: makes packets to an address or a network go nowhere. What
//! comes from there still arrives; only the answers do not.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::Backend;
use ripost::sys::null_routes::{Before, NullRoutes, Owner};

struct RouteNull;

impl Action for RouteNull {
    const NAME: &str = "route-null";
    const NO_TARGET: &str = "Cannot read 'srcip' from data";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::Routes
    }

    /// Routes have no end of their own.
    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        match NullRoutes::open(Owner::RouteNull)?.add(job.target)? {
            Before::Missing => Ok(Done::applied()),
            Before::There => Ok(Done::in_place()),
        }
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        match NullRoutes::open(Owner::RouteNull)?.delete(job.target)? {
            Before::Missing => Ok(Done::absent()),
            Before::There => Ok(Done::reverted()),
        }
    }
}

fn main() -> ExitCode {
    ar::main(RouteNull)
}
