//! `block-ip`: blocks an address or a network with the best that works on the
//! host. The name is Wazuh 5's.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::block::Block;
use ripost::ar::{self, Action, Done, Fail, Job, Serves};
use ripost::model::bundled::Backend;

struct BlockIp(Block);

impl Action for BlockIp {
    const NAME: &str = "block-ip";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        self.0.backend()
    }

    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.0.add(job)
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.0.delete(job)
    }
}

impl Serves for BlockIp {
    fn add_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        self.0.add_jobs(jobs)
    }

    fn delete_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        self.0.delete_jobs(jobs)
    }
}

fn main() -> ExitCode {
    ar::serve(BlockIp(Block::of(BlockIp::NAME)))
}
