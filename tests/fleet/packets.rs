//! Whole frames from and to one network interface, as packet(7) hands them out.
//! All that is unsafe in these tests is here.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// Room for the largest frame that the kernel has not cut into packets yet
/// (64 KiB and its headers), with the header of [`Packets`].
const LARGEST: usize = 66 * 1024;

/// An interface, as somebody who holds its cable sees it: what comes in, and
/// nothing of what goes out.
///
/// Each frame has `struct virtio_net_hdr` before it, which tells whether its
/// checksum is still to be made and into how many packets it is to be cut. Sent
/// with the header that it came with, a frame is what it was.
#[derive(Debug)]
pub struct Packets {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Packets {
    /// Without a protocol it hears nothing before it is bound.
    pub fn of(interface: &str) -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).unwrap();
        switch_on(&socket, libc::PACKET_VNET_HDR);
        switch_on(&socket, libc::PACKET_IGNORE_OUTGOING);
        let index = name_to_index(&socket, interface).unwrap();
        bind(&socket, c_int::try_from(index).unwrap());
        Self {
            socket,
            buffer: vec![0; LARGEST],
        }
    }

    /// The next frame, if one is there.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        match recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC) {
            Ok((_, length)) => {
                let frame = self.buffer.get(..length);
                Some(frame.expect("no frame is larger than that").to_vec())
            }
            Err(Errno::AGAIN) => None,
            Err(error) => panic!("receive a frame: {error}"),
        }
    }

    /// Sends a frame that [`Packets::receive`] returned; whether there was room
    /// for it.
    pub fn send(&self, frame: &[u8]) -> bool {
        match send(&self.socket, frame, SendFlags::empty()) {
            Ok(_) => true,
            Err(Errno::AGAIN | Errno::NOBUFS) => false,
            Err(error) => panic!("send a frame of {} bytes: {error}", frame.len()),
        }
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sets an option of packet(7) that is a flag.
#[expect(unsafe_code, reason = "rustix does not know the options of packet(7)")]
fn switch_on(socket: &OwnedFd, option: c_int) {
    let on: c_int = 1;
    // SAFETY: the value points to an integer that outlives the call, and its
    // size is that of the integer; the socket is open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{option}: {}", io::Error::last_os_error());
}

/// Binds a packet socket to all protocols of an interface.
#[expect(
    unsafe_code,
    reason = "rustix does not know the addresses of packet(7)"
)]
fn bind(socket: &OwnedFd, index: c_int) {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is to a whole address of the family of the socket,
    // which outlives the call, and the size is its size; the socket is open.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "bind: {}", io::Error::last_os_error());
}
