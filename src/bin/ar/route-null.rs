//! `route-null`: makes packets to an address or a network go nowhere. What
//! comes from there still arrives; only the answers do not.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::foreign::Foreign;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::{Backend, System};
use ripost::sys::null_routes::{Before, NullRoutes, Owner};

struct RouteNull;

impl Action for RouteNull {
    const NAME: &str = "route-null";
    const NO_TARGET: &str = "Cannot read 'srcip' from data";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        match System::here() {
            System::Linux => Backend::Routes,
            System::FreeBsd
            | System::MacOs
            | System::NetBsd
            | System::OpenBsd
            | System::Windows
            | System::Other => Backend::RouteTool,
        }
    }

    /// Routes have no end of their own.
    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        if let Some(tool) = self.tool(job)? {
            return tool.add();
        }
        match NullRoutes::open(Owner::RouteNull)?.add(job.target)? {
            Before::Missing => Ok(Done::applied()),
            Before::There => Ok(Done::in_place()),
        }
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        if let Some(tool) = self.tool(job)? {
            return tool.delete();
        }
        match NullRoutes::open(Owner::RouteNull)?.delete(job.target)? {
            Before::Missing => Ok(Done::absent()),
            Before::There => Ok(Done::reverted()),
        }
    }
}

impl RouteNull {
    /// What changes routes where there is no netlink.
    fn tool<'a>(&self, job: &'a Job<'_, IpNetwork>) -> Result<Option<Foreign<'a>>, Fail> {
        let backend = self.backend();
        if backend == Backend::Routes {
            return Ok(None);
        }
        Foreign::new(backend, System::here(), job.target, &job.options).map(Some)
    }
}

fn main() -> ExitCode {
    ar::main(RouteNull)
}
