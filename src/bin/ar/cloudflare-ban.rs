//! `cloudflare-ban`: blocks an address or a network at Cloudflare.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::{self, Action, Done, Fail, Job, cloudflare};
use ripost::model::bundled::Backend;

struct CloudflareBan;

impl Action for CloudflareBan {
    const NAME: &str = "cloudflare-ban";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        Backend::Https
    }

    /// Rules have no end of their own.
    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        cloudflare::add(job.target, &job.options)
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        cloudflare::delete(job.target, &job.options)
    }
}

fn main() -> ExitCode {
    ar::main(CloudflareBan)
}
