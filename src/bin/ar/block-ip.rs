//! `block-ip`: blocks an address or a network with the best that works on the
//! host. The name is Wazuh 5's.

use std::process::ExitCode;

use ipnetwork::IpNetwork;
use ripost::ar::block::Block;
use ripost::ar::{self, Action, Done, Fail, Job};
use ripost::model::bundled::Backend;
use ripost::sys::nft::Element;

struct BlockIp(Block);

impl Action for BlockIp {
    const NAME: &str = "block-ip";
    type Target = IpNetwork;

    fn backend(&self) -> Backend {
        self.0.backend()
    }

    fn add(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.0.add(Element {
            network: job.target,
            lasts: job.lasts,
        })
    }

    fn delete(&mut self, job: &Job<'_, IpNetwork>) -> Result<Done, Fail> {
        self.0.delete(job.target)
    }
}

fn main() -> ExitCode {
    ar::main(BlockIp(Block::of(BlockIp::NAME)))
}
