//! `firewall-drop`: drops all packets from an address or a network, through
//! nf_tables, or through iptables where the kernel has no nf_tables, and cuts
//! what is open with it.

use std::process::ExitCode;
use std::slice;

use ipnetwork::IpNetwork;
use ripost::ar::block::Block;
use ripost::ar::{self, Action, Done, Fail, Job, Serves};
use ripost::model::bundled::Backend;
use ripost::sys::nft::Element;

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
        self.0.delete(job.target)
    }
}

impl Serves for FirewallDrop {
    fn add_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        let element = |job: &Job<'_, IpNetwork>| Element {
            network: job.target,
            lasts: job.lasts,
        };
        let elements: Vec<_> = jobs.iter().map(element).collect();
        let mut answers = self.0.add_all(&elements);
        ar::cut_open(jobs, &mut answers);
        answers
    }

    fn delete_all(&mut self, jobs: &[Job<'_, IpNetwork>]) -> Vec<Result<Done, Fail>> {
        let networks: Vec<_> = jobs.iter().map(|job| job.target).collect();
        self.0.delete_all(&networks)
    }
}

fn main() -> ExitCode {
    ar::serve(FirewallDrop(Block::of(FirewallDrop::NAME)))
}
