//! The floor: transactions of nf_tables as bytes, sent over a socket of
//! netlink, with nothing looked up before or after.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt,
};

pub fn socket() -> OwnedFd {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )
    .unwrap();
    sockopt::set_socket_send_buffer_size_force(&socket, 2 << 20).unwrap();
    socket
}

pub fn send_whole(socket: &OwnedFd, transaction: &[u8]) {
    let sent = send(socket, transaction, SendFlags::empty()).unwrap();
    assert_eq!(sent, transaction.len());
}

/// Fails if the kernel has refused anything: errors are queued when the call
/// that sends returns.
pub fn assert_taken(socket: &OwnedFd) {
    let error = recv(socket, &mut [0_u8; 64], RecvFlags::DONTWAIT);
    assert_eq!(error.unwrap_err(), Errno::AGAIN);
}

// linux/netfilter/nfnetlink.h and nf_tables.h: the messages and attributes of
// a transaction.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_ELEMENTS: u16 = 10 << 8 | 12;
const CREATE: u16 = 0x400;
const TABLE: u16 = 1;
const SET: u16 = 2;
const ELEMENTS: u16 = 3;
const NESTED: u16 = 1 << 15;

/// The bytes that add these to the IPv4 set of `firewall-drop`, for this long.
pub fn adding(addresses: &[Ipv4Addr], lasts: Duration) -> Vec<u8> {
    let mut bytes = message(BATCH_BEGIN, 0, 0, &[]);
    for some in addresses.chunks(1_000) {
        let elements: Vec<u8> = some.iter().flat_map(|one| encoded(*one, lasts)).collect();
        let body = [
            attribute(TABLE, b"ripost\0"),
            attribute(SET, b"firewall_drop_4\0"),
            attribute(ELEMENTS | NESTED, &elements),
        ];
        bytes.extend(message(NEW_ELEMENTS, CREATE, 1, &body.concat()));
    }
    bytes.extend(message(BATCH_END, 0, 0, &[]));
    bytes
}

fn encoded(address: Ipv4Addr, lasts: Duration) -> Vec<u8> {
    let millis = u64::try_from(lasts.as_millis()).unwrap().to_be_bytes();
    let key = attribute(1 | NESTED, &attribute(1, &address.octets()));
    attribute(
        1 | NESTED,
        &[key, attribute(4, &millis), attribute(5, &millis)].concat(),
    )
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().div_ceil(4) * 4, 0);
    bytes
}

fn message(kind: u16, flags: u16, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + body.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | 1).to_ne_bytes());
    bytes.extend([0; 8]);
    // The subsystem, where the message is a mark of a batch.
    bytes.extend([family, 0, 0, if family == 0 { 10 } else { 0 }]);
    bytes.extend(body);
    bytes
}
