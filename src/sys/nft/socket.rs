//! The netlink socket.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::NftError;
use super::answer::{self, Reply};
use super::wire::Messages;

/// Room for a transaction of 10,000 elements in one message to the kernel, and
/// for the answers to some hundred look-ups. A bound, not an allocation.
const BUFFER_BYTES: usize = 2 << 20;

/// linux/netlink.h; the errno of a failed message comes without the message.
const NETLINK_CAP_ACK: libc::c_int = 10;

#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    buffer: Vec<u8>,
    /// How many bytes can be sent at once.
    room: usize,
}

impl Socket {
    pub(super) fn open() -> Result<Self, NftError> {
        let descriptor = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(rustix::net::netlink::NETFILTER),
        )
        .map_err(|errno| match errno {
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => NftError::NotInKernel,
            _ => socket_error("open a socket", errno),
        })?;
        widen(&descriptor);
        answer_briefly(&descriptor);
        let room = sockopt::socket_send_buffer_size(&descriptor)
            .map_err(|errno| socket_error("ask for the size of a buffer", errno))?;
        Ok(Self {
            descriptor,
            buffer: vec![0; 64 * 1024],
            room,
        })
    }

    /// How many bytes can be sent at once, to within the room that the kernel
    /// takes for itself.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Sends `messages` at once and reads what the kernel has answered by
    /// then. `false`: some answers did not fit the receive buffer, which says
    /// nothing about what happened, only that it must be looked up.
    pub(super) fn exchange(
        &mut self,
        messages: &Messages,
        mut each: impl FnMut(Reply<'_>),
    ) -> Result<bool, NftError> {
        rustix::net::send(&self.descriptor, messages.bytes(), SendFlags::empty())
            .map_err(|errno| socket_error("send", errno))?;
        let mut complete = true;
        loop {
            match rustix::net::recv(&self.descriptor, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => answer::replies(&self.buffer[..length]).for_each(&mut each),
                Err(Errno::AGAIN) => return Ok(complete),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => complete = false,
                Err(errno) => return Err(socket_error("receive", errno)),
            }
        }
    }
}

/// Makes room in both directions, beyond the limit of the system where that is
/// permitted, which it is not in a user namespace. Whoever gets less sends less
/// at a time and looks up less at a time, so failing is no error.
fn widen(descriptor: &OwnedFd) {
    if sockopt::set_socket_send_buffer_size_force(descriptor, BUFFER_BYTES).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(descriptor, BUFFER_BYTES);
    }
    if sockopt::set_socket_recv_buffer_size_force(descriptor, BUFFER_BYTES).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(descriptor, BUFFER_BYTES);
    }
}

/// Asks for errors without a copy of what they are about, which may be 64 KiB.
/// A kernel before 4.3 sends the copies; they are passed over.
fn answer_briefly(descriptor: &OwnedFd) {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("four bytes");
    // SAFETY: the descriptor is open, and the value is an int of the length
    // that is given, which setsockopt(2) only reads.
    unsafe {
        libc::setsockopt(
            descriptor.as_raw_fd(),
            libc::SOL_NETLINK,
            NETLINK_CAP_ACK,
            (&raw const on).cast(),
            length,
        )
    };
}

fn socket_error(action: &'static str, errno: Errno) -> NftError {
    NftError::Socket {
        action,
        source: io::Error::from(errno),
    }
}
