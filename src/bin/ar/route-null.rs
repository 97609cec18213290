//! `route-null`: makes packets to an address or a network go nowhere. What
//! comes from there still arrives; only the answers do not.

use std::process::ExitCode;
use std::slice;

use ipnetwork::IpNetwork;
use ripost::ar::foreign::Foreign;
use ripost::ar::{self, Action, Done, Fail, Job, Serves};
use ripost::model::bundled::{Backend, System};
use ripost::sys::null_routes::{Before, NullRoutes, Owner, RouteError};

/// Holds the connection to the routing tables, where there is one, until it
/// fails.
#[derive(Default)]
struct RouteNull(Option<NullRoutes>);

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

    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.add_all(slice::from_ref(job)).swap_remove(0)
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.delete_all(slice::from_ref(job)).swap_remove(0)
    }
}

impl Serves for RouteNull {
    /// Routes have no end of their own.
    fn add_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        if self.backend() == Backend::RouteTool {
            return jobs.iter().map(|job| tool(job)?.add()).collect();
        }
        let added = self.routed(jobs, NullRoutes::add);
        let done = |before| match before {
            Before::Missing => Done::applied(),
            Before::There => Done::in_place(),
        };
        added.into_iter().map(|before| before.map(done)).collect()
    }

    fn delete_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        if self.backend() == Backend::RouteTool {
            return jobs.iter().map(|job| tool(job)?.delete()).collect();
        }
        let deleted = self.routed(jobs, NullRoutes::delete);
        let done = |before| match before {
            Before::Missing => Done::absent(),
            Before::There => Done::reverted(),
        };
        deleted.into_iter().map(|before| before.map(done)).collect()
    }
}

/// One of the two changes of many routes.
type Change =
    fn(&mut NullRoutes, &[IpNetwork]) -> Result<Vec<Result<Before, RouteError>>, RouteError>;

impl RouteNull {
    /// Changes the routes. What is wrong with the whole is wrong with each.
    fn routed(&mut self, jobs: &[Job<'_, IpNetwork>], change: Change) -> Vec<Result<Before, Fail>> {
        let networks: Vec<_> = jobs.iter().map(|job| job.target).collect();
        let opened = match self.0.take() {
            Some(routes) => Ok(routes),
            None => NullRoutes::open(Owner::RouteNull),
        };
        let changed = opened.and_then(|mut routes| {
            let changed = change(&mut routes, &networks)?;
            self.0 = Some(routes);
            Ok(changed)
        });
        match changed {
            Ok(changed) => changed
                .into_iter()
                .map(|before| before.map_err(Fail::from))
                .collect(),
            Err(error) => vec![Err(error.into()); jobs.len()],
        }
    }
}

/// What changes routes where there is no netlink.
fn tool<'a>(job: &'a Job<'_, IpNetwork>) -> Result<Foreign<'a>, Fail> {
    Foreign::new(Backend::RouteTool, System::here(), job.target, &job.options)
}

fn main() -> ExitCode {
    ar::serve(RouteNull::default())
}
