//! `firewall-drop`: drops all packets from an address or a network, through
//! nf_tables, or through iptables where the kernel has no nf_tables, and cuts
//! what is open with it.

use std::process::ExitCode;
use std::slice;

use ipnetwork::IpNetwork;
use ripost::ar::block::Block;
use ripost::ar::{self, Action, Done, Fail, Job, Serves};
use ripost::model::bundled::Backend;

struct FirewallDrop(Block);

impl Action for FirewallDrop {
    const NAME: &str = "firewall-drop";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        self.0.backend()
    }

    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.add_all(slice::from_ref(job)).swap_remove(0)
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.0.delete(job)
    }
}

impl Serves for FirewallDrop {
    fn add_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        let mut answers = self.0.add_jobs(jobs);
        ar::cut_open(jobs, &mut answers);
        answers
    }

    fn delete_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        self.0.delete_jobs(jobs)
    }
}

fn main() -> ExitCode {
    ar::serve(FirewallDrop(Block::of(FirewallDrop::NAME)))
}
