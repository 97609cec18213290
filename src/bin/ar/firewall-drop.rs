//! `firewall-drop`: drops all packets from an address or a network, through
//! nf_tables, or through iptables where the kernel has no nf_tables, and cuts
//! what is open with it.

use std::process::ExitCode;
use std::slice;

use ipnetwork::IpNetwork;
use ripost::ar::block::Block;
use ripost::ar::{self, Action, Done, Fail, Job};
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
        let element = Element {
            network: job.target,
            lasts: job.lasts,
        };
        let mut answers = [self.0.add(element)];
        ar::cut_open(slice::from_ref(job), &mut answers);
        let [answer] = answers;
        answer
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.0.delete(job.target)
    }
}

fn main() -> ExitCode {
    ar::main(FirewallDrop(Block::of(FirewallDrop::NAME)))
}
