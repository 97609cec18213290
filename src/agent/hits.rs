//! How many packets the blocks in force have dropped by now, asked of the
//! kernel when somebody wants to see it. Look-ups by key, many in a message:
//! 100,000 take a fraction of a second, and nothing is remembered for it.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use crate::model::bundled::{self, Backend, TargetKind};
use crate::model::{ActionState, ExeName, Record, Target};
use crate::sys::nft::{Found, Kernel, Lists, NftError};

/// Puts into the records of what is in force what nf_tables counts of it.
/// Blocks.
pub(super) fn look_up(mut records: Vec<Record>) -> Vec<Record> {
    for (exe, named) in by_executable(&records) {
        let (places, networks): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        match found(exe.as_str(), &networks) {
            Ok(found) => {
                for (at, found) in places.into_iter().zip(found) {
                    if let Found::There(held) = found {
                        records[at].hits = held.hits;
                    }
                }
            }
            Err(error) => {
                log::debug!(executable:% = exe, error:% = error; "it is not known what blocks have dropped");
            }
        }
    }
    records
}

fn found(exe: &str, networks: &[IpNetwork]) -> Result<Vec<Found>, NftError> {
    Lists::open(exe, Kernel::probe())?.look_up(networks)
}

/// What may be in lists of nf_tables: which record, and its network.
fn by_executable(records: &[Record]) -> BTreeMap<ExeName, Vec<(usize, IpNetwork)>> {
    let mut named: BTreeMap<ExeName, Vec<_>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let exe = &record.executable;
        let is_listed = bundled::find(exe.as_str()).is_some_and(|row| {
            row.target == TargetKind::Network && row.backends.contains(&Backend::NfTables)
        });
        let key = record.keys.as_ref().and_then(|keys| keys.iter().next());
        let network = key.and_then(|key| Target::parse_network(key).ok()?.network());
        if let Some(network) = network.filter(|_| is_listed && record.state == ActionState::Applied)
        {
            named.entry(exe.clone()).or_default().push((at, network));
        }
    }
    // List by list, of which each message asks for one.
    let list = |network: &IpNetwork| (network.is_ipv6(), network.prefix());
    for places in named.values_mut() {
        places.sort_by_key(|(_, network)| list(network));
    }
    named
}
