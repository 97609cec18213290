//! How one kind of connection is listed, matched and ended.

use std::io;

use rustix::net::Protocol;

use super::batch::Batch;
use super::{CutError, Open};
use crate::sys::netlink::{Listed, Orders, list};

/// How many are ended with one list, so that no flood of connections takes more
/// than a few megabytes. What is left then is listed again.
const MAX_ENDED_AT_ONCE: usize = 32 << 10;

/// How often a list is asked for again that was torn.
const MAX_TORN: u32 = 8;

/// How often one is asked for in all.
const MAX_LISTS: u32 = 100;

/// A kind of connection that the kernel lists and ends over netlink.
pub(super) trait Kind {
    /// For errors.
    const OPEN: Open;
    const PROTOCOL: Protocol;
    /// The kinds of the messages.
    const LIST: u16;
    const END: u16;
    /// With which errno a kernel refuses the list that keeps none.
    const NO_LIST: &[i32];
    /// With which errno a kernel refuses the order that never ends any.
    const NO_END: &[i32];

    /// What stands in the request for the list.
    fn question(&self) -> Vec<u8>;

    /// The order for an item of the list; `None` if it is none of the batch's.
    fn order(&self, item: &[u8], batch: &Batch) -> Option<Order>;
}

/// Ends one item and nothing else.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Order {
    /// The place in the batch of the network that it is ended for.
    pub place: usize,
    pub body: Vec<u8>,
}

/// What became of what was open.
#[derive(Debug)]
pub(super) struct Swept {
    /// How many were ended, for each network of the batch.
    pub ended: Vec<usize>,
    /// The kernel cannot list these, or not end what it has listed.
    pub unsupported: bool,
}

/// Ends all of one kind that the batch speaks of. What ends by itself meanwhile
/// is not counted.
pub(super) fn sweep<K: Kind>(kind: &K, batch: &Batch) -> Result<Swept, CutError> {
    let mut swept = Swept {
        ended: vec![0; batch.len()],
        unsupported: false,
    };
    let mut torn = 0;
    for _ in 0..MAX_LISTS {
        let mut found = Vec::new();
        let listed = list(Some(K::PROTOCOL), K::LIST, &kind.question(), |item| {
            if found.len() < MAX_ENDED_AT_ONCE {
                found.extend(kind.order(item, batch));
            }
        });
        let listed = listed.map_err(broken::<K>)?;
        if let Listed::Refused(errno) = listed {
            swept.unsupported = K::NO_LIST.contains(&errno);
            return swept
                .unsupported
                .then_some(swept)
                .ok_or(refused::<K>(errno));
        }
        let is_full = found.len() == MAX_ENDED_AT_ONCE;
        // What cannot be ended would be found again for ever.
        let may_be_more = end::<K>(found, &mut swept)? > 0 && is_full;
        torn += u32::from(listed == Listed::Torn);
        if listed == Listed::Whole && !may_be_more {
            return Ok(swept);
        }
        if torn > MAX_TORN {
            break;
        }
    }
    Err(CutError::Restless(K::OPEN))
}

/// Gives the orders, and returns how many have ended something.
fn end<K: Kind>(found: Vec<Order>, swept: &mut Swept) -> Result<usize, CutError> {
    if found.is_empty() {
        return Ok(0);
    }
    let mut orders = Orders::open(Some(K::PROTOCOL)).map_err(broken::<K>)?;
    let pairs = found.into_iter().map(|order| (order.place, order.body));
    let (places, bodies): (Vec<_>, Vec<_>) = pairs.unzip();
    let answers = orders.give(K::END, &bodies).map_err(broken::<K>)?;
    let (mut ended, mut failed) = (0, None);
    for (place, errno) in places.into_iter().zip(answers) {
        match errno {
            0 => {
                swept.ended[place] += 1;
                ended += 1;
            }
            // It has ended by itself.
            libc::ENOENT => {}
            errno if K::NO_END.contains(&errno) => swept.unsupported = true,
            errno => failed = Some(errno),
        }
    }
    failed.map_or(Ok(ended), |errno| Err(refused::<K>(errno)))
}

fn refused<K: Kind>(errno: i32) -> CutError {
    let source = io::Error::from_raw_os_error(errno);
    match errno {
        libc::EPERM | libc::EACCES => CutError::NotPermitted(K::OPEN, source),
        _ => CutError::Kernel(K::OPEN, source),
    }
}

fn broken<K: Kind>(source: io::Error) -> CutError {
    CutError::Socket(K::OPEN, source)
}
