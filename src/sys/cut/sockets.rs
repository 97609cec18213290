//! Sockets of TCP and UDP, over sock_diag(7). Layouts: linux/sock_diag.h,
//! linux/inet_diag.h.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{Protocol, netlink};

use super::batch::Batch;
use super::sweep::{Kind, Order, sweep};
use super::{CutError, Open, Sockets};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, and
/// `struct inet_diag_sockid`.
const REQUEST: usize = 8 + ID;
/// `struct inet_diag_sockid`: the ports, the own address, the other side's, the
/// interface and the cookie.
const ID: usize = 48;

/// Where things are in `struct inet_diag_msg`, which begins with family, state,
/// timer and retransmissions.
const TIMER: usize = 2;
const ID_AT: usize = 4;
const OTHER_SIDE: usize = ID_AT + 20;

/// The timer of a connection that no socket holds any more (tcp_diag.c,
/// inet_twsk_diag_fill).
const TIME_WAIT_TIMER: u8 = 3;

/// The states in which a socket has another side, one bit each
/// (net/tcp_states.h): not listening, not closed. UDP knows the first alone.
const CONNECTED: u32 = 1 << 1;
const OPEN: u32 = CONNECTED
    | 1 << 2 // SYN_SENT
    | 1 << 3 // SYN_RECV
    | 1 << 4 // FIN_WAIT1
    | 1 << 5 // FIN_WAIT2
    | 1 << 8 // CLOSE_WAIT
    | 1 << 9 // LAST_ACK
    | 1 << 11 // CLOSING
    | 1 << 12; // NEW_SYN_RECV

/// The lists that the kernel keeps, each by itself. Sockets of IPv6 may have
/// another side that is IPv4.
const LISTS: [List; 4] = [
    List::of(libc::AF_INET, libc::IPPROTO_TCP, OPEN),
    List::of(libc::AF_INET6, libc::IPPROTO_TCP, OPEN),
    List::of(libc::AF_INET, libc::IPPROTO_UDP, CONNECTED),
    List::of(libc::AF_INET6, libc::IPPROTO_UDP, CONNECTED),
];

/// Ends the sockets whose other side is in the batch, and says for each of its
/// networks what became of them.
pub(super) fn end(batch: &Batch) -> Result<Vec<Sockets>, CutError> {
    let mut ended = vec![0; batch.len()];
    let mut unsupported = false;
    for list in &LISTS {
        let swept = sweep(list, batch)?;
        for (sum, more) in ended.iter_mut().zip(swept.ended) {
            *sum += more;
        }
        unsupported |= swept.unsupported;
    }
    let outcomes = ended.into_iter().map(|ended| match (ended, unsupported) {
        (0, true) => Sockets::Unsupported,
        (ended, _) => Sockets::Ended(ended),
    });
    Ok(outcomes.collect())
}

struct List {
    family: u8,
    protocol: u8,
    states: u32,
}

impl List {
    const fn of(family: i32, protocol: i32, states: u32) -> Self {
        Self {
            family: family as u8,
            protocol: protocol as u8,
            states,
        }
    }

    fn request(&self, id: &[u8]) -> Vec<u8> {
        let mut request = vec![self.family, self.protocol, 0, 0];
        request.extend(self.states.to_ne_bytes());
        request.extend(id);
        debug_assert_eq!(request.len(), REQUEST);
        request
    }
}

impl Kind for List {
    const OPEN: Open = Open::Sockets;
    const PROTOCOL: Protocol = netlink::SOCK_DIAG;
    const LIST: u16 = SOCK_DIAG_BY_FAMILY;
    const END: u16 = SOCK_DESTROY;
    /// Without inet_diag, or the part of it that is for this protocol.
    const NO_LIST: &[i32] = &[libc::ENOENT, libc::EOPNOTSUPP, libc::EPROTONOSUPPORT];
    /// Without CONFIG_INET_DIAG_DESTROY; before Linux 4.5, which knows no such
    /// message.
    const NO_END: &[i32] = &[libc::EOPNOTSUPP, libc::EINVAL];

    fn question(&self) -> Vec<u8> {
        self.request(&[0; ID])
    }

    /// With its cookie, so that a socket that has got the same addresses and
    /// ports meanwhile is left alone.
    fn order(&self, item: &[u8], batch: &Batch) -> Option<Order> {
        let id = item.get(ID_AT..ID_AT + ID)?;
        let has_socket = *item.get(TIMER)? != TIME_WAIT_TIMER;
        let place = batch.find(other_side(item)?).filter(|_| has_socket)?;
        let body = self.request(id);
        Some(Order { place, body })
    }
}

fn other_side(item: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = item.get(OTHER_SIDE..OTHER_SIDE + 16)?.try_into().ok()?;
    match i32::from(*item.first()?) {
        libc::AF_INET => {
            let [a, b, c, d, ..] = octets;
            Some(Ipv4Addr::new(a, b, c, d).into())
        }
        libc::AF_INET6 => Some(Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Kind, LISTS, OTHER_SIDE, REQUEST, TIME_WAIT_TIMER, TIMER};

    fn item(other_side: [u8; 4]) -> Vec<u8> {
        let mut item = vec![0; 72];
        item[0] = 2;
        item[OTHER_SIDE..OTHER_SIDE + 4].copy_from_slice(&other_side);
        // The cookie.
        item[44..52].copy_from_slice(&[9; 8]);
        item
    }

    fn order(item: &[u8]) -> Option<Vec<u8>> {
        let batch = Batch::of(&["192.0.2.7".parse().unwrap()]);
        LISTS[0].order(item, &batch).map(|order| order.body)
    }

    #[test]
    fn an_order_names_one_socket_with_its_cookie() {
        let item = item([192, 0, 2, 7]);
        let whole = order(&item).unwrap();
        assert_eq!((whole.len(), &whole[REQUEST - 8..]), (REQUEST, &[9; 8][..]));
        for length in 0..item.len() {
            let order = order(&item[..length]);
            assert!(order.is_none_or(|order| order == whole), "{length}");
        }
    }

    #[test]
    fn what_is_another_side_s_or_has_no_socket_is_left_alone() {
        assert_eq!(order(&item([192, 0, 2, 8])), None);
        let mut over = item([192, 0, 2, 7]);
        over[TIMER] = TIME_WAIT_TIMER;
        assert_eq!(order(&over), None);
        let mut unknown = item([192, 0, 2, 7]);
        unknown[0] = 99;
        assert_eq!(order(&unknown), None);
    }
}
